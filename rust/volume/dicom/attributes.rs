//! Opening DICOM files of every kind of beginning, and their attributes by tag.

use crate::error::{Error, ErrorKind, Result};
use dicom_object::meta::FileMetaTableBuilder;
use dicom_object::{DefaultDicomObject, InMemDicomObject, OpenFileOptions, Tag};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

pub(super) const SOP_CLASS: Tag = Tag(0x0008, 0x0016);
pub(super) const SOP_INSTANCE: Tag = Tag(0x0008, 0x0018);
pub(super) const IMAGE_TYPE: Tag = Tag(0x0008, 0x0008);
pub(super) const ACQUISITION_TIME: Tag = Tag(0x0008, 0x0032);
pub(super) const CONTENT_TIME: Tag = Tag(0x0008, 0x0033);
pub(super) const MODALITY: Tag = Tag(0x0008, 0x0060);
pub(super) const SERIES_DESCRIPTION: Tag = Tag(0x0008, 0x103E);
pub(super) const THICKNESS: Tag = Tag(0x0018, 0x0050);
pub(super) const ECHO_TIME: Tag = Tag(0x0018, 0x0081);
pub(super) const BETWEEN_SLICES: Tag = Tag(0x0018, 0x0088);
pub(super) const TRIGGER_TIME: Tag = Tag(0x0018, 0x1060);
pub(super) const B_VALUE: Tag = Tag(0x0018, 0x9087);
pub(super) const SERIES_UID: Tag = Tag(0x0020, 0x000E);
pub(super) const SERIES_NUMBER: Tag = Tag(0x0020, 0x0011);
pub(super) const ACQUISITION_NUMBER: Tag = Tag(0x0020, 0x0012);
pub(super) const INSTANCE_NUMBER: Tag = Tag(0x0020, 0x0013);
pub(super) const POSITION: Tag = Tag(0x0020, 0x0032);
pub(super) const ORIENTATION: Tag = Tag(0x0020, 0x0037);
pub(super) const TEMPORAL_POSITION: Tag = Tag(0x0020, 0x0100);
pub(super) const TEMPORAL_INDEX: Tag = Tag(0x0020, 0x9128);
pub(super) const SAMPLES: Tag = Tag(0x0028, 0x0002);
pub(super) const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
pub(super) const FRAMES: Tag = Tag(0x0028, 0x0008);
pub(super) const ROWS: Tag = Tag(0x0028, 0x0010);
pub(super) const COLUMNS: Tag = Tag(0x0028, 0x0011);
pub(super) const PIXEL_SPACING: Tag = Tag(0x0028, 0x0030);
pub(super) const INTERCEPT: Tag = Tag(0x0028, 0x1052);
pub(super) const SLOPE: Tag = Tag(0x0028, 0x1053);
pub(super) const MODALITY_LUT: Tag = Tag(0x0028, 0x3000);
pub(super) const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// The sequences of a multi-frame image, for all frames and for each, and the groups within them.
pub(super) const SHARED_GROUPS: Tag = Tag(0x5200, 0x9229);
pub(super) const FRAME_GROUPS: Tag = Tag(0x5200, 0x9230);
pub(super) const FRAME_CONTENT: Tag = Tag(0x0020, 0x9111);
pub(super) const PLANE_POSITION: Tag = Tag(0x0020, 0x9113);
pub(super) const PLANE_ORIENTATION: Tag = Tag(0x0020, 0x9116);
pub(super) const PIXEL_MEASURES: Tag = Tag(0x0028, 0x9110);
pub(super) const VALUE_TRANSFORMATION: Tag = Tag(0x0028, 0x9145);

/// How a file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// 128 bytes and `DICM`.
    Preamble,
    /// The file's own group, without the preamble.
    Meta,
    /// The data set, in this transfer syntax.
    DataSet(&'static str),
}

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";

fn beginning(path: &Path) -> Option<Beginning> {
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(132).read_to_end(&mut start)).ok()?;
    if start.len() == 132 && &start[128..] == b"DICM" {
        return Some(Beginning::Preamble);
    }
    // Group 2 or 8 and a small element, then a value representation of two letters or a length.
    let head = start.get(..8)?;
    let explicit = head[4].is_ascii_uppercase() && head[5].is_ascii_uppercase();
    let short = head[6] == 0 && head[7] == 0 && head[5] == 0;
    match (head[0], head[1], head[2], head[3]) {
        (2, 0, 0 | 1, 0) if explicit => Some(Beginning::Meta),
        (8, 0, _, 0) if explicit => Some(Beginning::DataSet(EXPLICIT)),
        (8, 0, _, 0) if short => Some(Beginning::DataSet(IMPLICIT)),
        (0, 8, 0, _) if explicit => Some(Beginning::DataSet(EXPLICIT_BIG)),
        _ => None,
    }
}

/// Whether a file begins as DICOM files do, with the preamble or without.
pub(in crate::volume) fn is_dicom(path: &Path) -> bool {
    beginning(path).is_some()
}

/// What is read of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All but the pixels.
    Header,
    /// Everything.
    Everything,
}

pub(super) fn open(path: &Path, part: Part) -> Result<DefaultDicomObject> {
    let unreadable = |e: dicom_object::ReadError| fault(path, "is no readable DICOM file").with_source(e);
    let mut options = OpenFileOptions::new();
    if part == Part::Header {
        options = options.read_until(PIXEL_DATA);
    }
    // The reader needs the preamble, and a group that says the transfer syntax: what is missing is made up.
    let mut missing = vec![0; 128];
    missing.extend(b"DICM");
    match beginning(path) {
        Some(Beginning::Meta) => {}
        Some(Beginning::DataSet(syntax)) => {
            let failed = |e: dicom_object::meta::Error| fault(path, "has no header of its own").with_source(e);
            let meta = FileMetaTableBuilder::new()
                .transfer_syntax(syntax)
                .media_storage_sop_class_uid("")
                .media_storage_sop_instance_uid("");
            meta.build().map_err(failed)?.write(&mut missing).map_err(failed)?;
        }
        Some(Beginning::Preamble) | None => return options.open_file(path).map_err(unreadable),
    }
    let file = File::open(path).map_err(|e| Error::io(format!("cannot open `{}`", path.display()), e))?;
    options.from_reader(missing.chain(BufReader::new(file))).map_err(unreadable)
}

/// Text without padding.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = object.get(tag)?.to_str().ok()?;
    Some(text.trim_matches(['\0', ' ']).to_owned()).filter(|text| !text.is_empty())
}

/// All numbers of an element; none where it is absent or is no number.
pub(super) fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    object.get(tag).and_then(|e| e.to_multi_float64().ok()).unwrap_or_default()
}

/// The first number of an element.
pub(super) fn number(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(object, tag).first().copied().filter(|n| n.is_finite())
}

/// The items of a sequence.
pub(super) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|e| e.value().items()).unwrap_or_default()
}

pub(super) fn fault(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Format, format!("`{}`: {what}", path.display()))
}
