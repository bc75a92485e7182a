//! Tiles of a montage: which slices are shown, how each becomes a tile, and where it lies.

use super::{Colour, Picture};
use crate::geometry::{Axis, Geometry, SliceIndex};
use crate::slices::{self, intensity::IntensityRange, resize};
use crate::volume::Volume;
use ndarray::{s, Array2};
use std::collections::BTreeSet;
use std::ops::Range;

/// Longer side of a tile and the gap between tiles, in pixels.
const TILE: usize = 240;
const GAP: usize = 4;
const FRAME: Colour = [255, 200, 60];
/// Opacity of a mask's fill.
pub(super) const FILL: f32 = 0.18;

/// Lays tiles out in reading order; `draw` adds the contours of each.
pub(super) fn lay_out(
    image: &Volume<f32>,
    axis: Axis,
    range: IntensityRange,
    prompted: &[SliceIndex],
    chosen: &[SliceIndex],
    view: &TileView,
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

/// The prompted slices, the slices around both ends of `found`, and evenly spread ones between, rising; at most
/// `tiles`.
pub(super) fn choose_slices(found: &[usize], count: usize, prompted: &[SliceIndex], tiles: usize) -> Vec<SliceIndex> {
    let first = found.first().copied().into_iter().chain(prompted.iter().map(|s| s.0)).min().unwrap_or(0);
    let last = found.last().copied().into_iter().chain(prompted.iter().map(|s| s.0)).max().unwrap_or(count - 1);
    // One empty slice beyond each end shows that the object ends there.
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

/// How a slice becomes a tile: crop, size, orientation.
pub(super) struct TileView {
    /// Rows and columns of a tile, in pixels.
    tile: [usize; 2],
    flip_rows: bool,
    flip_columns: bool,
    /// Rows and columns of the crop.
    crop: [Range<usize>; 2],
}

impl TileView {
    pub(super) fn new(geometry: &Geometry, axis: Axis, crop: Option<[Range<usize>; 2]>) -> Self {
        let (columns, rows) = axis.in_plane();
        let spacing = geometry.spacing().0;
        let crop = crop.unwrap_or_else(|| [rows, columns].map(|a| 0..geometry.dims.along(a)));
        let size = [0, 1].map(|n| crop[n].len() as f64 * spacing[[rows, columns][n].index()]);
        let scale = TILE as f64 / size[0].max(size[1]);
        let tile = size.map(|e| ((e * scale).round() as usize).max(24));
        // Left to right: towards the patient's left, in a sagittal view towards posterior or anterior. Top to bottom:
        // towards posterior or inferior.
        let rising = |a: Axis, wanted: [f64; 3]| {
            let column = [0, 1, 2].map(|row| geometry.ijk_to_ras.0[row][a.index()]);
            let main = (0..3).fold(0, |m, r| if column[r].abs() > column[m].abs() { r } else { m });
            column[main] * wanted[main] > 0.0
        };
        Self {
            tile,
            flip_rows: !rising(rows, [-1.0, -1.0, -1.0]),
            flip_columns: !rising(columns, [-1.0, -1.0, -1.0]),
            crop,
        }
    }

    fn oriented<T: Clone>(&self, mut tile: Array2<T>) -> Array2<T> {
        if self.flip_rows {
            tile.invert_axis(ndarray::Axis(0));
        }
        if self.flip_columns {
            tile.invert_axis(ndarray::Axis(1));
        }
        tile
    }

    fn cropped<'a, T>(&self, slice: &'a Array2<T>) -> ndarray::ArrayView2<'a, T> {
        slice.slice(s![self.crop[0].clone(), self.crop[1].clone()])
    }

    fn grey(&self, slice: &Array2<f32>) -> Array2<f32> {
        self.oriented(resize::resize(self.cropped(slice), self.tile))
    }

    /// A mask as a tile, by the nearest voxel.
    pub(super) fn mask(&self, slice: &Array2<bool>) -> Array2<bool> {
        let [height, width] = self.tile;
        let slice = self.cropped(slice);
        let (rows, columns) = slice.dim();
        self.oriented(Array2::from_shape_fn((height, width), |(r, c)| slice[(r * rows / height, c * columns / width)]))
    }
}
