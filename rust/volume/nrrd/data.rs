//! The voxels of a NRRD file, unpacked.

use super::fields::{format, unsupported, Fields, LONGEST_HEADER};
use crate::error::{Error, ErrorKind, Result};
use crate::volume::encoding::Encoding;
use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

impl Fields {
    /// The voxels' bytes.
    ///
    /// Text becomes doubles, and `encoding` says so.
    pub(super) fn data(
        &self,
        reader: &mut BufReader<File>,
        encoding: &mut Encoding,
        expected: usize,
    ) -> Result<Vec<u8>> {
        let broken = |e| Error::new(ErrorKind::Format, "cannot read the voxels").with_source(e);
        let (lines, skip) = (self.number("line skip")?, self.number("byte skip")?);
        if lines < 0 || skip < -1 {
            return Err(format(format!("skips of {lines} lines and {skip} bytes; expected none below 0, or -1 bytes")));
        }
        let mut ignored = Vec::new();
        for _ in 0..lines {
            ignored.clear();
            if reader.by_ref().take(LONGEST_HEADER).read_until(b'\n', &mut ignored).map_err(broken)? == 0 {
                return Err(format(format!("the file ends within the {lines} lines to skip")));
            }
        }
        let name = self.need("encoding")?.to_lowercase();
        match name.as_str() {
            "raw" if skip == -1 => {
                let length = reader.seek(SeekFrom::End(0)).map_err(broken)?;
                let start = length.checked_sub(expected as u64).ok_or_else(|| short(length as usize, expected))?;
                reader.seek(SeekFrom::Start(start)).map_err(broken)?;
                exactly(reader, 0, expected)
            }
            "raw" => exactly(reader, skip as u64, expected),
            "gzip" | "gz" => unpacked(MultiGzDecoder::new(reader), skip, expected),
            "bzip2" | "bz2" => unpacked(MultiBzDecoder::new(reader), skip, expected),
            "hex" => hexadecimal(reader, expected),
            "ascii" | "text" | "txt" => {
                let count = expected / encoding.scalar.bytes();
                *encoding = Encoding::little_endian("double");
                numbers(reader, count)
            }
            _ => Err(unsupported(format!("encoding `{name}`; expected raw, gzip, bzip2, hex or ascii"))),
        }
    }
}

/// `expected` bytes of a packed stream, behind `skip` bytes; -1: its last ones.
fn unpacked(mut stream: impl Read, skip: i64, expected: usize) -> Result<Vec<u8>> {
    if skip == -1 {
        return last(&mut stream, expected);
    }
    let bytes = exactly(&mut stream, skip as u64, expected)?;
    let mut more = [0u8];
    let broken = |e| Error::new(ErrorKind::Format, "cannot read the voxels").with_source(e);
    if stream.read(&mut more).map_err(broken)? > 0 {
        return Err(format(format!("more data than the {expected} bytes of its sizes")));
    }
    Ok(bytes)
}

/// Two digits a byte, with space anywhere.
fn hexadecimal(reader: &mut impl Read, expected: usize) -> Result<Vec<u8>> {
    /// Two digits, and at most as much space.
    const CHARACTERS: u64 = 4;
    let mut text = Vec::new();
    let broken = |e| Error::new(ErrorKind::Format, "cannot read the voxels").with_source(e);
    let limit = (expected as u64).saturating_mul(CHARACTERS).saturating_add(1024);
    reader.take(limit).read_to_end(&mut text).map_err(broken)?;
    let digits = text.iter().filter(|c| !c.is_ascii_whitespace()).map(|&c| char::from(c).to_digit(16));
    let digits: Option<Vec<u8>> = digits.take(2 * expected).map(|d| d.map(|d| d as u8)).collect();
    let digits = digits.ok_or_else(|| format("the voxels have a character that is no hexadecimal digit".into()))?;
    if digits.len() < 2 * expected {
        return Err(short(digits.len() / 2, expected));
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

fn short(found: usize, expected: usize) -> Error {
    format(format!("the voxels break off: {found} bytes, expected {expected}"))
}

/// `expected` bytes after `skip`; no more is allocated than is there.
fn exactly(reader: &mut impl Read, skip: u64, expected: usize) -> Result<Vec<u8>> {
    const FIRST: usize = 64 << 20;
    let broken = |e| Error::new(ErrorKind::Format, "cannot read the voxels").with_source(e);
    std::io::copy(&mut reader.by_ref().take(skip), &mut std::io::sink()).map_err(broken)?;
    let mut bytes = Vec::with_capacity(expected.min(FIRST));
    reader.take(expected as u64).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() < expected {
        return Err(short(bytes.len(), expected));
    }
    Ok(bytes)
}

/// The last `expected` bytes of a stream, of which never more than twice as many are held.
fn last(reader: &mut impl Read, expected: usize) -> Result<Vec<u8>> {
    let broken = |e| Error::new(ErrorKind::Format, "cannot read the voxels").with_source(e);
    let (mut before, mut bytes) = (Vec::new(), Vec::new());
    loop {
        if reader.by_ref().take(expected as u64).read_to_end(&mut bytes).map_err(broken)? < expected {
            before.extend(bytes);
            let start = before.len().checked_sub(expected).ok_or_else(|| short(before.len(), expected))?;
            return Ok(before.split_off(start));
        }
        before = std::mem::take(&mut bytes);
    }
}

/// Text numbers as the bytes of doubles.
fn numbers(reader: impl Read, count: usize) -> Result<Vec<u8>> {
    /// The longest number that a writer prints.
    const DIGITS: u64 = 64;
    let mut text = String::new();
    let limit = (count as u64).saturating_mul(DIGITS);
    reader
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|e| Error::new(ErrorKind::Format, "cannot read the voxels").with_source(e))?;
    let mut bytes = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).take(count) {
        let value: f64 = word.parse().map_err(|_| format(format!("voxel `{word}` is no number")))?;
        bytes.extend(value.to_le_bytes());
    }
    if bytes.len() < count * 8 {
        return Err(format(format!("the voxels break off: {} numbers, expected {count}", bytes.len() / 8)));
    }
    Ok(bytes)
}
