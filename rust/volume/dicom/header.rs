//! What a DICOM file says of its image: which series, which slices, where they lie. Vectors are in LPS mm, DICOM's own.
//!
//! In: a file. Out: slices, pixels apart, or the name of what the file is instead of slices.

use super::attributes::*;
use crate::error::Result;
use dicom_object::{InMemDicomObject, Tag};
use std::path::{Path, PathBuf};

/// A file by what it holds.
#[derive(Debug)]
pub(super) enum Contents {
    /// Slices of grey values with a place in the patient.
    Image(ImageFile),
    /// Anything else, by name.
    Other(String),
}

/// A file with one slice or several.
#[derive(Debug)]
pub(super) struct ImageFile {
    pub path: PathBuf,
    pub series: Series,
    pub slices: Vec<Slice>,
    /// An overview for planning the scan.
    pub localizer: bool,
    /// Many slices side by side in one image.
    pub mosaic: bool,
}

/// What a file says of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series {
    pub uid: String,
    pub number: Option<i64>,
    pub description: String,
    pub modality: String,
}

/// A slice, which is a frame of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    pub path: PathBuf,
    /// Counted from 0 within the file.
    pub frame: usize,
    /// The image's UID.
    pub instance: String,
    pub position: [f64; 3],
    /// Directions of rising columns and of rising rows.
    pub directions: [[f64; 3]; 2],
    /// Steps between columns and between rows.
    pub spacing: [f64; 2],
    /// Columns and rows.
    pub size: [usize; 2],
    pub slope: f64,
    pub intercept: f64,
    /// What is said of the distance to the next slice; counts only where there is none.
    pub thickness: f64,
    /// What orders images of one place: time, echo, b-value, number.
    pub order: Vec<f64>,
}

impl Slice {
    pub fn normal(&self) -> [f64; 3] {
        let [[a, b, c], [d, e, f]] = self.directions;
        [b * f - c * e, c * d - a * f, a * e - b * d]
    }

    /// File name, and the frame where the file has several.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.frame == 0 {
            name
        } else {
            format!("{name} frame {}", self.frame)
        }
    }
}

/// Kinds of objects by the beginning of their SOP class, behind `1.2.840.10008.`; the first match counts.
const OTHER_KINDS: [(&str, &str); 12] = [
    ("1.3.10", "DICOMDIR"),
    ("5.1.4.1.1.88.", "structured report"),
    ("5.1.4.1.1.66.4", "segmentation"),
    ("5.1.4.1.1.66.7", "segmentation"),
    ("5.1.4.1.1.66.", "registration"),
    ("5.1.4.1.1.481.1", "RT image"),
    ("5.1.4.1.1.481.2", "RT dose"),
    ("5.1.4.1.1.481.3", "RT structure set"),
    ("5.1.4.1.1.481.", "RT object"),
    ("5.1.4.1.1.11.", "presentation state"),
    ("5.1.4.1.1.104.", "encapsulated document"),
    ("5.1.4.1.1.9.", "waveform"),
];

/// What an object is, if its class is none of images.
pub(super) fn other_kind(class: &str) -> Option<&'static str> {
    let class = class.strip_prefix("1.2.840.10008.")?;
    OTHER_KINDS.iter().find(|(start, _)| class.starts_with(start)).map(|(_, name)| *name)
}

/// Reads a file's header.
pub(super) fn read(path: &Path) -> Result<Contents> {
    let object = open(path, Part::Header)?;
    let class = text(&object, SOP_CLASS).or_else(|| Some(object.meta().media_storage_sop_class_uid().to_string()));
    let class = class.unwrap_or_default();
    if let Some(kind) = other_kind(class.trim_matches(['\0', ' '])) {
        return Ok(Contents::Other(kind.into()));
    }
    if number(&object, ROWS).is_none() {
        let modality = text(&object, MODALITY).map_or(String::new(), |modality| format!(" ({modality})"));
        return Ok(Contents::Other(format!("object without an image{modality}")));
    }
    let image_type = text(&object, IMAGE_TYPE).unwrap_or_default().to_uppercase();
    let has = |word: &str| image_type.split('\\').any(|part| part.trim() == word);
    if number(&object, SAMPLES).is_some_and(|n| n != 1.0) {
        return Ok(Contents::Other("colour image".into()));
    }
    if let Some(kind) = text(&object, PHOTOMETRIC).filter(|kind| !kind.starts_with("MONOCHROME")) {
        return Ok(Contents::Other(format!("colour image ({kind})")));
    }
    if !items(&object, MODALITY_LUT).is_empty() && number(&object, SLOPE).is_none() {
        return Ok(Contents::Other("image with a modality table (expected RescaleSlope and RescaleIntercept)".into()));
    }
    let series = Series {
        uid: text(&object, SERIES_UID).unwrap_or_default(),
        number: number(&object, SERIES_NUMBER).map(|n| n as i64),
        description: text(&object, SERIES_DESCRIPTION).unwrap_or_else(|| "no description".into()),
        modality: text(&object, MODALITY).unwrap_or_default(),
    };
    match slices(path, &object) {
        Ok(slices) => {
            let (localizer, mosaic) = (has("LOCALIZER"), has("MOSAIC"));
            Ok(Contents::Image(ImageFile { path: path.to_owned(), series, slices, localizer, mosaic }))
        }
        Err(Lacking(what)) => Ok(Contents::Other(format!("image without a place in the patient ({what})"))),
    }
}

/// The slices of an object that is open, whatever its class; the error names what they lack.
pub(super) fn slices_of(object: &InMemDicomObject) -> std::result::Result<Vec<Slice>, String> {
    slices(Path::new(""), object).map_err(|Lacking(what)| what)
}

/// An attribute that a slice needs, and what was found.
struct Lacking(String);

fn slices(path: &Path, object: &InMemDicomObject) -> std::result::Result<Vec<Slice>, Lacking> {
    let count = number(object, FRAMES).map_or(1, |n| n.max(1.0) as usize);
    let (shared, each) = (items(object, SHARED_GROUPS).first(), items(object, FRAME_GROUPS));
    if count > 1 && each.len() != count {
        return Err(Lacking(format!("{count} frames in a multi-frame image, places of {}", each.len())));
    }
    let size = [COLUMNS, ROWS].map(|tag| number(object, tag).unwrap_or(0.0) as usize);
    let instance = text(object, SOP_INSTANCE).unwrap_or_default();
    (0..count)
        .map(|frame| {
            // A frame's own groups count before those of all frames, these before the image's own attributes.
            let group = |group: Tag| {
                let own = each.get(frame).and_then(|groups| items(groups, group).first());
                own.or_else(|| shared.and_then(|groups| items(groups, group).first()))
            };
            let found = |place: Tag, tag: Tag| {
                let within = group(place).map(|item| numbers(item, tag)).filter(|found| !found.is_empty());
                within.unwrap_or_else(|| numbers(object, tag))
            };
            let needed = |place: Tag, tag: Tag, name: &str, count: usize| {
                let found = found(place, tag);
                match found.len() == count && found.iter().all(|n| n.is_finite()) {
                    true => Ok(found),
                    false => Err(Lacking(format!("{name} {found:?}, expected {count} numbers"))),
                }
            };
            let first = |place: Tag, tag: Tag| found(place, tag).first().copied().filter(|n| n.is_finite());
            let position = needed(PLANE_POSITION, POSITION, "ImagePositionPatient", 3)?;
            let orientation = needed(PLANE_ORIENTATION, ORIENTATION, "ImageOrientationPatient", 6)?;
            let spacing = needed(PIXEL_MEASURES, PIXEL_SPACING, "PixelSpacing", 2)?;
            if size.contains(&0) || spacing.iter().any(|&s| s <= 0.0) {
                return Err(Lacking(format!("{size:?} pixels of {spacing:?} mm, expected positive numbers")));
            }
            let between = first(PIXEL_MEASURES, BETWEEN_SLICES).or(first(PIXEL_MEASURES, THICKNESS));
            let order = [
                (FRAME_CONTENT, TEMPORAL_INDEX),
                (FRAME_CONTENT, TEMPORAL_POSITION),
                (FRAME_CONTENT, ACQUISITION_NUMBER),
                (FRAME_CONTENT, TRIGGER_TIME),
                (FRAME_CONTENT, ECHO_TIME),
                (FRAME_CONTENT, B_VALUE),
                (FRAME_CONTENT, ACQUISITION_TIME),
                (FRAME_CONTENT, CONTENT_TIME),
                (FRAME_CONTENT, INSTANCE_NUMBER),
            ];
            let order = order.iter().map(|&(place, tag)| first(place, tag).unwrap_or(0.0)).chain([frame as f64]);
            Ok(Slice {
                path: path.to_owned(),
                frame,
                instance: instance.clone(),
                position: [position[0], position[1], position[2]],
                directions: [0, 3].map(|n| [orientation[n], orientation[n + 1], orientation[n + 2]]),
                // The file gives the distance of rows first.
                spacing: [spacing[1], spacing[0]],
                size,
                slope: first(VALUE_TRANSFORMATION, SLOPE).unwrap_or(1.0),
                intercept: first(VALUE_TRANSFORMATION, INTERCEPT).unwrap_or(0.0),
                thickness: between.filter(|&t| t > 0.0).unwrap_or(1.0),
                order: order.collect(),
            })
        })
        .collect()
}
