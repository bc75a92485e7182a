//! What was found of each object: as a table, as JSON, and as names for files.

use crate::extents::extents;
use promem::geometry::Axis;
use promem::prompt::{ObjectId, Prompts};
use promem::volume::{LabelMap, Segment, Volume};
use serde::Serialize;

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundObject {
    pub label: u16,
    pub name: String,
    pub voxels: usize,
    pub volume_ml: f64,
    /// Mean intensity of its voxels; missing where there are none.
    pub mean: Option<f64>,
    /// Standard deviation of its voxels' intensities.
    pub sd: Option<f64>,
    /// First and last slice.
    pub slices: Option<[usize; 2]>,
}

/// Names and colours of the session's objects: given on the command line, else from the prompt mask, else by number.
pub fn segments(prompts: &Prompts, given: &[(u16, String)], masks: &[(ObjectId, Segment)]) -> Vec<Segment> {
    let of = |object: &ObjectId| {
        let label = object.label();
        let from_mask = masks.iter().find(|(other, _)| other == object).map(|(_, segment)| segment);
        let named = given.iter().rev().find(|(other, _)| *other == label).map(|(_, name)| name.clone());
        let name = named.or_else(|| from_mask.map(|segment| segment.name.clone()));
        let name = name.unwrap_or_else(|| format!("Object {label}"));
        Segment { label, name, colour: from_mask.and_then(|segment| segment.colour) }
    };
    prompts.objects().keys().map(of).collect()
}

/// Measures each object in the scan.
pub fn measure(scan: &Volume<f32>, labels: &LabelMap, axis: Axis, segments: &[Segment]) -> Vec<FoundObject> {
    let found = extents(labels, axis);
    let voxel_ml = scan.geometry().ijk_to_ras.determinant().abs() / 1000.0;
    let mut sums = vec![[0.0f64; 2]; usize::from(u16::MAX) + 1];
    // Deviations are summed from a value near the mean, so that large offsets lose no digits.
    let middle = f64::from(scan.voxels().first().copied().unwrap_or_default());
    for (&label, &value) in labels.voxels().iter().zip(scan.voxels()).filter(|(&label, _)| label > 0) {
        let value = f64::from(value) - middle;
        let sum = &mut sums[usize::from(label)];
        *sum = [sum[0] + value, sum[1] + value * value];
    }
    let of = |segment: &Segment| {
        let extent = found.get(&segment.label).cloned().unwrap_or_default();
        let [sum, squares] = sums[usize::from(segment.label)];
        let count = extent.voxels as f64;
        let some = extent.voxels > 0;
        FoundObject {
            label: segment.label,
            name: segment.name.clone(),
            voxels: extent.voxels,
            volume_ml: count * voxel_ml,
            mean: some.then(|| middle + sum / count),
            sd: some.then(|| (squares / count - (sum / count).powi(2)).max(0.0).sqrt()),
            slices: extent.ends().map(|(first, last)| [first.0, last.0]),
        }
    };
    segments.iter().map(of).collect()
}

/// Lines of a table, its columns as wide as their widest cell.
pub fn table(objects: &[FoundObject]) -> Vec<String> {
    let mut rows = vec![["object", "name", "volume", "voxels", "slices", "mean", "sd"].map(String::from)];
    for object in objects {
        let number = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        rows.push([
            object.label.to_string(),
            object.name.escape_debug().to_string(),
            format!("{:.2} ml", object.volume_ml),
            object.voxels.to_string(),
            object.slices.map_or("none".into(), |[first, last]| format!("{first} to {last}")),
            number(object.mean),
            number(object.sd),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [0, 1, 2, 3, 4, 5, 6].map(width);
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).enumerate();
        let cells =
            cells.map(|(n, (cell, width))| if n == 1 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use promem::geometry::{Dims, Geometry, IjkToRas, Spacing};

    #[test]
    fn volume_mean_and_deviation_are_those_of_the_objects_voxels() {
        let ijk_to_ras = IjkToRas::from_spacing(Spacing([0.5, 2.0, 10.0]));
        let geometry = Geometry { dims: Dims([4, 1, 2]), ijk_to_ras };
        let values = vec![-1000.0, 1.0, 3.0, 0.0, 0.0, 5.0, 7.0, 0.0];
        let scan = Volume::new(geometry.clone(), Array3::from_shape_vec((2, 1, 4), values).unwrap()).unwrap();
        let labels = Array3::from_shape_vec((2, 1, 4), vec![0, 3, 3, 0, 0, 3, 3, 0]).unwrap();
        let labels = Volume::new(geometry, labels).unwrap();
        let found = measure(&scan, &labels, Axis::K, &[Segment::new(3, "liver"), Segment::new(4, "gone")]);
        assert_eq!((found[0].voxels, found[0].volume_ml, found[0].slices), (4, 0.04, Some([0, 1])));
        assert_eq!(found[0].mean, Some(4.0));
        assert!((found[0].sd.unwrap() - 5f64.sqrt()).abs() < 1e-9, "{:?}", found[0].sd);
        assert_eq!((found[1].voxels, found[1].mean, found[1].slices), (0, None, None));
        let lines = table(&found);
        assert!(lines[1].contains("liver") && lines[1].contains("0.04 ml") && lines[2].contains("none"), "{lines:?}");
    }
}
