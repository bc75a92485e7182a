//! The pixels of a DICOM file as numbers.
//!
//! In: a file. Out: stored numbers of its frames: BitsStored bits, with the sign that PixelRepresentation says. Unused
//! bits, in which old files keep overlays, never count.

use super::attributes::{fault, number, open, Part, PIXEL_DATA};
use crate::error::Result;
use dicom_core::value::Value;
use dicom_object::{DefaultDicomObject, Tag};
use dicom_pixeldata::PixelDecoder;
use std::path::{Path, PathBuf};

const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const BITS_STORED: Tag = Tag(0x0028, 0x0101);
const HIGH_BIT: Tag = Tag(0x0028, 0x0102);
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);

/// The decoded frames of one file.
pub(super) struct Pixels {
    pub path: PathBuf,
    bytes: Vec<u8>,
    layout: Layout,
}

/// Where a stored number is among the bits of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    bytes: usize,
    lowest_bit: u32,
    bits: u32,
    signed: bool,
}

impl Pixels {
    pub fn read(path: &Path) -> Result<Self> {
        let object = open(path, Part::Everything)?;
        let layout = layout(path, &object)?;
        let decoded = object.decode_pixel_data().map_err(|e| fault(path, "cannot decode the pixels").with_source(e))?;
        Ok(Self { path: path.to_owned(), bytes: decoded.into_data(), layout })
    }

    /// The bytes of a frame of `count` pixels.
    pub fn frame(&self, frame: usize, count: usize) -> Result<&[u8]> {
        let length = count * self.layout.bytes;
        self.bytes.get(frame * length..(frame + 1) * length).ok_or_else(|| {
            let found = self.bytes.len() / self.layout.bytes;
            fault(&self.path, format!("{found} pixels, expected {count} in frame {frame}"))
        })
    }

    /// The stored numbers of a frame.
    pub fn stored(&self, frame: usize, count: usize) -> Result<impl Iterator<Item = f64> + '_> {
        let layout = self.layout;
        Ok(self.frame(frame, count)?.chunks_exact(layout.bytes).map(move |pixel| layout.number(pixel)))
    }
}

impl Layout {
    fn number(self, pixel: &[u8]) -> f64 {
        let word = pixel.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        // The number's highest bit to the word's, and back: the shift of a signed number repeats the sign.
        let raised = word << (64 - self.lowest_bit - self.bits);
        match self.signed {
            true => (raised as i64 >> (64 - self.bits)) as f64,
            false => (raised >> (64 - self.bits)) as f64,
        }
    }
}

fn layout(path: &Path, object: &DefaultDicomObject) -> Result<Layout> {
    let whole = |tag: Tag| number(object, tag).filter(|n| (0.0..=64.0).contains(n)).map(|n| n as u32);
    let allocated = whole(BITS_ALLOCATED).unwrap_or(16);
    if ![8, 16, 32].contains(&allocated) {
        return Err(fault(path, format!("{allocated} bits allocated for a pixel; expected 8, 16 or 32")));
    }
    let bits = whole(BITS_STORED).unwrap_or(allocated);
    if bits == 0 || bits > allocated {
        return Err(fault(path, format!("{bits} bits stored of {allocated} allocated; expected 1 to {allocated}")));
    }
    let signed = whole(PIXEL_REPRESENTATION) == Some(1);
    let mut layout = Layout { bytes: (allocated / 8) as usize, lowest_bit: 0, bits, signed };
    let fragments = object.get(PIXEL_DATA).and_then(|element| match element.value() {
        Value::PixelSequence(sequence) => Some(sequence.fragments()),
        _ => None,
    });
    match fragments {
        // Decoders give numbers from bit 0 on. Some scanners write the wrong sign into JPEG 2000 streams: then the
        // stream's precision says where the sign is.
        Some(fragments) => {
            let stream = fragments.first().and_then(|bytes| jpeg_2000_component(bytes));
            if let Some((precision, _)) = stream.filter(|&(p, sign)| sign != signed && (1..=allocated).contains(&p)) {
                layout.bits = precision;
            }
        }
        None => {
            let high = whole(HIGH_BIT).unwrap_or(bits - 1);
            layout.lowest_bit = (high + 1).saturating_sub(bits).min(allocated - bits);
        }
    }
    Ok(layout)
}

/// Bits and sign of the first component of a JPEG 2000 stream, which may lie within a JP2 file.
fn jpeg_2000_component(stream: &[u8]) -> Option<(u32, bool)> {
    /// Start of the stream, and the marker of sizes, which comes next.
    const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
    /// From there to the component's description.
    const COMPONENT: usize = 2 + 40;
    const SEARCHED: usize = 1024;
    let within = &stream[..stream.len().min(SEARCHED)];
    let start = within.windows(4).position(|window| window == START)?;
    let described = *stream.get(start + COMPONENT)?;
    Some((u32::from(described & 0x7F) + 1, described & 0x80 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(pixel: u16, lowest_bit: u32, bits: u32, signed: bool) -> f64 {
        Layout { bytes: 2, lowest_bit, bits, signed }.number(&pixel.to_le_bytes())
    }

    #[test]
    fn stored_bits_alone_count_with_their_sign() {
        assert_eq!(number((-500i16 as u16) & 0xFFF, 0, 12, true), -500.0);
        assert_eq!(number(0x8000 | 1100, 0, 12, false), 1100.0);
        assert_eq!(number(0xFFFF, 0, 16, true), -1.0);
        assert_eq!(number(0xABC0 | 0x000F, 4, 12, false), 2748.0);
        assert_eq!(Layout { bytes: 4, lowest_bit: 0, bits: 32, signed: true }.number(&(-70000i32).to_le_bytes()), -7e4);
    }

    #[test]
    fn a_jpeg_2000_stream_says_bits_and_sign_of_its_component() {
        let mut stream = vec![0; 60];
        stream[8..12].copy_from_slice(&[0xFF, 0x4F, 0xFF, 0x51]);
        stream[8 + 42] = 0x80 | 12;
        assert_eq!(jpeg_2000_component(&stream), Some((13, true)));
        assert_eq!(jpeg_2000_component(&[0; 100]), None);
    }
}
