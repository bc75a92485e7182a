//! Label maps and scans into files, by the path's ending.

use super::encoding::Encoding;
use super::voxels::{LabelMap, ResultInfo, Segment, SourceSlice, Volume};
use super::{dicom, metaimage, nifti_write, nrrd_write};
use crate::error::{Error, Result};
use crate::output::{self, Overwrite};
use std::path::{Path, PathBuf};

/// The formats a label map can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputFormat {
    Nifti,
    NiftiGz,
    Nrrd,
    SegNrrd,
    /// Header and voxels in one file.
    Mha,
    /// A header with its data file.
    Mhd,
    /// DICOM SEG, of a DICOM scan.
    Dicom,
}

fn output_format(path: &Path) -> Result<OutputFormat> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let known = [
        (".nii.gz", OutputFormat::NiftiGz),
        (".nii", OutputFormat::Nifti),
        (".seg.nrrd", OutputFormat::SegNrrd),
        (".nrrd", OutputFormat::Nrrd),
        (".mha", OutputFormat::Mha),
        (".mhd", OutputFormat::Mhd),
        (".dcm", OutputFormat::Dicom),
    ];
    known.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| format).ok_or_else(|| {
        Error::invalid(format!(
            "output `{}`: expected .nii, .nii.gz, .seg.nrrd, .nrrd, .mha, .mhd or .dcm",
            path.display()
        ))
    })
}

/// The files that are written for a label map of this name.
pub fn outputs(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![path.to_owned()];
    if output_format(path)? == OutputFormat::Mhd {
        files.push(metaimage::data_file(path));
    }
    Ok(files)
}

/// Refuses a format that a scan's results cannot have: DICOM SEG refers to the slices of a DICOM scan.
pub fn check_format(path: &Path, sources: &[SourceSlice]) -> Result<()> {
    match output_format(path)? {
        OutputFormat::Dicom if sources.is_empty() => Err(Error::invalid(format!(
            "output `{}`: DICOM SEG refers to the slices of a DICOM scan, which this scan is not (or is resampled from); \
             expected .nii, .nii.gz, .seg.nrrd, .nrrd, .mha or .mhd",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Refuses a label map's target that cannot be written, before any work is done for it.
pub fn check_output(path: &Path, overwrite: Overwrite) -> Result<()> {
    outputs(path)?.iter().try_for_each(|file| output::check(file, overwrite))
}

/// Writes a label map as NIfTI, NRRD, Slicer's `.seg.nrrd` or MetaImage, by the path's ending. `segments` name the
/// labels; labels without one get a name of their number.
///
/// # Errors
/// `InvalidInput` for an unknown ending or an existing file, `Io`; after an error the target is as it was.
pub fn write_labels(path: &Path, labels: &LabelMap, overwrite: Overwrite, segments: &[Segment]) -> Result<()> {
    write_result(path, labels, overwrite, &ResultInfo { segments: segments.to_vec(), ..ResultInfo::default() })
}

/// As [`write_labels`]; formats with room for it say how the result was made.
///
/// # Errors
/// As [`write_labels`].
pub fn write_result(path: &Path, labels: &LabelMap, overwrite: Overwrite, info: &ResultInfo) -> Result<()> {
    let format = output_format(path)?;
    check_output(path, overwrite)?;
    if matches!(format, OutputFormat::Mha | OutputFormat::Mhd) {
        let data_file = (format == OutputFormat::Mhd).then(|| metaimage::data_file(path));
        let (header, packed) = metaimage::encode(labels, data_file.as_deref())?;
        return match data_file {
            None => output::write_bytes(path, overwrite, &[header.as_bytes(), &packed].concat()),
            Some(data_file) => {
                output::write_bytes(&data_file, overwrite, &packed)?;
                output::write_bytes(path, overwrite, header.as_bytes())
            }
        };
    }
    output::write(path, overwrite, |out| match format {
        OutputFormat::Dicom => dicom::write_segmentation(out, labels, info),
        OutputFormat::Nrrd => nrrd_write::write(out, labels, None),
        OutputFormat::SegNrrd => nrrd_write::write(out, labels, Some(info)),
        _ => {
            let narrow = labels.voxels().iter().all(|&label| label <= u16::from(u8::MAX));
            let encoding = Encoding::little_endian(if narrow { "uint8" } else { "uint16" });
            nifti_write::write(out, labels, &encoding, format == OutputFormat::NiftiGz)
        }
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
