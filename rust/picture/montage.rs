//! Montages of slices: the contours of what was found, and of what was drawn by hand beside it.

use super::{Colour, Picture};
use crate::datasets::BinaryMask;
use crate::geometry::{Axis, Geometry, SliceIndex};
use crate::slices::{self, intensity::IntensityRange, resize};
use crate::volume::{LabelMap, Volume};
use ndarray::{s, Array2};
use std::collections::BTreeSet;
use std::ops::Range;

/// Tiles of a montage, at most.
const TILES: usize = 20;
/// Longer side of a tile and the gap between tiles, in pixels.
const TILE: usize = 240;
const GAP: usize = 4;
const FRAME: Colour = [255, 200, 60];
/// How much of the label's colour a pixel inside takes.
const FILL: f32 = 0.18;
/// Colours that are told apart on grey, also by most colour-blind people (Okabe and Ito, brightened).
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

/// What was drawn by hand, and what was predicted.
pub const TRUTH: Colour = [60, 220, 150];
pub const PREDICTION: Colour = [255, 92, 64];
/// Tiles of a comparison, at most.
const COMPARED: usize = 12;
/// Room around both masks in a comparison, as a share of their size, and in pixels.
const MARGIN: f64 = 0.35;
const LEAST_MARGIN: usize = 8;

/// Slices spread over what was found, the prompted ones among them and framed, in radiological view: the patient's right on
/// the left, anterior or superior up.
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
    let chosen = choose(&found, count, prompted, TILES);
    let view = SliceView::new(image.geometry(), axis, None);
    lay_out(image, axis, range, prompted, &chosen, &view, |picture, place, slice| {
        let plane = slices::extract(labels.voxels(), axis, slice);
        let present: BTreeSet<u16> = plane.iter().copied().filter(|&label| label > 0).collect();
        for label in present {
            let colour = PALETTE[usize::from(label - 1) % PALETTE.len()];
            picture.outline(place, &view.mask(&plane.mapv(|l| l == label)), colour, FILL);
        }
    })
}

/// Slices of one object, cut to its surroundings: what was drawn in green, what was predicted in red.
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
    let chosen = choose(&found, count, &[prompted], COMPARED);
    let view = SliceView::new(image.geometry(), axis, surroundings(&[truth, prediction], axis));
    lay_out(image, axis, range, &[prompted], &chosen, &view, |picture, place, slice| {
        picture.outline(place, &view.mask(&truth.slice(axis, slice)), TRUTH, 0.0);
        picture.outline(place, &view.mask(&prediction.slice(axis, slice)), PREDICTION, FILL);
    })
}

/// Rows and columns that hold the masks, with room around; `None` where all are empty.
fn surroundings(masks: &[&BinaryMask], axis: Axis) -> Option<[Range<usize>; 2]> {
    let (columns, rows) = axis.in_plane();
    let side = |along: Axis| {
        let n = 2 - along.index();
        let held = masks.iter().filter(|mask| !mask.is_empty());
        let first = held.clone().map(|mask| mask.origin()[n]).min()?;
        let last = held.map(|mask| mask.origin()[n] + mask.inside().shape()[n]).max()?;
        let room = LEAST_MARGIN.max(((last - first) as f64 * MARGIN) as usize);
        Some(first.saturating_sub(room)..(last + room).min(masks[0].dims()[n]))
    };
    Some([side(rows)?, side(columns)?])
}

/// Tiles in reading order; `draw` puts the contours on each.
fn lay_out(
    image: &Volume<f32>,
    axis: Axis,
    range: IntensityRange,
    prompted: &[SliceIndex],
    chosen: &[SliceIndex],
    view: &SliceView,
    draw: impl Fn(&mut Picture, [usize; 2], SliceIndex),
) -> Picture {
    let [height, width] = view.tile;
    let columns = ((chosen.len() * height) as f64 / width as f64).sqrt().ceil() as usize;
    let columns = columns.max(1).min(chosen.len().max(1));
    let rows = chosen.len().div_ceil(columns);
    let mut picture = Picture::new(columns * (width + GAP) + GAP, rows * (height + GAP) + GAP);
    for (n, &slice) in chosen.iter().enumerate() {
        let place = [GAP + (n / columns) * (height + GAP), GAP + (n % columns) * (width + GAP)];
        let grey = slices::extract(image.voxels(), axis, slice).mapv(|v| range.apply(v));
        picture.grey(place, &view.grey(&grey));
        draw(&mut picture, place, slice);
        picture.digits([place[0] + 6, place[1] + 6], slice.0);
        if prompted.contains(&slice) {
            picture.frame(place, view.tile, FRAME);
        }
    }
    picture
}

/// Prompted slices, both ends of what was found, and evenly spread ones between, rising.
fn choose(found: &[usize], count: usize, prompted: &[SliceIndex], tiles: usize) -> Vec<SliceIndex> {
    let first = found.first().copied().into_iter().chain(prompted.iter().map(|s| s.0)).min().unwrap_or(0);
    let last = found.last().copied().into_iter().chain(prompted.iter().map(|s| s.0)).max().unwrap_or(count - 1);
    // One slice beyond each end shows that the end is one.
    let (first, last) = (first.saturating_sub(1), (last + 1).min(count - 1));
    let mut chosen: BTreeSet<SliceIndex> = prompted.iter().copied().take(tiles).collect();
    let wanted = tiles.min(last - first + 1);
    for n in 0..wanted {
        if chosen.len() >= tiles {
            break;
        }
        chosen.insert(SliceIndex(first + (n * (last - first)) / wanted.saturating_sub(1).max(1)));
    }
    chosen.into_iter().collect()
}

/// How a slice becomes a tile.
struct SliceView {
    /// Rows and columns of a tile, in pixels.
    tile: [usize; 2],
    flip_rows: bool,
    flip_columns: bool,
    /// Rows and columns that are shown.
    window: [Range<usize>; 2],
}

impl SliceView {
    fn new(geometry: &Geometry, axis: Axis, window: Option<[Range<usize>; 2]>) -> Self {
        let (columns, rows) = axis.in_plane();
        let spacing = geometry.spacing().0;
        let window = window.unwrap_or_else(|| [rows, columns].map(|a| 0..geometry.dims.along(a)));
        let extent = [0, 1].map(|n| window[n].len() as f64 * spacing[[rows, columns][n].index()]);
        let scale = TILE as f64 / extent[0].max(extent[1]);
        let tile = extent.map(|e| ((e * scale).round() as usize).max(24));
        // Shown from left to right: towards the patient's left, or anterior in a sagittal view. From top to bottom: towards
        // posterior, or inferior.
        let rising = |a: Axis, wanted: [f64; 3]| {
            let column = [0, 1, 2].map(|row| geometry.ijk_to_ras.0[row][a.index()]);
            let main = (0..3).fold(0, |m, r| if column[r].abs() > column[m].abs() { r } else { m });
            column[main] * wanted[main] > 0.0
        };
        Self {
            tile,
            flip_rows: !rising(rows, [-1.0, -1.0, -1.0]),
            flip_columns: !rising(columns, [-1.0, -1.0, -1.0]),
            window,
        }
    }

    fn turned<T: Clone>(&self, mut tile: Array2<T>) -> Array2<T> {
        if self.flip_rows {
            tile.invert_axis(ndarray::Axis(0));
        }
        if self.flip_columns {
            tile.invert_axis(ndarray::Axis(1));
        }
        tile
    }

    fn shown<'a, T>(&self, slice: &'a Array2<T>) -> ndarray::ArrayView2<'a, T> {
        slice.slice(s![self.window[0].clone(), self.window[1].clone()])
    }

    fn grey(&self, slice: &Array2<f32>) -> Array2<f32> {
        self.turned(resize::resize(self.shown(slice), self.tile))
    }

    /// Whether the nearest voxel is inside.
    fn mask(&self, slice: &Array2<bool>) -> Array2<bool> {
        let [height, width] = self.tile;
        let slice = self.shown(slice);
        let (rows, columns) = slice.dim();
        self.turned(Array2::from_shape_fn((height, width), |(r, c)| slice[(r * rows / height, c * columns / width)]))
    }
}
