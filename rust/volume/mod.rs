//! Scans and label maps: voxels and their place in the patient, never apart.
//!
//! In: files. Out: volumes, and label maps back into files. A volume that is read is finite, three-dimensional and has an
//! invertible map to patient space; everything else is refused with a reason.

pub mod dicom;
mod encoding;
pub mod nifti;
mod nifti_write;
pub mod nrrd;
mod nrrd_write;
pub mod raw;
mod voxels;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Dims;
use crate::output;
use encoding::Encoding;
use ndarray::Array3;
use std::io::Read;
use std::path::Path;

pub use crate::output::Overwrite;
pub use encoding::Scalar;
pub use voxels::{LabelMap, NiftiForms, Segment, Volume};

/// Reads a scan: a NIfTI or NRRD file, a folder with one DICOM series, or a file of such a series. Intensities are rescaled as
/// the header says.
///
/// # Errors
/// `Io`, `Format` for broken files, `Unsupported` for 4-D, complex, RGB, non-finite or empty data.
pub fn read_image(path: &Path) -> Result<Volume<f32>> {
    if path.is_dir() || dicom::is_dicom(path) {
        return named(path, dicom::read(path));
    }
    named(path, read(path, Encoding::decode_finite, None))
}

/// Reads a label map: whole numbers from 0 to 65535.
///
/// # Errors
/// As [`read_image`]; `Format` where a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelMap> {
    named(path, read(path, Encoding::decode_labels, None))
}

/// Reads one channel, counted from 0, of a NIfTI file whose fourth dimension is channels.
///
/// # Errors
/// As [`read_image`]; `InvalidInput` for a channel that is not there.
pub fn read_channel(path: &Path, channel: usize) -> Result<Volume<f32>> {
    named(path, read(path, Encoding::decode_finite, Some(channel)))
}

type Decode<T> = fn(&Encoding, &[u8]) -> Result<Vec<T>>;

fn read<T>(path: &Path, decode: Decode<T>, channel: Option<usize>) -> Result<Volume<T>> {
    let raw = match sniff(path)? {
        FileFormat::Nifti => nifti::read(path, channel)?,
        FileFormat::Nrrd if channel.is_some_and(|c| c > 0) => {
            return Err(Error::new(ErrorKind::Unsupported, "channels are read from NIfTI files only"));
        }
        FileFormat::Nrrd => nrrd::read(path)?,
    };
    let Dims([i, j, k]) = raw.geometry.dims;
    let voxels = decode(&raw.encoding, &raw.bytes)?;
    let voxels = Array3::from_shape_vec((k, j, i), voxels)
        .map_err(|e| Error::new(ErrorKind::Format, "the data does not fill the volume").with_source(e))?;
    Ok(Volume::new(raw.geometry, voxels)?.with_forms(raw.forms))
}

fn named<T>(path: &Path, outcome: Result<T>) -> Result<T> {
    let name = format!("`{}`", path.display());
    // A file of a series may have been named already.
    outcome.map_err(|e| if e.to_string().starts_with(&name) { e } else { e.context(name) })
}

enum FileFormat {
    Nifti,
    Nrrd,
}

/// The format, by content where it has a mark, else by name.
fn sniff(path: &Path) -> Result<FileFormat> {
    if path.is_dir() {
        return Err(Error::new(ErrorKind::Unsupported, "is a folder; expected a NIfTI or NRRD file"));
    }
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", e))?;
    file.take(8).read_to_end(&mut start).map_err(|e| Error::io("cannot read", e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if start.is_empty() {
        Err(Error::new(ErrorKind::Format, "the file is empty"))
    } else if start.starts_with(b"NRRD") {
        Ok(FileFormat::Nrrd)
    } else if ends(&[".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"]) {
        Ok(FileFormat::Nifti)
    } else {
        Err(Error::new(
            ErrorKind::Unsupported,
            "neither NIfTI (.nii, .nii.gz, .hdr with .img) nor NRRD (.nrrd, .nhdr, .seg.nrrd)",
        ))
    }
}

/// The formats a label map can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputFormat {
    Nifti,
    NiftiGz,
    Nrrd,
    SegNrrd,
}

fn output_format(path: &Path) -> Result<OutputFormat> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let known = [
        (".nii.gz", OutputFormat::NiftiGz),
        (".nii", OutputFormat::Nifti),
        (".seg.nrrd", OutputFormat::SegNrrd),
        (".nrrd", OutputFormat::Nrrd),
    ];
    known.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| format).ok_or_else(|| {
        Error::invalid(format!("output `{}`: expected .nii, .nii.gz, .seg.nrrd or .nrrd", path.display()))
    })
}

/// Refuses a label map's target that cannot be written, before any work is done for it.
pub fn check_output(path: &Path, overwrite: Overwrite) -> Result<()> {
    output_format(path)?;
    output::check(path, overwrite)
}

/// Writes a label map as `.nii`, `.nii.gz`, `.nrrd` or Slicer's `.seg.nrrd`, by the path's ending. `segments` name the
/// labels; labels without one get a name of their number.
///
/// # Errors
/// `InvalidInput` for an unknown ending or an existing file, `Io`; after an error the target is as it was.
pub fn write_labels(path: &Path, labels: &LabelMap, overwrite: Overwrite, segments: &[Segment]) -> Result<()> {
    let format = output_format(path)?;
    output::write(path, overwrite, |out| match format {
        OutputFormat::Nifti | OutputFormat::NiftiGz => {
            let narrow = labels.voxels().iter().all(|&label| label <= u16::from(u8::MAX));
            let encoding = Encoding::little_endian(if narrow { "uint8" } else { "uint16" });
            nifti_write::write(out, labels, &encoding, format == OutputFormat::NiftiGz)
        }
        OutputFormat::Nrrd => nrrd_write::write(out, labels, None),
        OutputFormat::SegNrrd => nrrd_write::write(out, labels, Some(segments)),
    })
}

/// Writes a scan as NIfTI: int16 where every value is such a number, else float32.
pub fn write_image(path: &Path, image: &Volume<f32>, overwrite: Overwrite) -> Result<()> {
    let gzip = match output_format(path)? {
        OutputFormat::Nifti => false,
        OutputFormat::NiftiGz => true,
        _ => return Err(Error::invalid(format!("output `{}`: expected .nii or .nii.gz", path.display()))),
    };
    let whole = |v: &f32| v.fract() == 0.0 && (f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(v);
    let kind = if image.voxels().iter().all(whole) { "int16" } else { "float" };
    output::write(path, overwrite, |out| nifti_write::write(out, image, &Encoding::little_endian(kind), gzip))
}
