//! A prompt as C programs read it.

use crate::prompt::{PromptStep, Prompts};

/// What is said of an object on a slice.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_prompt {
    /// The object, 1 to 65535.
    pub object: u32,
    /// How many points count: clicks and points of scribbles since the newest mask.
    pub points: u32,
    /// The slice.
    pub slice: i64,
    /// 1 where a box counts.
    pub has_box: u32,
    /// 1 where there is a mask.
    pub has_mask: u32,
    /// How many regions were added to the mask or taken away from it: lassos, and boxes that exclude.
    pub regions: u32,
    /// How many prompts lie on the slice, of any kind.
    pub prompts: u32,
}

/// By object, then slice, both rising.
pub(super) fn listed(prompts: &Prompts) -> Vec<promem_prompt> {
    let of_objects = prompts.objects().iter();
    of_objects
        .flat_map(|(object, slices)| {
            slices.iter().map(|(slice, prompt)| {
                let regions = prompt.steps().iter().filter(|(_, step)| matches!(step, PromptStep::Region(..)));
                promem_prompt {
                    object: u32::from(object.label()),
                    points: prompt.points().len() as u32,
                    slice: slice.0 as i64,
                    has_box: u32::from(prompt.bounds().is_some()),
                    has_mask: u32::from(prompt.has_mask()),
                    regions: regions.count() as u32,
                    prompts: prompt.steps().len() as u32,
                }
            })
        })
        .collect()
}
