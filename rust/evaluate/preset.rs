//! Presets: the tables of the paper and simulated users as variants of a protocol, and the figures that the paper
//! states.

use crate::evaluate::interaction::user::Repaint;
use crate::evaluate::interaction::{Action, Actions, Interaction};
use crate::evaluate::protocol::{Protocol, StopRule};
use crate::tracking::{PromptMemory, SearchOptions};
use serde::Serialize;

/// Clicks, lines and corrections of the presets.
const CLICKS: usize = 5;
const SCRIBBLES: usize = 3;
const CORRECTIONS: usize = 3;

/// One named variant of a protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// In reports; unique in a preset.
    pub name: String,
    /// The protocol that it stands for.
    pub protocol: Protocol,
}

/// A table of the paper, or simulated users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Prompt position 0.1 to 0.9
    Table1,
    /// Training with and without stochastic propagation: one protocol, several models
    Table2,
    /// The prompt slice's memory pinned or not, with and without search
    Table3,
    /// 1 to 3 beams
    Table4,
    /// Memory windows
    Table5,
    /// Free stop and ground-truth range
    Table6,
    /// A simulated user who clicks five times, without and with a box first, or draws three lines
    Clicks,
    /// A simulated user who repaints three slices: the worst ones, or the most doubtful ones
    Corrections,
}

impl Preset {
    /// Every preset, the paper's tables in its order first.
    pub const ALL: [Self; 8] = [
        Self::Table1,
        Self::Table2,
        Self::Table3,
        Self::Table4,
        Self::Table5,
        Self::Table6,
        Self::Clicks,
        Self::Corrections,
    ];

    /// Whether it sets the simulated user.
    pub fn is_interactive(self) -> bool {
        matches!(self, Self::Clicks | Self::Corrections)
    }

    /// Title of a report under this preset.
    pub fn title(self) -> &'static str {
        match self {
            Self::Table1 => "Table 1: position of the prompt slice",
            Self::Table2 => "Table 2: training with and without stochastic propagation",
            Self::Table3 => "Table 3: memory of the prompt slice pinned, or only within the window",
            Self::Table4 => "Table 4: number of beams",
            Self::Table5 => "Table 5: memory windows",
            Self::Table6 => "Table 6: free stop and ground-truth range",
            Self::Clicks => "Clicks and scribbles of a simulated user",
            Self::Corrections => "Slices that a simulated user repaints",
        }
    }

    /// The preset's variants of `base`, whose simulated user tells where clicks lie.
    pub fn variants(self, base: &Protocol) -> Vec<Variant> {
        let with_search = |name: &str, search: SearchOptions| Variant {
            name: name.into(),
            protocol: Protocol { search, ..base.clone() },
        };
        let search = || base.search.clone();
        let single = || SearchOptions { windows: vec![6], beams: 1, ..search() };
        let pinned = |search: SearchOptions| SearchOptions { prompt: PromptMemory::Pinned, ..search };
        let with_user = |name: &str, action: Action, count: usize, repaint: Option<Repaint>| {
            let user = base.interaction.unwrap_or(Interaction::new(Actions { action, count }));
            let user = Interaction { action, count, repaint: repaint.unwrap_or(user.repaint), ..user };
            Variant { name: name.into(), protocol: Protocol { interaction: Some(user), ..base.clone() } }
        };
        match self {
            Self::Clicks => vec![
                with_user("clicks", Action::Clicks, CLICKS, None),
                with_user("box and clicks", Action::BoxAndClicks, CLICKS, None),
                with_user("scribbles", Action::Scribbles, SCRIBBLES, None),
            ],
            Self::Corrections => vec![
                with_user("worst slices", Action::Corrections, CORRECTIONS, Some(Repaint::Worst)),
                with_user("doubtful slices", Action::Corrections, CORRECTIONS, Some(Repaint::Doubtful)),
            ],
            Self::Table1 => (1..=9)
                .map(|tenth| {
                    let position = f64::from(tenth) / 10.0;
                    Variant { name: format!("position {position}"), protocol: Protocol { position, ..base.clone() } }
                })
                .collect(),
            Self::Table2 => vec![with_search("search", search())],
            Self::Table3 => vec![
                with_search("no search", single()),
                with_search("no search, prompt pinned", pinned(single())),
                with_search("search", search()),
                with_search("search, prompt pinned", pinned(search())),
            ],
            Self::Table4 => {
                (1..=3).map(|beams| with_search(&format!("k = {beams}"), SearchOptions { beams, ..search() })).collect()
            }
            Self::Table5 => [&[1][..], &[6], &[1, 6], &[1, 3, 6], &[2, 4, 6], &[1, 2, 3, 4, 5, 6]]
                .into_iter()
                .map(|windows| {
                    let listed: Vec<String> = windows.iter().map(ToString::to_string).collect();
                    let search = SearchOptions { windows: windows.to_vec(), ..search() };
                    with_search(&format!("windows {}", listed.join(", ")), search)
                })
                .collect(),
            Self::Table6 => [StopRule::Free, StopRule::GroundTruthRange]
                .into_iter()
                .map(|stop_rule| Variant {
                    name: stop_rule.to_string(),
                    protocol: Protocol { stop_rule, ..base.clone() },
                })
                .collect(),
        }
    }
}

/// A figure that the paper states.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PaperFigure {
    /// The table; `None` for the paper's main comparison.
    pub preset: Option<Preset>,
    /// The preset's variant; `None` for the paper's main comparison.
    pub variant: Option<&'static str>,
    /// Prefix of the data set's name.
    pub dataset: &'static str,
    /// As the paper prints it.
    pub figure: &'static str,
}

/// Figures of the paper: SAM 2 weights, trained on 24 subsets of M3D-Seg on eight GPUs; Dice including the prompt
/// slice.
pub const PAPER: [PaperFigure; 6] = [
    PaperFigure {
        preset: Some(Preset::Table3),
        variant: Some("search"),
        dataset: "totalsegmentator",
        figure: "0.7126 mean",
    },
    PaperFigure {
        preset: Some(Preset::Table3),
        variant: Some("search, prompt pinned"),
        dataset: "totalsegmentator",
        figure: "0.6748 mean",
    },
    PaperFigure {
        preset: Some(Preset::Table6),
        variant: Some("free stop"),
        dataset: "totalsegmentator",
        figure: "0.70 mean",
    },
    PaperFigure {
        preset: Some(Preset::Table6),
        variant: Some("ground-truth range"),
        dataset: "totalsegmentator",
        figure: "0.79 mean",
    },
    PaperFigure { preset: None, variant: None, dataset: "chaos", figure: "0.92-0.93 median (MR; SegVol 0.80-0.86)" },
    PaperFigure { preset: None, variant: None, dataset: "uls23", figure: "0.62-0.76 median" },
];

/// The paper's figure for a variant on a data set.
pub fn paper_figure(preset: Option<Preset>, variant: Option<&str>, dataset: &str) -> Option<&'static str> {
    let of = |figure: &&PaperFigure| dataset.starts_with(figure.dataset);
    let exact = PAPER.iter().filter(of).find(|f| f.preset.is_some() && f.preset == preset && f.variant == variant);
    // The main comparison uses the paper's own protocol: search, free stop, the middle slice.
    let main = || {
        PAPER
            .iter()
            .filter(of)
            .find(|f| f.preset.is_none() && matches!(variant, None | Some("search" | "free stop" | "position 0.5")))
    };
    exact.or_else(main).map(|f| f.figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_valid_variants_with_unique_names() {
        for preset in Preset::ALL {
            let variants = preset.variants(&Protocol::default());
            let names: std::collections::BTreeSet<&str> = variants.iter().map(|v| v.name.as_str()).collect();
            assert_eq!(names.len(), variants.len(), "{preset:?}");
            for variant in &variants {
                variant.protocol.search.validate().unwrap();
            }
        }
    }

    #[test]
    fn paper_figures_belong_to_existing_variants() {
        let figure = |variant, dataset| paper_figure(Some(Preset::Table3), Some(variant), dataset);
        assert_eq!(figure("search", "totalsegmentator-test"), Some("0.7126 mean"));
        assert_eq!(figure("search, prompt pinned", "totalsegmentator"), Some("0.6748 mean"));
        assert_eq!(figure("no search", "totalsegmentator"), None);
        assert_eq!(figure("search", "hippocampus"), None);
        assert!(figure("search", "chaos-t2").unwrap().starts_with("0.92"));
        for figure in PAPER.iter().filter(|f| f.preset.is_some()) {
            let preset = figure.preset.unwrap();
            let variants = preset.variants(&Protocol::default());
            assert!(variants.iter().any(|v| Some(v.name.as_str()) == figure.variant), "{figure:?}");
        }
    }
}
