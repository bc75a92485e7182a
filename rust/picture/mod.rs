//! Pictures: montages of slices and plots, as PNG.
//!
//! In: volumes, masks, numbers. Out: RGB pixels and PNG bytes. Knows nothing of models or data sets on disk.

#[cfg(feature = "evaluate")]
pub mod comparison;
pub mod montage;
#[cfg(any(feature = "evaluate", feature = "train"))]
pub mod plot;
mod tiles;

use crate::error::{Error, ErrorKind, Result};
use crate::output::{write_bytes, Overwrite};
use ndarray::Array2;
use std::path::Path;

/// Red, green, blue.
pub type Colour = [u8; 3];

const BACKGROUND: Colour = [18, 18, 20];
const TEXT: Colour = [240, 240, 240];

/// Digits of 3 x 5 dots, three bits for each row.
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

/// An RGB picture.
#[derive(Debug, Clone)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture of the background colour.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: BACKGROUND.repeat(width * height) }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn at(&self, row: usize, column: usize) -> Colour {
        let at = 3 * (row * self.width + column);
        [0, 1, 2].map(|c| self.pixels[at + c])
    }

    fn put(&mut self, row: usize, column: usize, colour: Colour) {
        let at = 3 * (row * self.width + column);
        self.pixels[at..at + 3].copy_from_slice(&colour);
    }

    /// Draws grey values of 0 to 1, the upper left pixel at (row, column).
    pub fn grey(&mut self, [top, left]: [usize; 2], grey: &Array2<f32>) {
        for ((row, column), &value) in grey.indexed_iter() {
            self.put(top + row, left + column, [(value * 255.0).round() as u8; 3]);
        }
    }

    /// Draws a mask's contour, two pixels wide inside the mask, and fills it with the opacity `fill` (0 to 1).
    pub fn outline(&mut self, [top, left]: [usize; 2], mask: &Array2<bool>, colour: Colour, fill: f32) {
        let (height, width) = mask.dim();
        for ((row, column), _) in mask.indexed_iter().filter(|(_, &inside)| inside) {
            let near = |r: isize, c: isize| {
                let (r, c) = (row as isize + r, column as isize + c);
                let on_tile = (0..height as isize).contains(&r) && (0..width as isize).contains(&c);
                on_tile && mask[(r as usize, c as usize)]
            };
            let interior = (-2..=2).all(|d| near(d, 0) && near(0, d));
            let weight = if interior { fill } else { 1.0 };
            let below = self.at(top + row, left + column);
            let mixed = [0, 1, 2].map(|c| (f32::from(below[c]) * (1.0 - weight) + f32::from(colour[c]) * weight) as u8);
            self.put(top + row, left + column, mixed);
        }
    }

    /// Draws a frame of three pixels inside a tile.
    pub fn frame(&mut self, [top, left]: [usize; 2], [height, width]: [usize; 2], colour: Colour) {
        for row in 0..height {
            for column in 0..width {
                if row < 3 || column < 3 || row + 3 >= height || column + 3 >= width {
                    self.put(top + row, left + column, colour);
                }
            }
        }
    }

    /// Draws a number, its upper left corner at (row, column).
    pub fn digits(&mut self, [top, left]: [usize; 2], number: usize) {
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

    /// The picture as a PNG file's bytes.
    pub fn png(&self) -> Result<Vec<u8>> {
        let failed = |e: png::EncodingError| Error::new(ErrorKind::Io, "cannot encode a picture as PNG").with_source(e);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }

    /// Writes the picture as PNG.
    pub fn write(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        write_bytes(path, overwrite, &self.png()?)
    }
}
