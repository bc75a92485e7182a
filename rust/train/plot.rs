//! Pictures of a run: its curves, and clips as the network sees them.

use crate::error::Result;
use crate::model::checkpoint::read;
use crate::model::Sam2;
use crate::output::Overwrite;
use crate::picture::plot::{curves, Curve};
use crate::picture::Picture;
use crate::session::choose_precision;
use crate::tracking::MaskPrior;
use crate::train::checkpoint;
use crate::train::clip::Clip;
use crate::train::config::TrainConfig;
use crate::train::log::LogLine;
use crate::train::run::validation_clips;
use crate::train::validate::{masks_of, ValidationSettings};
use ndarray::{Array3, Axis};
use std::path::{Path, PathBuf};

/// Colour of an object's outline.
const OUTLINE: [u8; 3] = [90, 220, 120];
/// Colour of what a network found.
const FOUND: [u8; 3] = [255, 96, 64];
/// Clips on the sheet of examples.
const EXAMPLES: usize = 14;
/// Pixels between the tiles of a sheet.
const GAP: usize = 4;

/// Writes `loss.png` and `quality.png`.
pub fn plot(lines: &[LogLine], folder: &Path) -> Result<Vec<PathBuf>> {
    let curve = |name: &str, value: &dyn Fn(&LogLine) -> Option<f64>| Curve {
        name: name.into(),
        points: lines.iter().filter_map(|line| Some((line.step as f64, value(line)?))).collect(),
    };
    let losses = [
        curve("loss", &|line| Some(line.loss)),
        curve("dice", &|line| Some(line.dice)),
        curve("object", &|line| Some(line.object)),
    ];
    let quality = [
        curve("IoU in training", &|line| Some(line.best_mask_iou)),
        curve("presence in training", &|line| Some(line.presence_accuracy)),
        curve("validation Dice", &|line| line.validation.get("dice_none").copied()),
        curve("validation Dice, registered prior", &|line| line.validation.get("dice_registered").copied()),
    ];
    let mut written = Vec::new();
    for (name, title, set) in [("loss.png", "Loss", &losses[..]), ("quality.png", "Quality", &quality[..])] {
        let shown: Vec<Curve> = set
            .iter()
            .filter(|c| !c.points.is_empty())
            .map(|c| Curve { name: c.name.clone(), points: c.points.clone() })
            .collect();
        let path = folder.join(name);
        curves(title, ["step", ""], &shown)?.write(&path, Overwrite::Replace)?;
        written.push(path);
    }
    Ok(written)
}

/// A sheet of clips: a row each, the object outlined, and what a network found where it is given.
pub fn sheet(clips: &[Clip], found: Option<&[Array3<bool>]>) -> Picture {
    let (count, side, _) = clips.first().map_or((1, 1, 1), |clip| clip.images.dim());
    let tile = side + GAP;
    let mut picture = Picture::new(count * tile + GAP, clips.len() * tile + GAP);
    for (row, clip) in clips.iter().enumerate() {
        for t in 0..clip.images.dim().0 {
            let place = [GAP + row * tile, GAP + t * tile];
            picture.grey(place, &clip.images.index_axis(Axis(0), t).to_owned());
            let fill = if found.is_some() { 0.0 } else { 0.15 };
            picture.outline(place, &clip.masks.index_axis(Axis(0), t).to_owned(), OUTLINE, fill);
            if let Some(found) = found {
                picture.outline(place, &found[row].index_axis(Axis(0), t).to_owned(), FOUND, 0.15);
            }
        }
    }
    picture
}

/// Writes `examples.png`: what the run's averaged weights find on clips that no step has seen. `None` before the first
/// checkpoint.
pub fn examples(run: &Path) -> Result<Option<PathBuf>> {
    let model = run.join("model.safetensors");
    let Some(progress) = checkpoint::progress(run)?.filter(|_| model.exists()) else { return Ok(None) };
    let config = TrainConfig::parse(&progress.config)?;
    let (stage, _) = config.stage(progress.step.saturating_sub(1));
    let file = read(&model)?;
    let network_config = file.config.with_image_size(config.stages[stage].image_size)?;
    let device = tch::Device::Cpu;
    let network = Sam2::load(&network_config, file.state, device, choose_precision(config.precision, device))?;
    let clips = validation_clips(&config, stage, EXAMPLES)?;
    let prior = if config.prior.registered > 0.0 { MaskPrior::Registered } else { MaskPrior::None };
    let settings = ValidationSettings { prior, intensity_weight: config.intensity_model.weight };
    let found: Vec<Array3<bool>> = clips.iter().map(|clip| masks_of(&network, clip, &settings, device)).collect();
    let path = run.join("examples.png");
    sheet(&clips, Some(&found)).write(&path, Overwrite::Replace)?;
    Ok(Some(path))
}
