//! CHAOS as published: DICOM slices with PNG masks, `CT/ID/{DICOM_anon,Ground}` and `MR/ID/{T1DUAL,T2SPIR}/...`.
//!
//! Masks belong to slices by the numbers in their names. After pairing, both are sorted by position: CT files run from
//! head to foot, and sorting the images alone would reverse the masks.

use super::case::{Case, CaseEntry, Dataset, Target};
use super::classes::Classes;
use super::files;
use super::format::{unknown_part, DatasetFormat};
use super::mask::BinaryMask;
use crate::error::{Error, ErrorKind, Result};
use crate::volume::dicom;
use ndarray::{Array2, Array3};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Grey values of the MR masks.
const ORGANS: [(&str, std::ops::RangeInclusive<u8>); 4] =
    [("liver", 55..=70), ("right kidney", 110..=135), ("left kidney", 175..=200), ("spleen", 240..=255)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Ct,
    T1In,
    T1Out,
    T2,
}

impl Part {
    const NAMES: [(&'static str, Self); 4] =
        [("ct", Self::Ct), ("t1-in", Self::T1In), ("t1-out", Self::T1Out), ("t2", Self::T2)];

    /// Folders of the slices and of the masks within a patient's.
    fn folders(self) -> [&'static str; 2] {
        match self {
            Self::Ct => ["DICOM_anon", "Ground"],
            Self::T1In => ["T1DUAL/DICOM_anon/InPhase", "T1DUAL/Ground"],
            Self::T1Out => ["T1DUAL/DICOM_anon/OutPhase", "T1DUAL/Ground"],
            Self::T2 => ["T2SPIR/DICOM_anon", "T2SPIR/Ground"],
        }
    }

    /// A mask's number minus its slice's. Both phases share masks, which have the numbers of the in-phase slices; the
    /// out-of-phase slice of the same position has the number before.
    fn shift(self) -> u64 {
        u64::from(self == Self::T1Out)
    }
}

struct Chaos {
    part: Part,
    cases: Vec<CaseEntry>,
    folders: Vec<PathBuf>,
    classes: Classes,
}

/// `folder` is `Train_Sets`, what holds it, or `CT` or `MR`.
pub fn open(part: &str, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let Some((name, part)) = Part::NAMES.iter().find(|(known, _)| *known == part).copied() else {
        return Err(unknown_part(DatasetFormat::Chaos, Some(part)));
    };
    let modality = if part == Part::Ct { "CT" } else { "MR" };
    let patients = (files::subfolder(&folder.join("Train_Sets"), modality).filter(|f| f.is_dir()))
        .or_else(|| files::subfolder(folder, modality))
        .ok_or_else(|| Error::invalid(format!("there is no `Train_Sets/{modality}` in `{}`", folder.display())))?;
    let mut folders: Vec<(u64, PathBuf)> = (files::list(&patients)?.into_iter())
        .filter(|path| path.join(part.folders()[0]).is_dir())
        .map(|path| (number(&path), path))
        .collect();
    folders.sort();
    let entry = |path: &PathBuf| {
        let patient = files::name_of(path);
        CaseEntry::new(format!("{name}-{patient}"), patient)
    };
    let folders: Vec<PathBuf> = folders.into_iter().map(|(_, path)| path).collect();
    Ok(Box::new(Chaos { part, cases: folders.iter().map(entry).collect(), folders, classes }))
}

/// The last number in a file's name: `IMG-0004-00002` -> 2, `i0000,0000b` -> 0, `liver_GT_012` -> 12.
fn number(path: &Path) -> u64 {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    // CT slices are called `i0007,0000b`: the number before the comma counts.
    let name = name.split(',').next().unwrap_or_default();
    let digits: Vec<&str> = name.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    digits.last().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Files of a folder with an ending, by number.
fn numbered(folder: &Path, ending: &str) -> Result<Vec<(u64, PathBuf)>> {
    let of_kind = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
    let mut found: Vec<(u64, PathBuf)> =
        files::list(folder)?.into_iter().filter(of_kind).map(|path| (number(&path), path)).collect();
    found.sort();
    Ok(found)
}

impl Dataset for Chaos {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let [slices, masks] = self.part.folders().map(|name| self.folders[index].join(name));
        let (slices, masks) = (numbered(&slices, "dcm")?, numbered(&masks, "png")?);
        let pairs = self.pair(&self.folders[index], slices, masks)?;
        let slices: Vec<PathBuf> = pairs.iter().map(|(slice, _)| slice.clone()).collect();
        let (image, order) =
            dicom::read_files(&slices).map_err(|e| e.context(format!("`{}`", self.folders[index].display())))?;
        let (nk, nj, ni) = image.voxels().dim();
        let mut values = Array3::<u8>::zeros((nk, nj, ni));
        for (k, &file) in order.iter().enumerate() {
            let path = &pairs[file].1;
            let mask = read_png(path)?;
            if mask.dim() != (nj, ni) {
                let what =
                    format!("`{}`: {:?} rows and columns, its slice has {:?}", path.display(), mask.dim(), (nj, ni));
                return Err(Error::new(ErrorKind::Format, what));
            }
            values.index_axis_mut(ndarray::Axis(0), k).assign(&mask);
        }
        let organs: Vec<(&str, std::ops::RangeInclusive<u8>)> =
            if self.part == Part::Ct { vec![("liver", 1..=255)] } else { ORGANS.to_vec() };
        let targets = (organs.into_iter())
            .filter(|(name, _)| self.classes.contain(name))
            .map(|(name, range)| Target {
                name: name.to_owned(),
                mask: BinaryMask::from_condition(values.view(), |value| range.contains(value)),
            })
            .filter(|target| !target.mask.is_empty())
            .collect();
        Ok(Case { image: Arc::new(image), targets })
    }
}

impl Chaos {
    /// Pairs slices and masks: of CT by their order, of MR by their numbers.
    fn pair(
        &self,
        folder: &Path,
        slices: Vec<(u64, PathBuf)>,
        masks: Vec<(u64, PathBuf)>,
    ) -> Result<Vec<(PathBuf, PathBuf)>> {
        let wrong = |what: String| Err(Error::new(ErrorKind::Format, format!("`{}`: {what}", folder.display())));
        if slices.len() != masks.len() || slices.is_empty() {
            return wrong(format!("{} slices and {} masks, expected equal numbers", slices.len(), masks.len()));
        }
        if self.part != Part::Ct {
            let apart = slices.iter().zip(&masks).find(|(slice, mask)| slice.0 + self.part.shift() != mask.0);
            if let Some((slice, mask)) = apart {
                let [slice, mask] = [slice, mask].map(|(_, path)| files::name_of(path));
                return wrong(format!("slice `{slice}` and mask `{mask}` have numbers that do not match"));
            }
        }
        Ok(slices.into_iter().zip(masks).map(|((_, slice), (_, mask))| (slice, mask)).collect())
    }
}

/// A grey PNG of 1 to 8 bits, [rows, columns]; bits of a 1-bit file are 0 and 255.
fn read_png(path: &Path) -> Result<Array2<u8>> {
    let broken = |e: png::DecodingError| {
        Error::new(ErrorKind::Format, format!("`{}` is not a complete PNG file", path.display())).with_source(e)
    };
    let file = File::open(path).map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(broken)?;
    let refused = |what: String| Error::new(ErrorKind::Unsupported, format!("`{}`: {what}", path.display()));
    let size = reader.output_buffer_size().ok_or_else(|| refused("too large".into()))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(broken)?;
    pixels.truncate(info.buffer_size());
    let channels = info.color_type.samples();
    let grey: Vec<u8> = pixels.chunks_exact(channels).map(|pixel| pixel[0]).collect();
    Array2::from_shape_vec((info.height as usize, info.width as usize), grey)
        .map_err(|e| refused("its pixels do not fill it".into()).with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_numbers_are_read_from_all_naming_schemes() {
        for (name, expected) in
            [("i0007,0000b.dcm", 7), ("liver_GT_012.png", 12), ("IMG-0004-00002.dcm", 2), ("1-031.dcm", 31)]
        {
            assert_eq!(number(Path::new(name)), expected, "{name}");
        }
    }
}
