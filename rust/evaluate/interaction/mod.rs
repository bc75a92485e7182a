//! Evaluation of interaction: a simulated user looks at a result and corrects it, step by step.
//!
//! In: a case with ground truth, and a session or a method that learns nothing. Out: a [`Step`] for each thing that the
//! user did, and the masks of the last one.
//!
//! - `user`: what the user does next, as pure functions over masks and scores;
//! - `scribble`: the line that the user draws through an error;
//! - `clicks`: the user clicks or draws on the prompt slice;
//! - `corrections`: the user repaints slices of a propagation;
//! - `baseline`: masks from clicks by methods that learn nothing;
//! - `curve`: what is read from the Dice of the steps.

pub mod baseline;
pub mod clicks;
pub mod corrections;
pub mod curve;
pub mod scribble;
pub mod user;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use user::{ClickPlace, Repaint};

/// What the user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Clicks on the prompt slice.
    Clicks,
    /// The bounding box of the ground truth on the prompt slice, then clicks there.
    BoxAndClicks,
    /// Lines on the prompt slice.
    Scribbles,
    /// Masks on slices of the propagation from the protocol's prompt.
    Corrections,
}

impl Action {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Clicks, "clicks"),
        (Self::BoxAndClicks, "box+clicks"),
        (Self::Scribbles, "scribbles"),
        (Self::Corrections, "corrections"),
    ];

    /// Whether the user clicks.
    pub fn is_clicks(self) -> bool {
        matches!(self, Self::Clicks | Self::BoxAndClicks)
    }

    /// Whether the user works on the prompt slice alone.
    pub fn is_on_prompt_slice(self) -> bool {
        self != Self::Corrections
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(action, _)| action == self).map_or("", |(_, name)| name))
    }
}

/// After which clicks or lines the volume is segmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum VolumeAfter {
    /// After each click or line
    Each,
    /// After the last one only
    Last,
}

/// An action and how often it is done: `clicks=5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actions {
    pub action: Action,
    pub count: usize,
}

/// Actions that one evaluation takes at most.
const MAX_ACTIONS: usize = 100;

impl FromStr for Actions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('=').and_then(|(name, count)| {
            let (action, _) = Action::ALL.into_iter().find(|(_, known)| *known == name)?;
            Some(Self { action, count: count.parse().ok().filter(|count| (1..=MAX_ACTIONS).contains(count))? })
        });
        parsed.ok_or_else(|| {
            let known: Vec<String> = Action::ALL.iter().map(|(_, name)| format!("{name}=N")).collect();
            Error::invalid(format!("expected {} with N from 1 to {MAX_ACTIONS}", known.join(", ")))
        })
    }
}

/// The simulated user of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Interaction {
    pub action: Action,
    /// Clicks, lines or corrections.
    pub count: usize,
    /// Where in an error the user clicks.
    pub place: ClickPlace,
    /// Which slice the user repaints.
    pub repaint: Repaint,
    pub volume_after: VolumeAfter,
    /// Of random places.
    pub seed: u64,
}

impl Interaction {
    /// Clicks in the middle of errors and masks on the worst slice, the volume after each.
    pub fn new(Actions { action, count }: Actions) -> Self {
        let (place, repaint) = (ClickPlace::Center, Repaint::Worst);
        Self { action, count, place, repaint, volume_after: VolumeAfter::Each, seed: 0 }
    }
}

/// A result after something that the user did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Clicks, lines or corrections so far. 0: a box, or the propagation from the protocol's prompt.
    pub number: usize,
    /// The slice on which the user acted; `None` where nothing was left to do.
    pub slice: Option<usize>,
    /// Dice on the prompt slice; `None` for corrections of a volume.
    pub slice_dice: Option<f64>,
    /// Dice of the volume, prompted slices included; `None` where it was not segmented.
    pub volume_dice: Option<f64>,
    /// Dice of the slices that have no prompt.
    pub unprompted_dice: Option<f64>,
    /// From the user's action to the new mask: of the slice for clicks, of the volume for corrections. `None` where
    /// nothing was left to do.
    pub seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_a_name_and_a_number() {
        for (text, action, count) in [
            ("clicks=5", Action::Clicks, 5),
            ("box+clicks=1", Action::BoxAndClicks, 1),
            ("scribbles=3", Action::Scribbles, 3),
            ("corrections=3", Action::Corrections, 3),
        ] {
            assert_eq!(text.parse::<Actions>().unwrap(), Actions { action, count });
            assert_eq!(format!("{action}={count}"), text);
        }
        for text in ["clicks", "clicks=0", "clicks=101", "click=3", "corrections=-1"] {
            let error = text.parse::<Actions>().unwrap_err().to_string();
            assert!(error.contains("expected clicks=N, box+clicks=N"), "{error}");
        }
    }
}
