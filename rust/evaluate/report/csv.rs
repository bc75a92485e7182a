//! One line an object, for a spreadsheet.

use crate::evaluate::store::CaseResult;

/// All objects; a number without a meaning is an empty field.
pub fn objects(results: &[CaseResult]) -> String {
    let mut text = String::from(
        "dataset,row,case,patient,target,prompt_slice,first,last,dice,dice_without_prompt,iou,surface_dice,\
         hausdorff_95_mm,average_surface_mm,volume_error,truth_voxels,predicted_voxels,over_slices,under_slices\n",
    );
    for result in results {
        for object in &result.objects {
            let s = &object.scores;
            let names = [&result.dataset, &result.row, &result.case, &result.patient, &object.target];
            let mut fields: Vec<String> = names.into_iter().map(|name| quoted(name)).collect();
            let task = object.task;
            fields.extend([task.prompt_slice, task.first, task.last].map(|n| n.to_string()));
            let numbers = [
                s.dice,
                s.dice_without_prompt,
                s.iou,
                s.surface_dice,
                s.hausdorff_95_mm,
                s.average_surface_mm,
                s.volume_error,
            ];
            fields.extend(numbers.map(|v| v.map_or(String::new(), |v| format!("{v:.4}"))));
            let counts = [s.truth_voxels, s.predicted_voxels, s.over_slices, s.under_slices];
            fields.extend(counts.map(|n| n.to_string()));
            text.push_str(&fields.join(","));
            text.push('\n');
        }
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn commas_and_quotes_stay_in_their_field() {
        assert_eq!(super::quoted("kidney, \"left\""), "\"kidney, \"\"left\"\"\"");
        assert_eq!(super::quoted("liver"), "liver");
    }
}
