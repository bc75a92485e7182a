//! Rows of a report: a method under a protocol. Presets are the paper's tables.

use crate::error::{Error, Result};
use crate::evaluate::protocol::{Extent, Protocol};
use crate::tracking::{PromptMemory, SearchOptions};
use serde::Serialize;
use std::path::PathBuf;

/// What gives the masks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The n-th of the models given.
    Model(usize),
    /// The prompt slice's mask on its neighbours.
    Copy,
    /// Another tool's masks in a folder.
    Predictions(PathBuf),
}

/// A method under a protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Unique in a report.
    pub name: String,
    pub method: Method,
    pub protocol: Protocol,
    /// Which row of the paper's table this is, if any.
    pub variant: Option<String>,
}

/// One line of a preset: what it changes of the protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    pub name: String,
    pub protocol: Protocol,
}

/// A table of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Prompt position 0.1 to 0.9.
    Table1,
    /// Models trained with and without stochastic propagation and memory augmentation: one protocol, several models.
    Table2,
    /// The prompt's memory pinned or not, with and without search.
    Table3,
    /// Beams: 1 to 3.
    Table4,
    /// Memory windows.
    Table5,
    /// Free stop and ground-truth range.
    Table6,
}

impl Preset {
    pub const NAMES: [(&'static str, Self); 6] = [
        ("table1", Self::Table1),
        ("table2", Self::Table2),
        ("table3", Self::Table3),
        ("table4", Self::Table4),
        ("table5", Self::Table5),
        ("table6", Self::Table6),
    ];

    /// What the table is about.
    pub fn title(self) -> &'static str {
        match self {
            Self::Table1 => "Table 1: where the prompt slice lies",
            Self::Table2 => "Table 2: training with and without stochastic propagation",
            Self::Table3 => "Table 3: the prompt's memory in every candidate, or only within the window",
            Self::Table4 => "Table 4: how many banks go on from slice to slice",
            Self::Table5 => "Table 5: which memory windows are tried",
            Self::Table6 => "Table 6: free stop, and the true range given",
        }
    }

    /// The table's lines on top of `base`.
    pub fn variants(self, base: &Protocol) -> Vec<Variant> {
        let with_search = |name: &str, search: SearchOptions| Variant {
            name: name.into(),
            protocol: Protocol { search, ..base.clone() },
        };
        let search = || base.search.clone();
        let single = || SearchOptions { windows: vec![6], beams: 1, ..search() };
        let pinned = |search: SearchOptions| SearchOptions { prompt: PromptMemory::Pinned, ..search };
        match self {
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
            Self::Table6 => [("free stop", Extent::Free), ("range given", Extent::Given)]
                .into_iter()
                .map(|(name, extent)| Variant { name: name.into(), protocol: Protocol { extent, ..base.clone() } })
                .collect(),
        }
    }
}

impl std::str::FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, preset)| *preset).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            Error::invalid(format!("preset `{text}`: expected {}", names.join(", ")))
        })
    }
}

/// A figure that the paper states.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PaperFigure {
    pub preset: Option<Preset>,
    /// The preset's line it belongs to; `None` for the paper's main comparison.
    pub variant: Option<&'static str>,
    /// Begin of the data set's name.
    pub dataset: &'static str,
    pub figure: &'static str,
}

/// What the paper states, as far as it was at hand: SAM 2 weights, trained on 24 subsets of M3D-Seg with eight GPUs; Dice with the prompt
/// slice counted. Lines that are missing here are missing in the report.
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
        variant: Some("range given"),
        dataset: "totalsegmentator",
        figure: "0.79 mean",
    },
    PaperFigure { preset: None, variant: None, dataset: "chaos", figure: "0.92-0.93 median (MR; SegVol 0.80-0.86)" },
    PaperFigure { preset: None, variant: None, dataset: "uls23", figure: "0.62-0.76 median" },
];

/// The paper's figure for a line on a data set.
pub fn paper_figure(preset: Option<Preset>, variant: Option<&str>, dataset: &str) -> Option<&'static str> {
    let of = |figure: &&PaperFigure| dataset.starts_with(figure.dataset);
    let exact = PAPER.iter().filter(of).find(|f| f.preset.is_some() && f.preset == preset && f.variant == variant);
    // The main comparison is under the paper's own protocol: search, free stop, the middle slice.
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
    fn every_preset_has_lines_with_names_of_their_own_that_can_run() {
        for (name, preset) in Preset::NAMES {
            assert_eq!(name.parse::<Preset>().unwrap(), preset);
            let variants = preset.variants(&Protocol::default());
            let names: std::collections::BTreeSet<&str> = variants.iter().map(|v| v.name.as_str()).collect();
            assert_eq!(names.len(), variants.len(), "{name}");
            for variant in &variants {
                variant.protocol.search.validate().unwrap();
            }
        }
        assert!("table9".parse::<Preset>().unwrap_err().to_string().contains("table1, table2"));
    }

    #[test]
    fn the_papers_figures_stand_beside_the_lines_they_belong_to() {
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
