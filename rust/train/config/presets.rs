//! Presets, and a user's file on top of one.
//!
//! In: a preset's name, or TOML. Out: a whole configuration that has been validated.

use super::TrainConfig;
use crate::error::{Error, Result};
use std::path::Path;

const PAPER: &str = include_str!("../presets/paper.toml");
const COMPACT: &str = include_str!("../presets/compact.toml");
const INTERACTIVE: &str = include_str!("../presets/interactive.toml");
const TOY: &str = include_str!("../presets/toy.toml");

impl TrainConfig {
    /// Names and texts of the presets.
    pub const PRESETS: [(&'static str, &'static str); 4] =
        [("paper", PAPER), ("compact", COMPACT), ("interactive", INTERACTIVE), ("toy", TOY)];

    /// A preset's text.
    pub fn preset_text(name: &str) -> Result<&'static str> {
        (Self::PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text))
            .ok_or_else(|| Error::invalid(format!("preset `{name}`: expected {}", preset_names())))
    }

    /// A preset by its name.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        Self::parse(Self::preset_text(name)?)
    }

    /// A whole configuration.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(explained)?;
        config.validate()?;
        Ok(config)
    }

    /// A user's file: `preset = "..."` and the keys that differ. `stages` replace the preset's as a whole.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(format!("cannot read the configuration `{shown}`"), e))?;
        Self::on_preset(&text).map_err(|e| e.context(format!("`{shown}`")))
    }

    fn on_preset(text: &str) -> Result<Self> {
        let mut own: toml::Table = toml::from_str(text).map_err(explained)?;
        let name = match own.remove("preset") {
            Some(toml::Value::String(name)) => name,
            Some(other) => return Err(Error::invalid(format!("preset {other}: expected a name in quotes"))),
            None => return Err(Error::invalid(format!("no `preset`: expected one of {}", preset_names()))),
        };
        let mut whole: toml::Table = toml::from_str(Self::preset_text(&name)?).map_err(explained)?;
        merge(&mut whole, own, "")?;
        Self::parse(&toml::to_string(&whole).map_err(|e| Error::invalid(e.to_string()))?)
    }

    /// The configuration as TOML.
    pub fn text(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

fn preset_names() -> String {
    TrainConfig::PRESETS.map(|(name, _)| name).join(", ")
}

/// Puts `own` on top of `whole`; a key that is not there is unknown.
fn merge(whole: &mut toml::Table, own: toml::Table, path: &str) -> Result<()> {
    for (key, value) in own {
        let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (whole.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => merge(inner, value, &place)?,
            (Some(known), value) => *known = value,
            (None, value) if place == "init" => {
                whole.insert(key, value);
            }
            (None, _) => {
                let known: Vec<&str> = whole.keys().map(String::as_str).collect();
                return Err(Error::invalid(format!("unknown key `{place}`, expected one of {}", known.join(", "))));
            }
        }
    }
    Ok(())
}

fn explained(error: toml::de::Error) -> Error {
    Error::invalid(format!("no valid configuration: {}", error.message())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::super::SourceKind;
    use super::*;

    #[test]
    fn every_preset_is_whole_and_survives_being_written() {
        for (name, _) in TrainConfig::PRESETS {
            let config = TrainConfig::preset(name).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(TrainConfig::parse(&config.text()).unwrap(), config, "{name}");
        }
    }

    #[test]
    fn the_papers_numbers_stand_in_its_preset() {
        let paper = TrainConfig::preset("paper").unwrap();
        assert_eq!((paper.steps(), paper.stages[0].image_size, paper.stages[0].length), (28_200, 512, 8));
        assert_eq!(paper.stages[0].batch * paper.stages[0].accumulate, 16);
        assert_eq!(
            (paper.optimizer.learning_rate, paper.optimizer.encoder_learning_rate, paper.optimizer.max_grad_norm),
            (5e-6, 3e-6, 0.1)
        );
        assert_eq!((paper.loss.mask, paper.loss.dice, paper.loss.iou, paper.loss.object), (20.0, 1.0, 1.0, 1.0));
    }

    #[test]
    fn the_interactive_preset_alternates_corrected_slices_with_propagation_and_needs_no_folder() {
        let config = TrainConfig::preset("interactive").unwrap();
        let kinds: Vec<SourceKind> = config.data.sources.iter().map(|source| source.kind).collect();
        assert_eq!(kinds, [SourceKind::Phantoms, SourceKind::Hearts]);
        for (n, stage) in config.stages.iter().enumerate() {
            let prompt = config.prompt_of(stage);
            match n % 2 {
                0 => assert!(stage.length == 1 && prompt.mask == 0.0 && prompt.corrections >= 4, "stage {n}"),
                _ => assert!(stage.length == 8 && prompt.mask > 0.5, "stage {n}"),
            }
        }
    }

    #[test]
    fn a_users_file_changes_what_it_names_and_nothing_unknown() {
        let config = TrainConfig::on_preset("preset = \"toy\"\nseed = 7\n[optimizer]\nlearning_rate = 0.5\n").unwrap();
        assert_eq!((config.seed, config.optimizer.learning_rate), (7, 0.5));
        assert_eq!(config.stages, TrainConfig::preset("toy").unwrap().stages);
        for (text, expected) in [
            ("preset = \"toy\"\nsede = 7", "unknown key `sede`, expected one of"),
            ("preset = \"toy\"\n[optimizer]\nlr = 1", "unknown key `optimizer.lr`"),
            ("preset = \"toys\"", "preset `toys`: expected paper, compact, interactive, toy"),
            ("seed = 7", "no `preset`: expected one of paper, compact, interactive, toy"),
            ("preset = \"toy\"\nseed = \"x\"", "invalid type"),
            ("preset = \"toy\"\nnetwork = \"huge\"", "network `huge`: expected one of toy, mini, compact"),
            ("preset = \"toy\"\n[prior]\nregistered = 0.9", "prior: shares"),
            ("preset = \"toy\"\n[memory]\nwindows = [0, 6]", "memory.windows [0, 6]"),
            ("preset = \"toy\"\n[intensity_model]\nclip_fraction = 0.5", "the network `toy` cannot see evidence"),
            ("preset = [", "no valid configuration"),
        ] {
            let error = TrainConfig::on_preset(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
