//! NRRD: attached and detached headers; raw, gzip, bzip2, hex and text data in one file or several. Source: the format
//! page of Teem.
//!
//! One axis beside the three of space may hold components, frames or, in a `.seg.nrrd`, layers.

mod data;
mod fields;

use super::encoding::{EncodedVolume, Frames};
use super::voxels::check_affine;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Geometry;
use fields::{format, Fields};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Reads header and voxels, which stay encoded.
pub(super) fn read(path: &Path, frames: Frames) -> Result<EncodedVolume> {
    let (fields, mut reader) = open(path)?;
    let axes = fields.axes()?;
    let geometry = Geometry { dims: axes.dims, ijk_to_ras: fields.spatial_map(&axes)? };
    check_affine(&geometry)?;
    let frame = frames.choose(axes.frames, &axes.shown)?;
    let mut encoding = fields.encoding()?;
    let count = axes.dims.checked_len().map_err(|e| Error::new(ErrorKind::Format, e.to_string()))?;
    let expected = count
        .checked_mul(axes.frames)
        .and_then(|all| all.checked_mul(encoding.scalar.bytes()))
        .ok_or_else(|| format(format!("{} voxels: more than an address space holds", axes.dims)))?;
    let names = fields.data_files()?;
    let all = if names.is_empty() {
        fields.data(&mut reader, &mut encoding, expected)?
    } else {
        if expected % names.len() != 0 {
            return Err(format(format!("{expected} bytes in {} data files; expected equal parts", names.len())));
        }
        let (mut all, mut stored) = (Vec::new(), encoding);
        for name in &names {
            let file = File::open(path.with_file_name(name))
                .map_err(|e| Error::io(format!("cannot open its data file `{name}`"), e))?;
            stored = encoding;
            let part = expected / names.len();
            all.extend(fields.data(&mut BufReader::with_capacity(1 << 20, file), &mut stored, part)?);
        }
        encoding = stored;
        all
    };
    let bytes = axes.frame(all, frame, encoding.scalar.bytes());
    let segments = fields.segments(axes.frames)?;
    Ok(EncodedVolume { kind: "NRRD", frames: axes.frames, geometry, forms: None, encoding, bytes, segments })
}

/// The files that a path stands for: the header and its data files.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let names = open(path).and_then(|(fields, _)| fields.data_files()).unwrap_or_default();
    files.extend(names.iter().map(|name| path.with_file_name(name)));
    files
}

fn open(path: &Path) -> Result<(Fields, BufReader<File>)> {
    let file = File::open(path).map_err(|e| Error::io("cannot open", e))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    Ok((Fields::parse(&mut reader)?, reader))
}
