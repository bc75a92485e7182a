//! `[prompt]`: what the simulated user gives. A stage may have shares of its own, `[stages.prompt]`.

use super::validate::{share, shares};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where the simulated user clicks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClickStyle {
    /// SAM 2's training: any pixel of the object or of the error.
    #[default]
    Random,
    /// In the middle, anywhere, or near the border; boxes are tight or loose.
    Mixed,
}

/// Shares of the kinds of prompts, and what follows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptConfig {
    /// Share of masks.
    pub mask: f64,
    /// Share of boxes.
    #[serde(rename = "box")]
    pub bounds: f64,
    /// Share of points.
    pub point: f64,
    /// Share of scribbles: points along a line inside the object.
    #[serde(default)]
    pub scribble: f64,
    /// Share of rough masks, as a lasso or another program gives them; they are the dense prompt of what follows.
    #[serde(default)]
    pub rough_mask: f64,
    /// Where points are, and how boxes are drawn.
    #[serde(default)]
    pub clicks: ClickStyle,
    /// Points that correct any prompt but a mask (`num_correction_pt_per_frame`).
    pub corrections: usize,
    /// How often a second slice is given.
    pub second_slice: f64,
}

/// Rounds beyond which corrections teach nothing new.
const MAX_CORRECTIONS: usize = 16;

impl PromptConfig {
    /// `key`: where it stands in the file.
    pub(super) fn validate(&self, key: &str) -> Result<()> {
        shares(key, &[self.mask, self.bounds, self.point, self.scribble, self.rough_mask])?;
        share(&format!("{key}.second_slice"), self.second_slice)?;
        match self.corrections <= MAX_CORRECTIONS {
            true => Ok(()),
            false => {
                let found = self.corrections;
                Err(Error::invalid(format!("{key}.corrections {found}: expected at most {MAX_CORRECTIONS}")))
            }
        }
    }
}
