//! The prompt masks of the command line, on the scan's grid.

use crate::args::{PromptArgument, Prompts as Arguments};
use crate::axis::DrawnLabel;
use promem::volume::{self, LabelMap, MaskGrid, Segment, Volume};
use promem::{Error, Result};
use std::path::{Path, PathBuf};

/// A prompt mask.
pub struct PromptMask {
    pub path: PathBuf,
    /// One label map, or several where segments overlap.
    pub layers: Vec<LabelMap>,
    /// Names and colours that the file gives.
    pub segments: Vec<Segment>,
}

/// All masks of the command line.
pub struct Masks {
    /// In the order of the command line.
    pub prompts: Vec<PromptMask>,
    /// What the objects looked like before.
    pub initial: Option<LabelMap>,
    pub notes: Vec<String>,
}

/// Reads all masks.
pub fn read(arguments: &Arguments, scan: &Volume<f32>, image: &Path, rule: MaskGrid) -> Result<Masks> {
    let mut notes = Vec::new();
    let mut one = |path: &Path, what: &str| -> Result<PromptMask> {
        let (mask, of_mask) = read_one(path, what, scan, image, rule)?;
        notes.extend(of_mask);
        Ok(mask)
    };
    let prompts = prompt_paths(arguments).map(|path| one(path, "prompt mask")).collect::<Result<Vec<_>>>()?;
    let initial = arguments.initial.as_deref().map(|path| one(path, "initial masks")).transpose()?;
    let initial = match initial {
        Some(mask) if mask.layers.len() > 1 => {
            let what = format!("initial masks `{}`: segments overlap; expected one label a voxel", mask.path.display());
            return Err(Error::invalid(what));
        }
        other => other.and_then(|mask| mask.layers.into_iter().next()),
    };
    Ok(Masks { prompts, initial, notes })
}

/// The files of all masks.
pub fn paths(arguments: &Arguments) -> impl Iterator<Item = &PathBuf> {
    prompt_paths(arguments).chain(&arguments.initial)
}

fn prompt_paths(arguments: &Arguments) -> impl Iterator<Item = &PathBuf> {
    arguments.ordered.iter().filter_map(|(_, prompt)| match prompt {
        PromptArgument::Mask(path) => Some(path),
        _ => None,
    })
}

/// A mask on the scan's grid, and how it got there.
fn read_one(
    path: &Path,
    what: &str,
    scan: &Volume<f32>,
    image: &Path,
    rule: MaskGrid,
) -> Result<(PromptMask, Vec<String>)> {
    let segmentation = volume::read_segmentation(path)?;
    let (mut layers, mut notes) = (Vec::new(), Vec::new());
    for layer in &segmentation.layers {
        let placed = volume::place(layer, scan, rule);
        let placed =
            placed.map_err(|e| e.context(format!("{what} `{}` and image `{}`", path.display(), image.display())))?;
        layers.push(placed.labels);
        notes.extend(placed.notes.into_iter().map(|note| format!("{what} `{}`: {note}", path.display())));
    }
    notes.dedup();
    Ok((PromptMask { path: path.to_owned(), layers, segments: segmentation.segments }, notes))
}

impl PromptMask {
    /// The labels that are prompts, and how thick they are along each axis.
    pub fn drawn(&self, only: Option<u16>) -> Vec<DrawnLabel> {
        let mut bounds: Vec<Option<[[usize; 2]; 3]>> = vec![None; usize::from(u16::MAX) + 1];
        for layer in &self.layers {
            for ((k, j, i), &label) in layer.voxels().indexed_iter().filter(|(_, &label)| label > 0) {
                let bounds = bounds[usize::from(label)].get_or_insert([[i, i], [j, j], [k, k]]);
                for (ends, at) in bounds.iter_mut().zip([i, j, k]) {
                    *ends = [ends[0].min(at), ends[1].max(at)];
                }
            }
        }
        let found = bounds.into_iter().enumerate().filter_map(|(label, bounds)| Some((label as u16, bounds?)));
        found
            .filter(|(label, _)| only.is_none_or(|only| only == *label))
            .map(|(label, bounds)| DrawnLabel {
                name: format!("label {label} of `{}`", self.path.display()),
                slices: bounds.map(|[first, last]| last - first + 1),
            })
            .collect()
    }
}
