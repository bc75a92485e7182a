//! Fills a session's prompts from the command line.

use crate::args::{PromptArgument, PromptSlices, Prompts as Arguments};
use crate::extents::{extents, LabelExtent};
use crate::masks::{Masks, PromptMask};
use promem::geometry::{SliceIndex, VoxelIndex};
use promem::prompt::{ObjectId, PointLabel, Prompt, Prompts};
use promem::session::Session;
use promem::volume::{LabelMap, Segment};
use promem::{slices, Error, Result};
use std::collections::BTreeMap;

/// The object of prompts without a named object.
const DEFAULT_OBJECT: u16 = 1;

/// Adds the prompts to the session; `masks` are the masks of the command line. Returns the segments that became objects,
/// and notes on what of the masks is used.
pub fn add(session: &mut Session, arguments: &Arguments, masks: &Masks) -> Result<Added> {
    if let Some(labels) = &masks.initial {
        session.set_initial(labels.voxels())?;
    }
    let (mut masks, mut added) = (masks.prompts.iter(), Added::default());
    let mut clicks: Vec<(VoxelIndex, PointLabel)> = Vec::new();
    for (n, (named, prompt)) in arguments.ordered.iter().enumerate() {
        let object = object_or_default(*named)?;
        match prompt {
            // Points in a row are one call: published networks decode them together.
            PromptArgument::Point(voxel, label) => {
                clicks.push((*voxel, *label));
                let goes_on = |(next, prompt): &(Option<ObjectId>, PromptArgument)| {
                    next == named && matches!(prompt, PromptArgument::Point(..))
                };
                if !arguments.ordered.get(n + 1).is_some_and(goes_on) {
                    session.add_prompt(object, &Prompt::Clicks(std::mem::take(&mut clicks)))?;
                }
            }
            PromptArgument::Voxels(prompt) => session.add_prompt(object, prompt)?,
            PromptArgument::Box([a0, b0, a1, b1, slice], label) => {
                let (columns, rows) = session.prompts().axis().in_plane();
                let axis = session.prompts().axis();
                let voxel = |column: usize, row: usize| {
                    let mut index = [0; 3];
                    (index[columns.index()], index[rows.index()], index[axis.index()]) = (column, row, *slice);
                    VoxelIndex(index)
                };
                session.add_prompt(object, &Prompt::Box([voxel(*a0, *b0), voxel(*a1, *b1)], *label))?;
            }
            PromptArgument::Mask(_) => {
                let mask = masks.next().expect("one mask was read for each argument");
                add_mask(session.prompts_mut(), mask, *named, arguments, &mut added)?;
            }
        }
    }
    Ok(added)
}

/// What came from prompt masks.
#[derive(Debug, Default)]
pub struct Added {
    /// Named segments by the objects that they became.
    pub segments: Vec<(ObjectId, Segment)>,
    pub notes: Vec<String>,
}

fn add_mask(
    prompts: &mut Prompts,
    mask: &PromptMask,
    named: Option<ObjectId>,
    arguments: &Arguments,
    added: &mut Added,
) -> Result<()> {
    let path = &mask.path;
    let extents: BTreeMap<u16, (LabelExtent, &LabelMap)> = (mask.layers.iter())
        .flat_map(|layer| extents(layer, prompts.axis()).into_iter().map(move |(label, found)| (label, (found, layer))))
        .collect();
    let found: Vec<u16> = extents.keys().copied().collect();
    let wanted: Vec<(u16, ObjectId)> = match (arguments.label, named, found.as_slice()) {
        (_, _, []) => return Err(Error::invalid(format!("prompt mask `{}`: it has no label", path.display()))),
        (Some(label), _, found) if !found.contains(&label) => {
            return Err(Error::invalid(format!(
                "prompt mask `{}`: it has no label {label}; it has {}",
                path.display(),
                list(found)
            )))
        }
        (Some(label), _, _) => vec![(label, object_or_default(named)?)],
        (None, _, [only]) => vec![(*only, object_or_default(named)?)],
        (None, None, several) => {
            several.iter().map(|&label| Ok((label, ObjectId::new(label)?))).collect::<Result<_>>()?
        }
        (None, Some(object), several) => {
            return Err(Error::invalid(format!(
                "prompt mask `{}`: it has the labels {}; expected --label N to say which is object {object}",
                path.display(),
                list(several)
            )))
        }
    };
    for (label, object) in wanted {
        let (extent, labels) = &extents[&label];
        let present = &extent.slices;
        let slices = chosen(&arguments.slices, present, label)?;
        if let (PromptSlices::Middle, [slice], [first, .., last]) = (&arguments.slices, &slices[..], &present[..]) {
            added.notes.push(format!(
                "prompt mask `{}`: label {label} lies on {} slices, {first} to {last}; slice {slice} is the prompt \
                 (--prompt-slice chooses others)",
                path.display(),
                present.len()
            ));
        }
        let segment = mask.segments.iter().find(|segment| segment.label == label);
        added.segments.extend(segment.map(|segment| (object, segment.clone())));
        for slice in slices {
            let plane = slices::extract(labels.voxels(), prompts.axis(), slice);
            prompts.add_mask(object, slice, plane.mapv(|voxel| voxel == label))?;
        }
    }
    Ok(())
}

fn object_or_default(named: Option<ObjectId>) -> Result<ObjectId> {
    named.map_or_else(|| ObjectId::new(DEFAULT_OBJECT), Ok)
}

fn list(labels: &[u16]) -> String {
    labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The slices that are prompts. The middle slice is that between the label's first and last; where the label is absent
/// from it, the nearest slice that contains it.
fn chosen(wanted: &PromptSlices, present: &[SliceIndex], label: u16) -> Result<Vec<SliceIndex>> {
    let (first, last) = (present[0], present[present.len() - 1]);
    match wanted {
        PromptSlices::All => Ok(present.to_vec()),
        PromptSlices::Middle => {
            let middle = SliceIndex((first.0 + last.0) / 2);
            Ok(present.iter().copied().min_by_key(|slice| slice.distance(middle)).into_iter().collect())
        }
        PromptSlices::These(slices) => match slices.iter().find(|slice| !present.contains(slice)) {
            None => Ok(slices.clone()),
            Some(slice) => Err(Error::invalid(format!(
                "prompt mask: label {label} is not on slice {slice}; it lies between slices {first} and {last}"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(numbers: &[usize]) -> Vec<SliceIndex> {
        numbers.iter().map(|&n| SliceIndex(n)).collect()
    }

    #[test]
    fn middle_slice_lies_between_the_ends_and_skips_gaps() {
        let middle = |present: &[usize]| chosen(&PromptSlices::Middle, &slices(present), 1).unwrap();
        assert_eq!(middle(&(12..=25).collect::<Vec<_>>()), slices(&[18]));
        assert_eq!(middle(&[2, 3, 9, 10]), slices(&[3]));
    }

    #[test]
    fn slice_without_the_label_is_refused_with_its_ends() {
        let error = chosen(&PromptSlices::These(slices(&[7])), &slices(&[2, 3]), 4).unwrap_err();
        assert!(error.to_string().ends_with("label 4 is not on slice 7; it lies between slices 2 and 3"), "{error}");
    }
}
