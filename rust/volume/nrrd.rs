//! NRRD: attached and detached headers; raw, gzip and text data. Source: the format page of Teem.

use super::encoding::{ByteOrder, EncodedVolume, Encoding, Scalar};
use super::voxels::check_affine;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas, Spacing};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// A header beyond this is no header.
const LONGEST_HEADER: u64 = 16 << 20;

/// Reads header and voxels, which stay encoded.
pub(super) fn read(path: &Path) -> Result<EncodedVolume> {
    let file = File::open(path).map_err(|e| Error::io("cannot open", e))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let fields = Fields::parse(&mut reader)?;
    let dims = fields.dims()?;
    let geometry = Geometry { dims, ijk_to_ras: fields.spatial_map()? };
    check_affine(&geometry)?;
    let encoding = fields.encoding()?;
    let count = dims.checked_len().map_err(|e| Error::new(ErrorKind::Format, e.to_string()))?;
    let expected = count
        .checked_mul(encoding.scalar.bytes())
        .ok_or_else(|| Error::new(ErrorKind::Format, format!("{dims} voxels: more than an address space holds")))?;
    if let Some(name) = fields.get("data file") {
        if name.starts_with("LIST") || name.split_whitespace().count() > 1 {
            return Err(unsupported(format!("data in several files (`{name}`); expected one data file")));
        }
        let data = path.with_file_name(name);
        let file = File::open(&data).map_err(|e| Error::io(format!("cannot open its data file `{name}`"), e))?;
        reader = BufReader::with_capacity(1 << 20, file);
    }
    let (encoding, bytes) = fields.data(reader, encoding, count, expected)?;
    Ok(EncodedVolume { geometry, forms: None, encoding, bytes })
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

fn format(message: String) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// The header's fields by their lower-case names.
struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Leaves the reader at the first byte after the blank line (or at the end of a detached header).
    fn parse(reader: &mut impl BufRead) -> Result<Self> {
        let broken = |e| Error::new(ErrorKind::Format, "cannot read the header").with_source(e);
        let mut header = reader.take(LONGEST_HEADER);
        let mut fields = BTreeMap::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            header.read_until(b'\n', &mut line).map_err(broken)?;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                break; // the blank line, or the end of the file
            }
            if text.starts_with('#') || text.starts_with("NRRD") {
                continue;
            }
            // `key:=value` is the writer's own; some writers put a field of the format that way.
            if let Some((name, value)) = text.split_once(":=").or_else(|| text.split_once(':')) {
                let name = match name.trim().to_lowercase().as_str() {
                    "datafile" => "data file".into(),
                    "byteskip" => "byte skip".into(),
                    "lineskip" => "line skip".into(),
                    other => other.to_string(),
                };
                fields.insert(name, value.trim().to_string());
            } else {
                return Err(format(format!("header line `{}` is no field", text.chars().take(60).collect::<String>())));
            }
        }
        Ok(Self(fields))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn need(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| format(format!("the header has no field `{name}`")))
    }

    fn number(&self, name: &str) -> Result<i64> {
        let Some(text) = self.get(name) else { return Ok(0) };
        text.parse().map_err(|_| format(format!("field `{name}`: `{text}` is no whole number")))
    }

    fn dims(&self) -> Result<Dims> {
        let text = self.need("sizes")?;
        let sizes: Option<Vec<usize>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
        let sizes = sizes.filter(|s| !s.is_empty() && s.iter().all(|&n| n > 0));
        let sizes = sizes.ok_or_else(|| format(format!("field `sizes`: `{text}`; expected positive whole numbers")))?;
        match sizes[..] {
            [i, j, k] => Ok(Dims([i, j, k])),
            _ => Err(unsupported(format!("{}-D data of {sizes:?} voxels; expected one 3-D volume", sizes.len()))),
        }
    }

    fn encoding(&self) -> Result<Encoding> {
        let name = self.need("type")?;
        let scalar = Scalar::from_nrrd(name)
            .ok_or_else(|| unsupported(format!("voxels of type `{name}`; expected whole or floating-point numbers")))?;
        let order = match self.get("endian").map(str::to_lowercase).as_deref() {
            Some("little") => ByteOrder::Little,
            Some("big") => ByteOrder::Big,
            Some(other) => return Err(format(format!("field `endian`: `{other}`; expected little or big"))),
            None if scalar.bytes() == 1 || self.is_text() => ByteOrder::Little,
            None => return Err(format(format!("the header has no field `endian`, which type `{name}` needs"))),
        };
        Ok(Encoding { scalar, order, slope: 1.0, intercept: 0.0 })
    }

    fn is_text(&self) -> bool {
        matches!(self.get("encoding").map(str::to_lowercase).as_deref(), Some("ascii" | "text" | "txt"))
    }

    /// Directions and origin, turned to RAS. Without a space the axes are taken as RAS.
    fn spatial_map(&self) -> Result<IjkToRas> {
        let signs = match self.get("space").map(str::to_lowercase).as_deref() {
            Some("left-posterior-superior" | "lps") => [-1.0, -1.0, 1.0],
            Some("left-anterior-superior" | "las") => [-1.0, 1.0, 1.0],
            Some("right-anterior-superior" | "ras") => [1.0; 3],
            Some("scanner-xyz" | "3d-right-handed" | "3d-left-handed") | None => [1.0; 3],
            Some(other) => return Err(unsupported(format!("space `{other}`; expected LPS, LAS or RAS"))),
        };
        let directions = match self.get("space directions") {
            Some(text) => {
                let vectors: Option<Vec<[f64; 3]>> = vectors(text);
                vectors
                    .and_then(|v| <[[f64; 3]; 3]>::try_from(v).ok())
                    .ok_or_else(|| format(format!("field `space directions`: `{text}`; expected three 3-D vectors")))?
            }
            None => {
                let spacing = match self.get("spacings") {
                    None => [1.0; 3],
                    Some(text) => {
                        let numbers: Option<Vec<f64>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
                        numbers
                            .and_then(|n| <[f64; 3]>::try_from(n).ok())
                            .ok_or_else(|| format(format!("field `spacings`: `{text}`; expected three numbers")))?
                    }
                };
                let IjkToRas(m) = IjkToRas::from_spacing(Spacing(spacing));
                [0, 1, 2].map(|axis| [0, 1, 2].map(|row| m[row][axis]))
            }
        };
        let origin = match self.get("space origin") {
            None => [0.0; 3],
            Some(text) => vectors(text)
                .and_then(|v| v.first().copied())
                .ok_or_else(|| format(format!("field `space origin`: `{text}`; expected one 3-D vector")))?,
        };
        Ok(IjkToRas([0, 1, 2].map(|row| {
            let along = |axis: usize| signs[row] * directions[axis][row];
            [along(0), along(1), along(2), signs[row] * origin[row]]
        })))
    }

    /// The voxels' bytes, and how they are encoded now.
    fn data(
        &self,
        mut reader: BufReader<File>,
        encoding: Encoding,
        count: usize,
        expected: usize,
    ) -> Result<(Encoding, Vec<u8>)> {
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
                Ok((encoding, exactly(&mut reader, 0, expected)?))
            }
            "raw" => Ok((encoding, exactly(&mut reader, skip as u64, expected)?)),
            "gzip" | "gz" => {
                let mut unpacked = MultiGzDecoder::new(reader);
                let bytes = if skip == -1 {
                    last(&mut unpacked, expected)?
                } else {
                    exactly(&mut unpacked, skip as u64, expected)?
                };
                let mut more = [0u8];
                if skip != -1 && unpacked.read(&mut more).map_err(broken)? > 0 {
                    return Err(format(format!("more data than the {expected} bytes of its sizes")));
                }
                Ok((encoding, bytes))
            }
            "ascii" | "text" | "txt" => Ok((Encoding::little_endian("double"), numbers(reader, count)?)),
            _ => Err(unsupported(format!("encoding `{name}`; expected raw, gzip or ascii"))),
        }
    }
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

/// `(a,b,c) (d,e,f) ...`
fn vectors(text: &str) -> Option<Vec<[f64; 3]>> {
    text.split(')')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let numbers: Option<Vec<f64>> = part.strip_prefix('(')?.split(',').map(|n| n.trim().parse().ok()).collect();
            numbers?.try_into().ok()
        })
        .collect()
}
