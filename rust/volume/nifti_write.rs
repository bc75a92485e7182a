//! Writes NIfTI. The spatial fields of the file that a volume came from are written back bit by bit.

use super::encoding::Encoding;
use super::voxels::{NiftiForms, Volume};
use crate::error::{Error, Result};
use crate::geometry::{Dims, Geometry, Spacing};
use flate2::write::GzEncoder;
use flate2::Compression;
use std::io::Write;

/// Codes of `qform_code` and `sform_code`: scanner coordinates.
const SCANNER: i32 = 1;
/// `xyzt_units`: millimetres.
const MILLIMETRES: i32 = 2;
/// NIfTI-1 counts voxels in 16 bits.
const LARGEST_1: usize = i16::MAX as usize;

/// Writes a single file; NIfTI-2 where the volume came from one or is too large for NIfTI-1.
pub(super) fn write<T: Copy + Into<f64>>(
    out: &mut dyn Write,
    volume: &Volume<T>,
    encoding: &Encoding,
    gzip: bool,
) -> Result<()> {
    let mut forms = volume.forms().cloned().unwrap_or_else(|| forms(volume.geometry()));
    // ITK opens a sheared map only beside a rotation.
    if forms.sform_code > 0 && forms.qform_code == 0 && is_sheared(volume.geometry()) {
        forms = NiftiForms { sform_code: forms.sform_code, version: forms.version, ..self::forms(volume.geometry()) };
    }
    let dims = volume.geometry().dims;
    let large = dims.0.iter().any(|&n| n > LARGEST_1);
    let mut bytes =
        if large || forms.version == 2 { header_2(&forms, dims, encoding) } else { header_1(&forms, dims, encoding) };
    bytes.extend([0; 4]); // no extension follows
    let voxels = encoding.encode(volume.voxels().iter().map(|&v| v.into()));
    let failed = |e| Error::io("cannot write the volume", e);
    if gzip {
        let mut packed = GzEncoder::new(out, Compression::default());
        packed.write_all(&bytes).and_then(|()| packed.write_all(&voxels)).map_err(failed)?;
        packed.finish().map_err(failed)?;
        Ok(())
    } else {
        out.write_all(&bytes).and_then(|()| out.write_all(&voxels)).map_err(failed)
    }
}

/// The fields of a volume that came from no NIfTI file: the exact map as sform, and the nearest rotation as qform.
fn forms(geometry: &Geometry) -> NiftiForms {
    let Spacing([i, j, k]) = geometry.spacing();
    let srow = geometry.ijk_to_ras.0;
    let (q, qfac) = quaternion(geometry);
    let quaternion = [q[0], q[1], q[2], srow[0][3], srow[1][3], srow[2][3]];
    let pixdim = [qfac, i, j, k, 1.0, 1.0, 1.0, 1.0];
    NiftiForms {
        version: 1,
        qform_code: SCANNER,
        sform_code: SCANNER,
        quaternion,
        srow,
        pixdim,
        xyzt_units: MILLIMETRES,
    }
}

/// Columns of unit length.
fn directions(geometry: &Geometry) -> [[f64; 3]; 3] {
    let Spacing(spacing) = geometry.spacing();
    [0, 1, 2].map(|row| [0, 1, 2].map(|column| geometry.ijk_to_ras.0[row][column] / spacing[column]))
}

fn is_sheared(geometry: &Geometry) -> bool {
    /// Cosine between axes that still count as orthogonal for ITK.
    const ORTHOGONAL: f64 = 1e-4;
    let r = directions(geometry);
    let cosine = |a: usize, b: usize| (0..3).map(|row| r[row][a] * r[row][b]).sum::<f64>().abs();
    [cosine(0, 1), cosine(0, 2), cosine(1, 2)].iter().any(|&c| c > ORTHOGONAL)
}

/// The orthogonal matrix nearest to an invertible one: the orthogonal factor of its polar decomposition, by Newton's
/// iteration with the inverse transpose.
fn nearest_orthogonal(mut m: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    const STEPS: usize = 60;
    const CONVERGED: f64 = 1e-14;
    for _ in 0..STEPS {
        let minor = |r: usize, c: usize| {
            let (a, b, x, y) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            m[a][x] * m[b][y] - m[a][y] * m[b][x]
        };
        let determinant = (0..3).map(|c| m[0][c] * minor(0, c)).sum::<f64>();
        // The cofactors over the determinant are the inverse transpose.
        let next = [0, 1, 2].map(|r| [0, 1, 2].map(|c| (m[r][c] + minor(r, c) / determinant) / 2.0));
        let change = (0..9).map(|n| (next[n / 3][n % 3] - m[n / 3][n % 3]).abs()).fold(0.0, f64::max);
        m = next;
        if change < CONVERGED {
            break;
        }
    }
    m
}

/// (b, c, d) and qfac of the rotation nearest to the axes.
fn quaternion(geometry: &Geometry) -> ([f64; 3], f64) {
    let mut r = nearest_orthogonal(directions(geometry));
    let qfac = geometry.ijk_to_ras.determinant().signum();
    for row in &mut r {
        row[2] *= qfac;
    }
    // The largest of a, b, c, d is taken first: dividing by a small one would lose precision.
    let squares = [
        1.0 + r[0][0] + r[1][1] + r[2][2],
        1.0 + r[0][0] - r[1][1] - r[2][2],
        1.0 - r[0][0] + r[1][1] - r[2][2],
        1.0 - r[0][0] - r[1][1] + r[2][2],
    ];
    let largest = (0..4).fold(0, |best, n| if squares[n] > squares[best] { n } else { best });
    let root = squares[largest].sqrt() / 2.0;
    let part = |v: f64| v / (4.0 * root);
    let [a, b, c, d] = match largest {
        0 => [root, part(r[2][1] - r[1][2]), part(r[0][2] - r[2][0]), part(r[1][0] - r[0][1])],
        1 => [part(r[2][1] - r[1][2]), root, part(r[0][1] + r[1][0]), part(r[0][2] + r[2][0])],
        2 => [part(r[0][2] - r[2][0]), part(r[0][1] + r[1][0]), root, part(r[1][2] + r[2][1])],
        _ => [part(r[1][0] - r[0][1]), part(r[0][2] + r[2][0]), part(r[1][2] + r[2][1]), root],
    };
    let sign = if a < 0.0 { -1.0 } else { 1.0 };
    ([b, c, d].map(|v| v * sign), qfac)
}

/// A header under construction; fields are named by their place in the format's tables.
struct Bytes(Vec<u8>);

impl Bytes {
    fn put(&mut self, place: usize, bytes: &[u8]) {
        self.0[place..place + bytes.len()].copy_from_slice(bytes);
    }
}

fn header_1(forms: &NiftiForms, Dims([i, j, k]): Dims, encoding: &Encoding) -> Vec<u8> {
    let mut h = Bytes(vec![0; 348]);
    h.put(0, &348i32.to_le_bytes());
    h.0[38] = b'r';
    for (n, size) in [3, i, j, k, 1, 1, 1, 1].into_iter().enumerate() {
        h.put(40 + 2 * n, &(size as i16).to_le_bytes());
    }
    h.put(70, &encoding.scalar.nifti_code().to_le_bytes());
    h.put(72, &(8 * encoding.scalar.bytes() as i16).to_le_bytes());
    let mut single = |place: usize, value: f64| h.put(place, &(value as f32).to_le_bytes());
    for (n, value) in forms.pixdim.into_iter().enumerate() {
        single(76 + 4 * n, value);
    }
    single(108, 352.0);
    single(112, encoding.slope);
    single(116, encoding.intercept);
    for (n, value) in forms.quaternion.into_iter().enumerate() {
        single(256 + 4 * n, value);
    }
    for (n, value) in forms.srow.into_iter().flatten().enumerate() {
        single(280 + 4 * n, value);
    }
    h.0[123] = forms.xyzt_units as u8;
    h.put(252, &(forms.qform_code as i16).to_le_bytes());
    h.put(254, &(forms.sform_code as i16).to_le_bytes());
    h.put(344, b"n+1\0");
    h.0
}

fn header_2(forms: &NiftiForms, Dims([i, j, k]): Dims, encoding: &Encoding) -> Vec<u8> {
    let mut h = Bytes(vec![0; 540]);
    h.put(0, &540i32.to_le_bytes());
    h.put(4, b"n+2\0\r\n\x1a\n");
    h.put(12, &encoding.scalar.nifti_code().to_le_bytes());
    h.put(14, &(8 * encoding.scalar.bytes() as i16).to_le_bytes());
    for (n, size) in [3, i, j, k, 1, 1, 1, 1].into_iter().enumerate() {
        h.put(16 + 8 * n, &(size as i64).to_le_bytes());
    }
    let mut double = |place: usize, value: f64| h.put(place, &value.to_le_bytes());
    for (n, value) in forms.pixdim.into_iter().enumerate() {
        double(104 + 8 * n, value);
    }
    double(176, encoding.slope);
    double(184, encoding.intercept);
    for (n, value) in forms.quaternion.into_iter().enumerate() {
        double(352 + 8 * n, value);
    }
    for (n, value) in forms.srow.into_iter().flatten().enumerate() {
        double(400 + 8 * n, value);
    }
    h.put(168, &544i64.to_le_bytes());
    h.put(344, &forms.qform_code.to_le_bytes());
    h.put(348, &forms.sform_code.to_le_bytes());
    h.put(500, &forms.xyzt_units.to_le_bytes());
    h.0
}
