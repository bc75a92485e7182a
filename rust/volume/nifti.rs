//! NIfTI-1 and NIfTI-2, single files and .hdr/.img pairs, plain or gzip, either byte order.
//!
//! Crate `nifti` parses NIfTI-1 headers. Beside it, because the crate cannot: NIfTI-2 headers, 1.0-conforming choice of the
//! spatial map in f64, and voxel data read against a bound (a hostile header must not make us allocate what it claims).

use super::encoding::{ByteOrder, EncodedVolume, Encoding, Frames, Scalar};
use super::voxels::{check_affine, NiftiForms};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

const HEADER_1: usize = 348;
const HEADER_2: usize = 540;

#[derive(Debug)]
struct Header {
    dim: [i64; 8],
    datatype: i16,
    data_offset: u64,
    slope: f64,
    intercept: f64,
    order: ByteOrder,
    /// Voxels in a file of their own (`ni1`, `ni2`).
    pair: bool,
    forms: NiftiForms,
}

/// Reads header and voxels, which stay encoded.
///
/// `frames` chooses one 3-D volume of data with further dimensions.
pub(super) fn read(path: &Path, frames: Frames) -> Result<EncodedVolume> {
    let (header_path, data_path) = pair(path)?;
    let mut reader = open(&header_path)?;
    let mut header = parse(&mut reader)?;
    header.forms.drop_unusable_sform();
    let (dims, count) = dims(&header)?;
    let before = frames.choose(count, &shown(&header))?;
    let scalar = scalar(header.datatype)?;
    let geometry = Geometry { dims, ijk_to_ras: spatial_map(&header.forms) };
    check_affine(&geometry)?;
    let expected = dims.checked_len().map_err(|e| Error::new(ErrorKind::Format, e.to_string()))?;
    let expected = expected
        .checked_mul(scalar.bytes())
        .ok_or_else(|| Error::new(ErrorKind::Format, format!("{dims} voxels: more than an address space holds")))?;
    // Channels lie one after another, each a whole volume.
    let skipped = (before as u64).saturating_mul(expected as u64);
    let bytes = if header.pair {
        if header_path == data_path {
            return Err(Error::new(ErrorKind::Format, "the header says that the voxels are in an .img file beside it"));
        }
        read_data(open(&data_path)?, header.data_offset.saturating_add(skipped), 0, expected)?
    } else {
        let read_already = if header.forms.version == 1 { HEADER_1 } else { HEADER_2 };
        let offset = header.data_offset.max(read_already as u64).saturating_add(skipped);
        read_data(reader, offset, read_already as u64, expected)?
    };
    let scaled = header.slope != 0.0 && header.slope.is_finite() && header.intercept.is_finite();
    let (slope, intercept) = if scaled { (header.slope, header.intercept) } else { (1.0, 0.0) };
    let encoding = Encoding { scalar, order: header.order, slope, intercept };
    let kind = match (header.forms.version, header.pair) {
        (1, false) => "NIfTI-1",
        (1, true) => "NIfTI-1 pair",
        (_, false) => "NIfTI-2",
        (_, true) => "NIfTI-2 pair",
    };
    let forms = Some(header.forms);
    Ok(EncodedVolume { kind, frames: count, geometry, forms, encoding, bytes, segments: Vec::new() })
}

/// The files that a path stands for: itself, or header and data.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    pair(path).map_or_else(|_| vec![path.to_owned()], |(header, data)| vec![header, data])
}

/// Header and data file; the same for single files.
fn pair(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lower = name.to_lowercase();
    for ending in [".hdr", ".hdr.gz", ".img", ".img.gz"] {
        if let Some(stem) = lower.ends_with(ending).then(|| &name[..name.len() - ending.len()]) {
            let beside = |kind: &str| {
                [format!("{stem}{kind}"), format!("{stem}{kind}.gz")]
                    .map(|n| path.with_file_name(n))
                    .into_iter()
                    .find(|p| p.exists())
            };
            let found = |kind: &str| {
                beside(kind)
                    .ok_or_else(|| Error::new(ErrorKind::Format, format!("there is no `{stem}{kind}` beside it")))
            };
            return Ok(if ending.starts_with(".hdr") {
                (path.to_path_buf(), found(".img")?)
            } else {
                (found(".hdr")?, path.to_path_buf())
            });
        }
    }
    Ok((path.to_path_buf(), path.to_path_buf()))
}

/// A reader that unpacks gzip, by content.
fn open(path: &Path) -> Result<Box<dyn Read>> {
    let failed = |e| Error::io(format!("cannot open `{}`", path.display()), e);
    let mut start = [0u8; 2];
    let filled = File::open(path).map_err(failed)?.read(&mut start).map_err(failed)?;
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    Ok(if filled == 2 && start == [0x1f, 0x8b] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Exactly `expected` bytes from `offset` on; `position` bytes of the stream were read before.
fn read_data(mut reader: Box<dyn Read>, offset: u64, position: u64, expected: usize) -> Result<Vec<u8>> {
    let broken = |e| Error::new(ErrorKind::Format, "cannot read the voxels").with_source(e);
    std::io::copy(&mut reader.by_ref().take(offset - position), &mut std::io::sink()).map_err(broken)?;
    // What the header claims is not allocated before it is there.
    const FIRST: usize = 64 << 20;
    let mut bytes = Vec::with_capacity(expected.min(FIRST));
    reader.take(expected as u64).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() < expected {
        return Err(Error::new(
            ErrorKind::Format,
            format!("the voxels break off: {} bytes, expected {expected}", bytes.len()),
        ));
    }
    Ok(bytes)
}

fn parse(reader: &mut dyn Read) -> Result<Header> {
    let mut bytes = vec![0u8; HEADER_1];
    let short = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Format, format!("no NIfTI header: shorter than {HEADER_1} bytes"))
        }
        _ => Error::new(ErrorKind::Format, "cannot read the header").with_source(e),
    };
    reader.read_exact(&mut bytes).map_err(short)?;
    let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let header = if [i32::from_le_bytes(size), i32::from_be_bytes(size)].contains(&(HEADER_2 as i32)) {
        bytes.resize(HEADER_2, 0);
        reader.read_exact(&mut bytes[HEADER_1..]).map_err(short)?;
        let order = if i32::from_le_bytes(size) == HEADER_2 as i32 { ByteOrder::Little } else { ByteOrder::Big };
        parse_2(&bytes, order)?
    } else {
        parse_1(&bytes)?
    };
    Ok(header)
}

fn parse_1(bytes: &[u8]) -> Result<Header> {
    match &bytes[344..348] {
        b"n+1\0" | b"ni1\0" => {}
        [0, 0, 0, 0] => {
            return Err(Error::new(ErrorKind::Unsupported, "an ANALYZE header without orientation; expected NIfTI"))
        }
        other => {
            return Err(Error::new(
                ErrorKind::Format,
                format!("no NIfTI file: magic {:?}", String::from_utf8_lossy(other)),
            ))
        }
    }
    let h = ::nifti::NiftiHeader::from_reader(bytes)
        .map_err(|e| Error::new(ErrorKind::Format, "broken NIfTI-1 header").with_source(e))?;
    let order = match i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) {
        348 => ByteOrder::Little,
        _ => ByteOrder::Big,
    };
    let row = |row: [f32; 4]| row.map(f64::from);
    Ok(Header {
        dim: h.dim.map(|n| i64::from(n as i16)),
        datatype: h.datatype,
        data_offset: offset(f64::from(h.vox_offset))?,
        slope: f64::from(h.scl_slope),
        intercept: f64::from(h.scl_inter),
        order,
        pair: &bytes[344..347] == b"ni1",
        forms: NiftiForms {
            version: 1,
            qform_code: i32::from(h.qform_code),
            sform_code: i32::from(h.sform_code),
            quaternion: [h.quatern_b, h.quatern_c, h.quatern_d, h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from),
            srow: [row(h.srow_x), row(h.srow_y), row(h.srow_z)],
            pixdim: h.pixdim.map(f64::from),
            xyzt_units: i32::from(h.xyzt_units),
        },
    })
}

fn offset(claimed: f64) -> Result<u64> {
    /// Extensions of a header; beyond this the field is nonsense.
    const LARGEST: f64 = (1u64 << 40) as f64;
    if (0.0..LARGEST).contains(&claimed) {
        return Ok(claimed as u64);
    }
    Err(Error::new(ErrorKind::Format, format!("voxel offset {claimed}: expected a place within the file")))
}

fn parse_2(bytes: &[u8], order: ByteOrder) -> Result<Header> {
    let at = |place: usize| <[u8; 8]>::try_from(&bytes[place..place + 8]).unwrap_or_default();
    let i64_at = |place: usize| match order {
        ByteOrder::Little => i64::from_le_bytes(at(place)),
        ByteOrder::Big => i64::from_be_bytes(at(place)),
    };
    let f64_at = |place: usize| f64::from_bits(i64_at(place) as u64);
    let i32_at = |place: usize| {
        let raw = [bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]];
        match order {
            ByteOrder::Little => i32::from_le_bytes(raw),
            ByteOrder::Big => i32::from_be_bytes(raw),
        }
    };
    let datatype = match order {
        ByteOrder::Little => i16::from_le_bytes([bytes[12], bytes[13]]),
        ByteOrder::Big => i16::from_be_bytes([bytes[12], bytes[13]]),
    };
    if !matches!(&bytes[4..8], b"n+2\0" | b"ni2\0") {
        return Err(Error::new(
            ErrorKind::Format,
            format!("no NIfTI-2 file: magic {:?}", String::from_utf8_lossy(&bytes[4..8])),
        ));
    }
    let row = |start: usize| [0, 1, 2, 3].map(|c| f64_at(start + 8 * c));
    Ok(Header {
        dim: [0, 1, 2, 3, 4, 5, 6, 7].map(|n| i64_at(16 + 8 * n)),
        datatype,
        data_offset: offset(i64_at(168) as f64)?,
        slope: f64_at(176),
        intercept: f64_at(184),
        order,
        pair: &bytes[4..7] == b"ni2",
        forms: NiftiForms {
            version: 2,
            qform_code: i32_at(344),
            sform_code: i32_at(348),
            quaternion: [0, 1, 2, 3, 4, 5].map(|n| f64_at(352 + 8 * n)),
            srow: [row(400), row(432), row(464)],
            pixdim: [0, 1, 2, 3, 4, 5, 6, 7].map(|n| f64_at(104 + 8 * n)),
            xyzt_units: i32_at(500),
        },
    })
}

fn shown(header: &Header) -> String {
    let count = header.dim[0];
    format!("{count}-D data of {:?} voxels", &header.dim[1..=count.clamp(1, 7) as usize])
}

/// Three sizes, and how many volumes the further dimensions hold; a 2-D image is one slice.
fn dims(header: &Header) -> Result<(Dims, usize)> {
    let count = header.dim[0];
    if !(1..=7).contains(&count) {
        return Err(Error::new(ErrorKind::Format, format!("{count} dimensions, expected 1 to 7")));
    }
    let sizes = &header.dim[1..=count as usize];
    if let Some(bad) = sizes.iter().find(|&&n| n < 1) {
        return Err(Error::new(ErrorKind::Format, format!("dimensions {sizes:?}: {bad} is not a size")));
    }
    let frames = sizes.iter().skip(3).try_fold(1usize, |all, &n| all.checked_mul(usize::try_from(n).ok()?));
    let frames =
        frames.ok_or_else(|| Error::new(ErrorKind::Format, format!("{}: more than can be counted", shown(header))))?;
    let size = |n: usize| sizes.get(n).map_or(1, |&n| n as usize);
    Ok((Dims([size(0), size(1), size(2)]), frames))
}

fn scalar(code: i16) -> Result<Scalar> {
    let refused =
        |what: &str| Err(Error::new(ErrorKind::Unsupported, format!("{what} voxels; expected one number per voxel")));
    match code {
        32 | 1792 | 2048 => refused("complex"),
        128 | 2304 => refused("RGB"),
        1536 => refused("128-bit"),
        1 => refused("1-bit"),
        _ => Scalar::from_nifti(code)
            .ok_or_else(|| Error::new(ErrorKind::Format, format!("data type {code} is none of NIfTI's"))),
    }
}

/// The map from voxels to RAS: sform if it has a code, else qform if it has one, else spacings along LPS, as ITK and
/// Slicer have it ([`super::Volume::equivalent_grids`] has the others). Metres and micrometres become millimetres.
fn spatial_map(forms: &NiftiForms) -> IjkToRas {
    let IjkToRas(rows) = stored_map(forms);
    let millimetres = match forms.xyzt_units & 7 {
        1 => 1e3,
        3 => 1e-3,
        _ => return IjkToRas(rows),
    };
    IjkToRas(rows.map(|row| row.map(|v| v * millimetres)))
}

impl NiftiForms {
    /// Some writers set the code of an sform that is all zero: the qform counts then.
    fn drop_unusable_sform(&mut self) {
        let linear = self.srow.iter().flat_map(|row| &row[..3]);
        if self.sform_code > 0 && linear.copied().all(|v| v == 0.0) {
            self.sform_code = 0;
        }
    }
}

/// The map in the file's own unit.
fn stored_map(forms: &NiftiForms) -> IjkToRas {
    if forms.sform_code > 0 {
        return IjkToRas(forms.srow);
    }
    let spacing = [1, 2, 3].map(|n| match forms.pixdim[n].abs() {
        0.0 => 1.0,
        spacing => spacing,
    });
    if forms.qform_code <= 0 {
        let [i, j, k] = spacing;
        return IjkToRas([[-i, 0.0, 0.0, 0.0], [0.0, -j, 0.0, 0.0], [0.0, 0.0, k, 0.0]]);
    }
    let [b, c, d, x, y, z] = forms.quaternion;
    let rest = 1.0 - (b * b + c * c + d * d);
    // Rounding may leave a half turn with a length a little above 1; then a is 0 and b, c, d are rescaled.
    let (a, scale) = if rest < 1e-7 { (0.0, 1.0 / (b * b + c * c + d * d).sqrt()) } else { (rest.sqrt(), 1.0) };
    let [b, c, d] = [b * scale, c * scale, d * scale];
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let qfac = if forms.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let row = |r: usize, offset: f64| {
        [rotation[r][0] * spacing[0], rotation[r][1] * spacing[1], rotation[r][2] * spacing[2] * qfac, offset]
    };
    IjkToRas([row(0, x), row(1, y), row(2, z)])
}
