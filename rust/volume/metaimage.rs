//! MetaImage, `.mha` and `.mhd` with a data file: ITK's own format. Its axes are LPS.

use super::data_files;
use super::encoding::{ByteOrder, EncodedVolume, Encoding, Frames, Scalar};
use super::voxels::{check_affine, LabelMap};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use flate2::Compression;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A header beyond this is no header.
const LONGEST_HEADER: u64 = 1 << 20;

/// Reads header and voxels, which stay encoded.
pub(super) fn read(path: &Path, frames: Frames) -> Result<EncodedVolume> {
    let (header, reader) = open(path)?;
    let sizes = header.numbers::<usize>("DimSize")?.unwrap_or_default();
    if sizes.len() < 3 || sizes.contains(&0) {
        return Err(unsupported(format!("{}-D data of {sizes:?} voxels; expected one 3-D volume", sizes.len())));
    }
    let channels = header.numbers::<usize>("ElementNumberOfChannels")?.and_then(|n| n.first().copied()).unwrap_or(1);
    let behind = sizes[3..].iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    let count = behind.and_then(|n| n.checked_mul(channels)).filter(|&n| n > 0);
    let count = count.ok_or_else(|| format(format!("{sizes:?} voxels of {channels} channels: not to be counted")))?;
    let shown = format!("{}-D data of {sizes:?} voxels, {channels} channels", sizes.len());
    let frame = frames.choose(count, &shown)?;
    let dims = Dims([sizes[0], sizes[1], sizes[2]]);
    let geometry = Geometry { dims, ijk_to_ras: header.spatial_map(sizes.len())? };
    check_affine(&geometry)?;
    let mut encoding = header.encoding()?;
    let voxels = dims.checked_len().map_err(|e| format(e.to_string()))?;
    let expected = voxels.checked_mul(count).and_then(|n| n.checked_mul(encoding.scalar.bytes()));
    let expected = expected.ok_or_else(|| format(format!("{dims} voxels: more than an address space holds")))?;
    let all = header.data(path, reader, &mut encoding, expected)?;
    let size = encoding.scalar.bytes();
    let bytes = if channels > 1 {
        let (outer, channel) = (frame / channels, frame % channels);
        let part = &all[outer * voxels * channels * size..(outer + 1) * voxels * channels * size];
        part.chunks_exact(size * channels).flat_map(|v| &v[channel * size..(channel + 1) * size]).copied().collect()
    } else {
        all[frame * voxels * size..(frame + 1) * voxels * size].to_vec()
    };
    let segments = Vec::new();
    Ok(EncodedVolume { kind: "MetaImage", frames: count, geometry, forms: None, encoding, bytes, segments })
}

/// The files that a path stands for: the header and its data files.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let names = open(path).and_then(|(header, _)| header.data_files()).unwrap_or_default();
    files.extend(names.iter().map(|name| path.with_file_name(name)));
    files
}

fn open(path: &Path) -> Result<(Header, BufReader<File>)> {
    let file = File::open(path).map_err(|e| Error::io("cannot open", e))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    Ok((Header::parse(&mut reader)?, reader))
}

/// The header's fields, and the file names behind `ElementDataFile = LIST`.
struct Header {
    values: BTreeMap<String, String>,
    listed: Vec<String>,
}

impl Header {
    /// Leaves the reader behind `ElementDataFile`, which is the last field.
    fn parse(reader: &mut impl BufRead) -> Result<Self> {
        let broken = |e| format("cannot read the header").with_source(e);
        let (mut values, mut listed) = (BTreeMap::new(), Vec::new());
        let mut header = reader.take(LONGEST_HEADER);
        let mut line = Vec::new();
        loop {
            line.clear();
            header.read_until(b'\n', &mut line).map_err(broken)?;
            let text = String::from_utf8_lossy(&line).trim().to_string();
            if line.is_empty() {
                return Err(format("no MetaImage header: it has no field `ElementDataFile`"));
            }
            let Some((name, value)) = text.split_once('=') else {
                match text.is_empty() {
                    true => continue,
                    false => {
                        let start: String = text.chars().take(60).collect();
                        return Err(format(format!("header line `{start}` is no field")));
                    }
                }
            };
            let (name, value) = (name.trim().to_lowercase(), value.trim().to_string());
            let (last, list) = (name == "elementdatafile", value.starts_with("LIST"));
            values.insert(name, value);
            if last && list {
                let mut rest = String::new();
                header.read_to_string(&mut rest).map_err(broken)?;
                listed = rest.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
            }
            if last {
                return Ok(Self { values, listed });
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(&name.to_lowercase()).map(String::as_str)
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    fn numbers<T: std::str::FromStr>(&self, name: &str) -> Result<Option<Vec<T>>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let numbers: Option<Vec<T>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
        numbers.map(Some).ok_or_else(|| format(format!("field `{name}`: `{text}`; expected numbers")))
    }

    fn spatial_map(&self, count: usize) -> Result<IjkToRas> {
        let one_of = |names: &[&str], length: usize| -> Result<Option<Vec<f64>>> {
            for name in names {
                if let Some(found) = self.numbers::<f64>(name)? {
                    if found.len() != length {
                        return Err(format(format!("field `{name}`: {} numbers, expected {length}", found.len())));
                    }
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        let spacing = one_of(&["ElementSpacing", "ElementSize"], count)?.unwrap_or_else(|| vec![1.0; count]);
        let offset = one_of(&["Offset", "Origin", "Position"], count)?.unwrap_or_else(|| vec![0.0; count]);
        let matrix = one_of(&["TransformMatrix", "Orientation", "Rotation"], count * count)?
            .unwrap_or_else(|| (0..count * count).map(|n| f64::from(u8::from(n % (count + 1) == 0))).collect());
        let signs = [-1.0, -1.0, 1.0];
        // The matrix has the direction of an axis a row.
        let row = |r: usize| {
            let along = |axis: usize| signs[r] * matrix[axis * count + r] * spacing[axis];
            [along(0), along(1), along(2), signs[r] * offset[r]]
        };
        Ok(IjkToRas([row(0), row(1), row(2)]))
    }

    fn encoding(&self) -> Result<Encoding> {
        let name = self.get("ElementType").unwrap_or_default();
        let scalar = match name.trim_end_matches("_ARRAY") {
            "MET_UCHAR" => Scalar::U8,
            "MET_CHAR" => Scalar::I8,
            "MET_USHORT" => Scalar::U16,
            "MET_SHORT" => Scalar::I16,
            "MET_UINT" | "MET_ULONG" => Scalar::U32,
            "MET_INT" | "MET_LONG" => Scalar::I32,
            "MET_ULONG_LONG" => Scalar::U64,
            "MET_LONG_LONG" => Scalar::I64,
            "MET_FLOAT" => Scalar::F32,
            "MET_DOUBLE" => Scalar::F64,
            _ => return Err(unsupported(format!("voxels of type `{name}`; expected whole or floating-point numbers"))),
        };
        let big = self.is_true("BinaryDataByteOrderMSB") || self.is_true("ElementByteOrderMSB");
        let order = if big { ByteOrder::Big } else { ByteOrder::Little };
        Ok(Encoding { scalar, order, slope: 1.0, intercept: 0.0 })
    }

    /// None where the voxels are behind the header.
    fn data_files(&self) -> Result<Vec<String>> {
        match self.get("ElementDataFile").unwrap_or_default() {
            "LOCAL" | "Local" | "local" => Ok(Vec::new()),
            value => data_files::names(value, &self.listed),
        }
    }

    fn data(&self, path: &Path, local: BufReader<File>, encoding: &mut Encoding, expected: usize) -> Result<Vec<u8>> {
        let names = self.data_files()?;
        if names.is_empty() {
            return self.unpack(local, encoding, expected);
        }
        if expected % names.len() != 0 {
            return Err(format(format!("{expected} bytes in {} data files; expected equal parts", names.len())));
        }
        let (mut all, stored) = (Vec::new(), *encoding);
        for name in &names {
            let file = File::open(path.with_file_name(name))
                .map_err(|e| Error::io(format!("cannot open its data file `{name}`"), e))?;
            *encoding = stored;
            all.extend(self.unpack(BufReader::with_capacity(1 << 20, file), encoding, expected / names.len())?);
        }
        Ok(all)
    }

    fn unpack(&self, mut reader: BufReader<File>, encoding: &mut Encoding, expected: usize) -> Result<Vec<u8>> {
        let broken = |e| format("cannot read the voxels").with_source(e);
        let mut bytes = Vec::new();
        if self.get("BinaryData").is_some_and(|value| value.eq_ignore_ascii_case("false")) {
            /// The longest number that a writer prints.
            const DIGITS: u64 = 64;
            let (count, mut text) = (expected / encoding.scalar.bytes(), String::new());
            let limit = (count as u64).saturating_mul(DIGITS);
            reader.take(limit).read_to_string(&mut text).map_err(broken)?;
            for word in text.split_whitespace().take(count) {
                let value: f64 = word.parse().map_err(|_| format(format!("voxel `{word}` is no number")))?;
                bytes.extend(value.to_le_bytes());
            }
            *encoding = Encoding::little_endian("double");
            return complete(bytes, count * encoding.scalar.bytes());
        }
        match self.numbers::<i64>("HeaderSize")?.and_then(|n| n.first().copied()).unwrap_or(0) {
            -1 => {
                let length = reader.seek(SeekFrom::End(0)).map_err(broken)?;
                reader.seek(SeekFrom::Start(length.saturating_sub(expected as u64))).map_err(broken)?;
            }
            size if size > 0 => {
                reader.seek(SeekFrom::Start(size as u64)).map_err(broken)?;
            }
            _ => {}
        }
        if self.is_true("CompressedData") {
            ZlibDecoder::new(reader).take(expected as u64).read_to_end(&mut bytes).map_err(broken)?;
        } else {
            reader.take(expected as u64).read_to_end(&mut bytes).map_err(broken)?;
        }
        complete(bytes, expected)
    }
}

fn complete(bytes: Vec<u8>, expected: usize) -> Result<Vec<u8>> {
    match bytes.len() == expected {
        true => Ok(bytes),
        false => Err(format(format!("the voxels break off: {} bytes, expected {expected}", bytes.len()))),
    }
}

/// The data file beside an `.mhd` header.
pub(super) fn data_file(path: &Path) -> PathBuf {
    path.with_extension("zraw")
}

/// The header and the packed voxels, which are in `data_file`, or behind the header.
pub(super) fn encode(labels: &LabelMap, data_file: Option<&Path>) -> Result<(String, Vec<u8>)> {
    let narrow = labels.voxels().iter().all(|&label| label <= u16::from(u8::MAX));
    let (element, kind) = if narrow { ("MET_UCHAR", "unsigned char") } else { ("MET_USHORT", "unsigned short") };
    let voxels = Encoding::little_endian(kind).encode(labels.voxels().iter().map(|&label| f64::from(label)));
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&voxels).map_err(|e| Error::io("cannot write the label map", e))?;
    let packed = packed.finish().map_err(|e| Error::io("cannot write the label map", e))?;
    let Dims([i, j, k]) = labels.geometry().dims;
    let IjkToRas(m) = labels.geometry().ijk_to_ras;
    let spacing = labels.geometry().spacing().0;
    let lps = |column: usize, by: f64| {
        let values = [-m[0][column] / by, -m[1][column] / by, m[2][column] / by];
        values.map(|v| format!("{:?}", v + 0.0)).join(" ")
    };
    let mut header = String::from("ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n");
    let _ = writeln!(header, "CompressedData = True\nCompressedDataSize = {}", packed.len());
    let directions = [0, 1, 2].map(|axis| lps(axis, spacing[axis])).join(" ");
    let _ = writeln!(header, "TransformMatrix = {directions}\nOffset = {}", lps(3, 1.0));
    let _ = writeln!(header, "ElementSpacing = {:?} {:?} {:?}", spacing[0], spacing[1], spacing[2]);
    let name = data_file.and_then(Path::file_name).map_or("LOCAL".into(), |name| name.to_string_lossy().into_owned());
    let _ = writeln!(header, "DimSize = {i} {j} {k}\nElementType = {element}\nElementDataFile = {name}");
    Ok((header, packed))
}

fn format(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
