//! Which axis the scan is sliced along, and why.
//!
//! In: the grid, the axis asked for, and how thick each mask is along each axis. Out: an axis and its reason, or a
//! refusal where the prompts contradict each other. Knows nothing of files.

use promem::geometry::{Axis, Geometry};
use promem::{Error, Result};

/// A label of a prompt mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnLabel {
    /// Label and file, for messages.
    pub name: String,
    /// Slices from its first to its last along i, j and k.
    pub slices: [usize; 3],
}

impl DrawnLabel {
    /// The axes along which it is one slice thick.
    fn thin(&self) -> Vec<Axis> {
        Axis::ALL.into_iter().filter(|axis| self.slices[axis.index()] == 1).collect()
    }
}

/// An axis and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenAxis {
    pub axis: Axis,
    pub reason: String,
}

/// What the command line says of slices.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// `--axis`, unless it is `auto`.
    pub axis: Option<Axis>,
    /// `--prompt-slice` is given.
    pub slices: bool,
    /// A box is given; its numbers are those of slices along the default axis where no axis is asked for.
    pub boxes: bool,
}

/// Chooses the axis. A mask that is one slice thick along an axis was drawn on a slice across it, so that axis counts;
/// files with thick labels, such as whole label maps, say nothing.
pub fn choose(geometry: &Geometry, asked: Asked, masks: &[Vec<DrawnLabel>]) -> Result<ChosenAxis> {
    let drawn = |labels: &&Vec<DrawnLabel>| !labels.is_empty() && labels.iter().all(|label| !label.thin().is_empty());
    let drawn: Vec<&DrawnLabel> = masks.iter().filter(drawn).flatten().collect();
    if let Some(axis) = asked.axis {
        let across = |label: &&&DrawnLabel| matches!(label.thin()[..], [only] if only != axis);
        if let Some(label) = drawn.iter().find(across).filter(|_| !asked.slices) {
            let only = label.thin()[0];
            return Err(Error::invalid(format!(
                "--axis {axis}: {} lies on one slice along {only}, but on {} along {axis}; expected --axis {only}, or \
                 --prompt-slice for the slices along {axis} that are prompts",
                label.name,
                label.slices[axis.index()]
            )));
        }
        return Ok(ChosenAxis { axis, reason: "--axis".into() });
    }
    let default = geometry.slice_axis();
    let mut allowed = Axis::ALL.to_vec();
    let mut decided: Option<&DrawnLabel> = None;
    for label in drawn {
        let thin = label.thin();
        let left: Vec<Axis> = allowed.iter().copied().filter(|axis| thin.contains(axis)).collect();
        if left.is_empty() {
            let other =
                decided.map_or(String::new(), |other| format!(", {} on one along {}", other.name, list(&other.thin())));
            return Err(Error::invalid(format!(
                "slice axis: {} lies on one slice along {}{other}; expected one axis for all prompts, or --axis and \
                 --prompt-slice",
                label.name,
                list(&thin)
            )));
        }
        if left.len() < allowed.len() {
            decided = Some(label);
        }
        allowed = left;
    }
    if asked.boxes && !allowed.contains(&default) {
        return Err(Error::invalid(format!(
            "slice axis: {} lies on one slice along {}, but --box is read on slices along {default}; expected --axis",
            decided.map_or("the mask", |label| &label.name),
            list(&allowed)
        )));
    }
    let spacing = geometry.spacing().0;
    let of_default = if allowed.contains(&default) { Some(default) } else { None };
    let widest = allowed.iter().copied().max_by(|a, b| spacing[a.index()].total_cmp(&spacing[b.index()]));
    let axis = of_default.or(widest).unwrap_or(default);
    let reason = match decided {
        Some(label) => format!("{} lies on one slice along it", label.name),
        None if Axis::ALL.iter().all(|other| spacing[axis.index()] <= 1.01 * spacing[other.index()]) => {
            "equal spacings".into()
        }
        None => format!("the largest spacing, {:.3} mm", spacing[axis.index()]),
    };
    Ok(ChosenAxis { axis, reason })
}

fn list(axes: &[Axis]) -> String {
    axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use promem::geometry::{Dims, IjkToRas, Spacing};

    fn geometry(spacing: [f64; 3]) -> Geometry {
        Geometry { dims: Dims([40, 36, 8]), ijk_to_ras: IjkToRas::from_spacing(Spacing(spacing)) }
    }

    fn label(name: &str, slices: [usize; 3]) -> DrawnLabel {
        DrawnLabel { name: name.into(), slices }
    }

    const AUTO: Asked = Asked { axis: None, slices: false, boxes: false };

    fn chosen(asked: Asked, masks: &[Vec<DrawnLabel>]) -> Result<ChosenAxis> {
        choose(&geometry([0.9, 0.9, 0.625]), asked, masks)
    }

    #[test]
    fn a_mask_on_one_slice_decides_against_the_largest_spacing() {
        let found = chosen(AUTO, &[vec![label("a", [16, 15, 1])]]).unwrap();
        assert_eq!((found.axis, found.reason.as_str()), (Axis::K, "a lies on one slice along it"));
        // Labels on two slices of one axis agree.
        let two = vec![label("a", [16, 15, 1]), label("b", [3, 4, 1])];
        assert_eq!(chosen(AUTO, &[two]).unwrap().axis, Axis::K);
        // A line fits two axes.
        assert_eq!(chosen(AUTO, &[vec![label("line", [9, 1, 1])]]).unwrap().axis, Axis::J);
    }

    #[test]
    fn whole_label_maps_leave_the_largest_spacing() {
        let whole = vec![label("liver", [16, 15, 8]), label("lesion", [1, 2, 2])];
        let found = chosen(AUTO, std::slice::from_ref(&whole)).unwrap();
        assert_eq!((found.axis, found.reason.as_str()), (Axis::J, "the largest spacing, 0.900 mm"));
        assert_eq!(choose(&geometry([1.0; 3]), AUTO, &[whole]).unwrap().reason, "equal spacings");
    }

    #[test]
    fn masks_on_slices_of_different_axes_are_refused_by_name() {
        let line = chosen(AUTO, &[vec![label("a", [16, 15, 1])], vec![label("b", [1, 9, 9])]]).unwrap_err().to_string();
        assert!(line.contains("b lies on one slice along i") && line.contains("a on one along k"), "{line}");
    }

    #[test]
    fn an_axis_across_the_drawn_slice_needs_the_slices_by_number() {
        let mask = [vec![label("a", [16, 15, 1])]];
        let asked = Asked { axis: Some(Axis::I), ..AUTO };
        let line = chosen(asked, &mask).unwrap_err().to_string();
        assert!(line.contains("on one slice along k, but on 16 along i") && line.contains("--prompt-slice"), "{line}");
        assert_eq!(chosen(Asked { slices: true, ..asked }, &mask).unwrap().axis, Axis::I);
        assert_eq!(chosen(Asked { axis: Some(Axis::K), ..AUTO }, &mask).unwrap().axis, Axis::K);
    }

    #[test]
    fn a_box_beside_a_mask_of_another_axis_needs_the_axis() {
        let mask = [vec![label("a", [16, 15, 1])]];
        let line = chosen(Asked { boxes: true, ..AUTO }, &mask).unwrap_err().to_string();
        assert!(line.contains("--box is read on slices along j"), "{line}");
        assert!(choose(&geometry([0.9, 0.9, 3.0]), Asked { boxes: true, ..AUTO }, &mask).is_ok());
    }
}
