//! A montage of slices with the contours of what was found, as PNG.

use ndarray::Array2;
use promem::geometry::{Axis, Geometry, SliceIndex};
use promem::output::{self, Overwrite};
use promem::slices::{self, intensity::IntensityRange, resize};
use promem::volume::{LabelMap, Volume};
use promem::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Tiles of a montage, at most.
const TILES: usize = 20;
/// Longer side of a tile and the gap between tiles, in pixels.
const TILE: usize = 240;
const GAP: usize = 4;
const BACKGROUND: [u8; 3] = [18, 18, 20];
const FRAME: [u8; 3] = [255, 200, 60];
const TEXT: [u8; 3] = [240, 240, 240];
/// How much of the label's colour a pixel inside takes.
const FILL: f32 = 0.18;
/// Colours that are told apart on grey, also by most colour-blind people (Okabe and Ito, brightened).
const PALETTE: [[u8; 3]; 8] = [
    [255, 92, 64],
    [86, 190, 255],
    [60, 220, 150],
    [255, 190, 40],
    [225, 130, 200],
    [245, 235, 80],
    [40, 130, 230],
    [255, 150, 90],
];

/// An RGB picture.
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// Slices spread over what was found, the prompted ones among them and framed, in radiological view: the patient's right on
/// the left, anterior or superior up.
pub fn montage(
    image: &Volume<f32>,
    labels: &LabelMap,
    axis: Axis,
    range: IntensityRange,
    prompted: &[SliceIndex],
) -> Picture {
    let chosen = choose(labels, axis, prompted);
    let view = View::new(image.geometry(), axis);
    let [height, width] = view.tile;
    let columns = (chosen.len() as f64).sqrt().ceil() as usize;
    let columns = columns.max(1).min(chosen.len().max(1));
    let rows = chosen.len().div_ceil(columns);
    let mut picture = Picture::new(columns * (width + GAP) + GAP, rows * (height + GAP) + GAP);
    for (n, &slice) in chosen.iter().enumerate() {
        let place = [GAP + (n / columns) * (height + GAP), GAP + (n % columns) * (width + GAP)];
        let grey = slices::extract(image.voxels(), axis, slice).mapv(|v| range.apply(v));
        let plane = slices::extract(labels.voxels(), axis, slice);
        picture.tile(place, &view.grey(&grey), &view.labels(&plane));
        picture.digits([place[0] + 6, place[1] + 6], slice.0);
        if prompted.contains(&slice) {
            picture.frame(place, view.tile);
        }
    }
    picture
}

/// Prompted slices, both ends of what was found, and evenly spread ones between, rising.
fn choose(labels: &LabelMap, axis: Axis, prompted: &[SliceIndex]) -> Vec<SliceIndex> {
    let count = labels.geometry().dims.along(axis);
    let found: Vec<usize> = (0..count)
        .filter(|&s| slices::extract(labels.voxels(), axis, SliceIndex(s)).iter().any(|&label| label > 0))
        .collect();
    let first = found.first().copied().into_iter().chain(prompted.iter().map(|s| s.0)).min().unwrap_or(0);
    let last = found.last().copied().into_iter().chain(prompted.iter().map(|s| s.0)).max().unwrap_or(count - 1);
    // One slice beyond each end shows that the end is one.
    let (first, last) = (first.saturating_sub(1), (last + 1).min(count - 1));
    let mut chosen: BTreeSet<SliceIndex> = prompted.iter().copied().take(TILES).collect();
    let wanted = TILES.min(last - first + 1);
    for n in 0..wanted {
        if chosen.len() >= TILES {
            break;
        }
        chosen.insert(SliceIndex(first + (n * (last - first)) / wanted.saturating_sub(1).max(1)));
    }
    chosen.into_iter().collect()
}

/// How a slice becomes a tile.
struct View {
    /// Rows and columns of a tile, in pixels.
    tile: [usize; 2],
    flip_rows: bool,
    flip_columns: bool,
}

impl View {
    fn new(geometry: &Geometry, axis: Axis) -> Self {
        let (columns, rows) = axis.in_plane();
        let spacing = geometry.spacing().0;
        let extent = [rows, columns].map(|a| geometry.dims.along(a) as f64 * spacing[a.index()]);
        let scale = TILE as f64 / extent[0].max(extent[1]);
        let tile = extent.map(|e| ((e * scale).round() as usize).max(24));
        // Shown from left to right: towards the patient's left, or anterior in a sagittal view. From top to bottom: towards
        // posterior, or inferior.
        let rising = |a: Axis, wanted: [f64; 3]| {
            let column = [0, 1, 2].map(|row| geometry.ijk_to_ras.0[row][a.index()]);
            let main = (0..3).fold(0, |m, r| if column[r].abs() > column[m].abs() { r } else { m });
            column[main] * wanted[main] > 0.0
        };
        Self { tile, flip_rows: !rising(rows, [-1.0, -1.0, -1.0]), flip_columns: !rising(columns, [-1.0, -1.0, -1.0]) }
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

    fn grey(&self, slice: &Array2<f32>) -> Array2<f32> {
        self.turned(resize::resize(slice.view(), self.tile))
    }

    /// The nearest voxel's label.
    fn labels(&self, slice: &Array2<u16>) -> Array2<u16> {
        let [height, width] = self.tile;
        let (rows, columns) = slice.dim();
        self.turned(Array2::from_shape_fn((height, width), |(r, c)| slice[(r * rows / height, c * columns / width)]))
    }
}

/// 3 x 5 digits, a row in each three bits.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];
/// Pixels per dot of a digit.
const DOT: usize = 2;

impl Picture {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: BACKGROUND.repeat(width * height) }
    }

    fn put(&mut self, row: usize, column: usize, colour: [u8; 3]) {
        let at = 3 * (row * self.width + column);
        self.pixels[at..at + 3].copy_from_slice(&colour);
    }

    /// Grey values of 0..1 with labels as contours of two pixels and a light fill.
    fn tile(&mut self, [top, left]: [usize; 2], grey: &Array2<f32>, labels: &Array2<u16>) {
        let (height, width) = grey.dim();
        for ((row, column), &value) in grey.indexed_iter() {
            let label = labels[(row, column)];
            let shade = (value * 255.0).round() as u8;
            let mut colour = [shade; 3];
            if label > 0 {
                let own = PALETTE[usize::from(label - 1) % PALETTE.len()];
                let near = |r: isize, c: isize| {
                    let (r, c) = (row as isize + r, column as isize + c);
                    let inside = (0..height as isize).contains(&r) && (0..width as isize).contains(&c);
                    inside && labels[(r as usize, c as usize)] == label
                };
                let interior = (-2..=2).all(|d| near(d, 0) && near(0, d));
                let weight = if interior { FILL } else { 1.0 };
                colour = [0, 1, 2].map(|c| (f32::from(shade) * (1.0 - weight) + f32::from(own[c]) * weight) as u8);
            }
            self.put(top + row, left + column, colour);
        }
    }

    fn frame(&mut self, [top, left]: [usize; 2], [height, width]: [usize; 2]) {
        for row in 0..height {
            for column in 0..width {
                if row < 3 || column < 3 || row + 3 >= height || column + 3 >= width {
                    self.put(top + row, left + column, FRAME);
                }
            }
        }
    }

    fn digits(&mut self, [top, left]: [usize; 2], number: usize) {
        for (n, digit) in number.to_string().bytes().map(|b| DIGITS[usize::from(b - b'0')]).enumerate() {
            let x = left + n * 4 * DOT;
            for (row, column) in (0..5 * DOT).flat_map(|r| (0..3 * DOT).map(move |c| (r, c))) {
                let bit = 14 - (row / DOT * 3 + column / DOT);
                if digit >> bit & 1 == 1 {
                    self.put(top + row + 1, x + column + 1, [0, 0, 0]); // a shadow keeps it legible on bright tissue
                    self.put(top + row, x + column, TEXT);
                }
            }
        }
    }

    /// Writes the picture as PNG.
    pub fn write(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        let failed = |e: png::EncodingError| {
            Error::new(ErrorKind::Io, format!("cannot write `{}`", path.display())).with_source(e)
        };
        output::write(path, overwrite, |out| {
            let mut encoder = png::Encoder::new(out, self.width as u32, self.height as u32);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header().map_err(failed)?;
            writer.write_image_data(&self.pixels).map_err(failed)?;
            writer.finish().map_err(failed)
        })
    }
}
