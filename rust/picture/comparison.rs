//! The comparison of one object with its ground truth.

use super::tiles::{choose_slices, lay_out, TileView, FILL};
use super::{Colour, Picture};
use crate::datasets::BinaryMask;
use crate::geometry::{Axis, SliceIndex};
use crate::slices::intensity::IntensityRange;
use crate::volume::Volume;
use std::ops::Range;

const TRUTH: Colour = [60, 220, 150];
const PREDICTION: Colour = [255, 92, 64];
/// Tiles of a comparison, at most.
const TILES: usize = 12;
/// Margin around both masks, as a share of their size, and at least so many pixels.
const MARGIN: f64 = 0.35;
const MIN_MARGIN: usize = 8;

/// A montage of one object, cropped to its surroundings: ground truth in green, prediction in red.
pub fn comparison(
    image: &Volume<f32>,
    truth: &BinaryMask,
    prediction: &BinaryMask,
    axis: Axis,
    range: IntensityRange,
    prompted: SliceIndex,
) -> Picture {
    let count = image.geometry().dims.along(axis);
    let areas = truth.areas(axis).into_iter().zip(prediction.areas(axis));
    let found: Vec<usize> = areas.enumerate().filter(|(_, (t, p))| t + p > 0).map(|(n, _)| n).collect();
    let chosen = choose_slices(&found, count, &[prompted], TILES);
    let view = TileView::new(image.geometry(), axis, surroundings(&[truth, prediction], axis));
    lay_out(image, axis, range, &[prompted], &chosen, &view, |picture, place, slice| {
        picture.outline(place, &view.mask(&truth.slice(axis, slice)), TRUTH, 0.0);
        picture.outline(place, &view.mask(&prediction.slice(axis, slice)), PREDICTION, FILL);
    })
}

/// Rows and columns that contain the masks, with a margin; `None` where all are empty.
fn surroundings(masks: &[&BinaryMask], axis: Axis) -> Option<[Range<usize>; 2]> {
    let (columns, rows) = axis.in_plane();
    let side = |along: Axis| {
        let n = 2 - along.index();
        let held = masks.iter().filter(|mask| !mask.is_empty());
        let first = held.clone().map(|mask| mask.origin()[n]).min()?;
        let last = held.map(|mask| mask.origin()[n] + mask.inside().shape()[n]).max()?;
        let room = MIN_MARGIN.max(((last - first) as f64 * MARGIN) as usize);
        Some(first.saturating_sub(room)..(last + room).min(masks[0].dims()[n]))
    };
    Some([side(rows)?, side(columns)?])
}
