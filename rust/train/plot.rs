//! Pictures of a run: its curves, and clips as the network sees them.

use crate::error::Result;
use crate::output::Overwrite;
use crate::picture::plot::{curves, Curve};
use crate::picture::Picture;
use crate::train::clip::Clip;
use crate::train::log::Line;
use ndarray::Axis;
use std::path::{Path, PathBuf};

/// Colour of an object's outline.
const OUTLINE: [u8; 3] = [90, 220, 120];
/// Pixels between the tiles of a sheet.
const GAP: usize = 4;

/// Writes `loss.png` and `quality.png`.
pub fn plot(lines: &[Line], folder: &Path) -> Result<Vec<PathBuf>> {
    let curve = |name: &str, value: &dyn Fn(&Line) -> Option<f64>| Curve {
        name: name.into(),
        points: lines.iter().filter_map(|line| Some((line.step as f64, value(line)?))).collect(),
    };
    let losses = [
        curve("loss", &|line| Some(line.loss)),
        curve("dice", &|line| Some(line.dice)),
        curve("object", &|line| Some(line.object)),
    ];
    let quality = [
        curve("IoU in training", &|line| Some(line.found)),
        curve("presence in training", &|line| Some(line.told)),
        curve("validation Dice", &|line| line.validation.get("dice_none").copied()),
        curve("validation Dice, flow prior", &|line| line.validation.get("dice_flow").copied()),
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

/// A sheet of clips: a row each, the object outlined.
pub fn sheet(clips: &[Clip]) -> Picture {
    let (count, side, _) = clips.first().map_or((1, 1, 1), |clip| clip.images.dim());
    let tile = side + GAP;
    let mut picture = Picture::new(count * tile + GAP, clips.len() * tile + GAP);
    for (row, clip) in clips.iter().enumerate() {
        for t in 0..clip.images.dim().0 {
            let place = [GAP + row * tile, GAP + t * tile];
            picture.grey(place, &clip.images.index_axis(Axis(0), t).to_owned());
            picture.outline(place, &clip.masks.index_axis(Axis(0), t).to_owned(), OUTLINE, 0.15);
        }
    }
    picture
}
