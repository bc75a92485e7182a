//! The montage of a label map: slices with the contours of every label.

use super::tiles::{choose_slices, lay_out, TileView, FILL};
use super::{Colour, Picture};
use crate::geometry::{Axis, SliceIndex};
use crate::slices::{self, intensity::IntensityRange};
use crate::volume::{LabelMap, Volume};
use std::collections::BTreeSet;

/// Tiles of a montage, at most.
const TILES: usize = 20;
/// Label colours that are distinct on grey, also with most colour-vision deficiencies (Okabe and Ito, brightened).
const PALETTE: [Colour; 8] = [
    [255, 92, 64],
    [86, 190, 255],
    [60, 220, 150],
    [255, 190, 40],
    [225, 130, 200],
    [245, 235, 80],
    [40, 130, 230],
    [255, 150, 90],
];

/// A montage of slices with the labels' contours, in radiological convention: the patient's right on the left, anterior
/// or superior up. Prompted slices are framed.
pub fn montage(
    image: &Volume<f32>,
    labels: &LabelMap,
    axis: Axis,
    range: IntensityRange,
    prompted: &[SliceIndex],
) -> Picture {
    let count = labels.geometry().dims.along(axis);
    let found: Vec<usize> = (0..count)
        .filter(|&s| slices::extract(labels.voxels(), axis, SliceIndex(s)).iter().any(|&label| label > 0))
        .collect();
    let chosen = choose_slices(&found, count, prompted, TILES);
    let view = TileView::new(image.geometry(), axis, None);
    lay_out(image, axis, range, prompted, &chosen, &view, |picture, place, slice| {
        let plane = slices::extract(labels.voxels(), axis, slice);
        let present: BTreeSet<u16> = plane.iter().copied().filter(|&label| label > 0).collect();
        for label in present {
            let colour = PALETTE[usize::from(label - 1) % PALETTE.len()];
            picture.outline(place, &view.mask(&plane.mapv(|l| l == label)), colour, FILL);
        }
    })
}
