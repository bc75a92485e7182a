//! FreeSurfer's `.mgh` and `.mgz`: a fixed header, big endian, and the voxels.

use super::encoding::{ByteOrder, EncodedVolume, Encoding, Frames, Scalar};
use super::voxels::check_affine;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes of the header; the voxels follow.
const HEADER: usize = 284;

/// Reads header and voxels, which stay encoded.
pub(super) fn read(path: &Path, frames: Frames) -> Result<EncodedVolume> {
    let mut reader = open(path)?;
    let mut header = [0u8; HEADER];
    reader.read_exact(&mut header).map_err(|e| format("no MGH header: shorter than 284 bytes").with_source(e))?;
    let four = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
    let int = |at: usize| i32::from_be_bytes(four(at));
    let float = |at: usize| f64::from(f32::from_be_bytes(four(at)));
    if int(0) != 1 {
        return Err(format(format!("no MGH file: version {}, expected 1", int(0))));
    }
    let sizes = [4, 8, 12, 16].map(int);
    if sizes.iter().any(|&n| n < 1) {
        return Err(format(format!("dimensions {sizes:?}, expected positive numbers")));
    }
    let [i, j, k, count] = sizes.map(|n| n as usize);
    let frame = frames.choose(count, &format!("4-D data of {sizes:?} voxels"))?;
    let scalar = match int(20) {
        0 => Scalar::U8,
        1 => Scalar::I32,
        3 => Scalar::F32,
        4 => Scalar::I16,
        10 => Scalar::U16,
        other => {
            return Err(Error::new(ErrorKind::Unsupported, format!("data type {other}; expected 0, 1, 3, 4 or 10")))
        }
    };
    // Without a map FreeSurfer takes coronal slices of 1 mm.
    let placed = header[28..30] != [0, 0];
    let spacing = if placed { [30, 34, 38].map(float) } else { [1.0; 3] };
    let unplaced = [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
    let directions = if placed { [42, 54, 66].map(|at| [at, at + 4, at + 8].map(float)) } else { unplaced };
    let centre = if placed { [78, 82, 86].map(float) } else { [0.0; 3] };
    let dims = Dims([i, j, k]);
    let rows = [0, 1, 2].map(|row| {
        let column = |axis: usize| directions[axis][row] * spacing[axis];
        let start = (0..3).map(|axis| column(axis) * dims.0[axis] as f64 / 2.0).sum::<f64>();
        [column(0), column(1), column(2), centre[row] - start]
    });
    let geometry = Geometry { dims, ijk_to_ras: IjkToRas(rows) };
    check_affine(&geometry)?;
    let expected = dims.checked_len()?.checked_mul(scalar.bytes());
    let expected = expected.ok_or_else(|| format(format!("{dims} voxels: more than an address space holds")))?;
    let broken = |e| format("cannot read the voxels").with_source(e);
    let skipped = (frame as u64).saturating_mul(expected as u64);
    std::io::copy(&mut reader.by_ref().take(skipped), &mut std::io::sink()).map_err(broken)?;
    let mut bytes = Vec::new();
    reader.take(expected as u64).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() < expected {
        return Err(format(format!("the voxels break off: {} bytes, expected {expected}", bytes.len())));
    }
    let encoding = Encoding { scalar, order: ByteOrder::Big, slope: 1.0, intercept: 0.0 };
    Ok(EncodedVolume { kind: "MGH", frames: count, geometry, forms: None, encoding, bytes, segments: Vec::new() })
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    let failed = |e| Error::io("cannot open", e);
    let mut start = Vec::new();
    File::open(path).map_err(failed)?.take(2).read_to_end(&mut start).map_err(failed)?;
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    Ok(if start == [0x1f, 0x8b] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

fn format(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}
