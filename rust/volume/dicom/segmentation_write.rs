//! Writes label maps as DICOM SEG, of a DICOM scan.
//!
//! In: labels on the scan's grid, names, and the scan's files. Out: one binary multi-frame object that refers to them.

use super::attributes::*;
use super::colour::rgb_to_cielab;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry};
use crate::volume::voxels::{LabelMap, ResultInfo, Segment};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_object::mem::InMemElement;
use dicom_object::meta::FileMetaTableBuilder;
use dicom_object::{InMemDicomObject, Tag};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;

const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.66.4";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// Patient and study, which are copied from the scan; absent ones are empty.
const COPIED: [(u16, u16, VR); 12] = [
    (0x0008, 0x0020, VR::DA),
    (0x0008, 0x0030, VR::TM),
    (0x0008, 0x0050, VR::SH),
    (0x0008, 0x0090, VR::PN),
    (0x0008, 0x1030, VR::LO),
    (0x0010, 0x0010, VR::PN),
    (0x0010, 0x0020, VR::LO),
    (0x0010, 0x0030, VR::DA),
    (0x0010, 0x0040, VR::CS),
    (0x0020, 0x000D, VR::UI),
    (0x0020, 0x0010, VR::SH),
    (0x0020, 0x0052, VR::UI),
];
/// SNOMED CT codes of organs by their English names.
const ORGANS: [(&str, &str); 18] = [
    ("liver", "10200004"),
    ("spleen", "78961009"),
    ("kidney", "64033007"),
    ("left kidney", "18639004"),
    ("right kidney", "9846003"),
    ("pancreas", "15776009"),
    ("gallbladder", "28231008"),
    ("stomach", "69695003"),
    ("urinary bladder", "89837001"),
    ("aorta", "15825003"),
    ("heart", "80891009"),
    ("brain", "12738006"),
    ("lung", "39607008"),
    ("left lung", "44029006"),
    ("right lung", "3341006"),
    ("prostate", "41216001"),
    ("thyroid", "69748006"),
    ("hippocampus", "5366008"),
];

/// A frame: the number of its segment, counted from 1, and its slice.
struct Frame {
    segment: u16,
    k: usize,
}

/// Writes the labels; those of `info` come first and have names.
pub(in crate::volume) fn write(out: &mut dyn Write, labels: &LabelMap, info: &ResultInfo) -> Result<()> {
    let Dims([_, _, count]) = labels.geometry().dims;
    let Some(first) = info.sources.first().filter(|_| info.sources.len() == count) else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "DICOM SEG refers to the slices of a DICOM scan, which this one is not; expected another format",
        ));
    };
    let (frames, pixels) = frames(labels, &info.segments);
    if frames.is_empty() {
        return Err(Error::new(ErrorKind::Unsupported, "no voxel is labelled; DICOM SEG cannot be empty"));
    }
    let source = open(&first.path, Part::Header)?;
    let mut object = InMemDicomObject::new_empty();
    for (group, element, vr) in COPIED {
        let value = text(&source, Tag(group, element)).unwrap_or_default();
        object.put(string(group, element, vr, &value));
    }
    let unique = |what: &str| {
        let mut hash = Sha256::new();
        hash.update(what);
        hash.update(text(&source, SOP_INSTANCE).unwrap_or_default());
        hash.update(info.about.to_string());
        hash.update(&pixels);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        hash.update(now.as_nanos().to_le_bytes());
        let bytes: [u8; 16] = std::array::from_fn(|n| hash.clone().finalize()[n]);
        format!("2.25.{}", u128::from_be_bytes(bytes))
    };
    let (instance, dimensions) = (unique("instance"), unique("dimensions"));
    let version = info.about["version"].as_str().unwrap_or(env!("CARGO_PKG_VERSION")).to_string();
    let model = info.about["model"]["sha256"].as_str().unwrap_or("none").to_string();
    let (date, time) = now();
    for (group, element, vr, value) in [
        (0x0008, 0x0005, VR::CS, "ISO_IR 192"),
        (0x0008, 0x0008, VR::CS, "DERIVED\\PRIMARY"),
        (0x0008, 0x0016, VR::UI, STORAGE),
        (0x0008, 0x0018, VR::UI, &instance),
        (0x0008, 0x0023, VR::DA, &date),
        (0x0008, 0x0033, VR::TM, &time),
        (0x0008, 0x0060, VR::CS, "SEG"),
        (0x0008, 0x0070, VR::LO, "SAM2-ProMem"),
        (0x0008, 0x103E, VR::LO, "Segmentation"),
        (0x0008, 0x1090, VR::LO, "promem"),
        (0x0018, 0x1000, VR::LO, &model[..model.len().min(64)]),
        (0x0018, 0x1020, VR::LO, &version),
        (0x0020, 0x000E, VR::UI, &unique("series")),
        (0x0020, 0x0011, VR::IS, "1000"),
        (0x0020, 0x0013, VR::IS, "1"),
        (0x0020, 0x1040, VR::LO, ""),
        (0x0028, 0x0004, VR::CS, "MONOCHROME2"),
        (0x0028, 0x0008, VR::IS, &frames.len().to_string()),
        (0x0028, 0x2110, VR::CS, "00"),
        (0x0062, 0x0001, VR::CS, "BINARY"),
        (0x0062, 0x0013, VR::CS, "NO"),
        (0x0070, 0x0080, VR::CS, "SEGMENTATION"),
        (0x0070, 0x0081, VR::LO, "Segmentation by SAM2-ProMem"),
        (0x0070, 0x0084, VR::PN, ""),
    ] {
        object.put(string(group, element, vr, value));
    }
    let Dims([columns, rows, _]) = labels.geometry().dims;
    for (element, number) in [
        (0x0002, 1),
        (0x0010, rows as u16),
        (0x0011, columns as u16),
        (0x0100, 1),
        (0x0101, 1),
        (0x0102, 0),
        (0x0103, 0),
    ] {
        object.put(DataElement::new(Tag(0x0028, element), VR::US, PrimitiveValue::from(number)));
    }
    object.put(sequence(0x0020, 0x9221, vec![vec![string(0x0020, 0x9164, VR::UI, &dimensions)]]));
    object.put(sequence(
        0x0020,
        0x9222,
        vec![
            index(&dimensions, Tag(0x0062, 0x000B), Tag(0x0062, 0x000A), "ReferencedSegmentNumber"),
            index(&dimensions, POSITION, PLANE_POSITION, "ImagePositionPatient"),
        ],
    ));
    let named = |n: usize, segment: &Segment| described(n, segment, &version);
    let items = info.segments.iter().enumerate().map(|(n, segment)| named(n, segment)).collect();
    object.put(sequence(0x0062, 0x0002, items));
    refer(&mut object, info, labels.geometry(), &frames)?;
    object.put(DataElement::new(PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)));
    let meta = FileMetaTableBuilder::new().transfer_syntax(EXPLICIT);
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Io, "cannot write the DICOM file").with_source(e)
    };
    let file = object.with_meta(meta).map_err(|e| failed(Box::new(e)))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|e| failed(Box::new(e)))?;
    out.write_all(&bytes).map_err(|e| failed(Box::new(e)))
}

/// All slices on which a segment has voxels, and their pixels as bits, packed without gaps.
fn frames(labels: &LabelMap, segments: &[Segment]) -> (Vec<Frame>, Vec<u8>) {
    let Dims([columns, rows, count]) = labels.geometry().dims;
    let view = labels.voxels();
    let voxels = view.as_slice().expect("volumes are in memory order");
    let (mut frames, mut bytes, mut bit) = (Vec::new(), Vec::new(), 0usize);
    for (n, segment) in segments.iter().enumerate() {
        for k in 0..count {
            let slice = &voxels[k * rows * columns..(k + 1) * rows * columns];
            if !slice.contains(&segment.label) {
                continue;
            }
            frames.push(Frame { segment: n as u16 + 1, k });
            for &label in slice {
                if bit % 8 == 0 {
                    bytes.push(0u8);
                }
                bytes[bit / 8] |= u8::from(label == segment.label) << (bit % 8);
                bit += 1;
            }
        }
    }
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    (frames, bytes)
}

/// A segment by name, code and colour.
fn described(n: usize, segment: &Segment, version: &str) -> Vec<InMemElement> {
    let name: String = segment.name.chars().filter(|c| !c.is_control() && *c != '\\').take(64).collect();
    let organ = ORGANS.iter().find(|(organ, _)| segment.name.trim().eq_ignore_ascii_case(organ));
    let (category, kind) = match organ {
        Some((organ, organ_code)) => (code("123037004", "SCT", "Anatomical Structure"), code(organ_code, "SCT", organ)),
        None => (code("85756007", "SCT", "Tissue"), code("85756007", "SCT", "Tissue")),
    };
    let mut item = vec![
        DataElement::new(Tag(0x0062, 0x0004), VR::US, PrimitiveValue::from(n as u16 + 1)),
        string(0x0062, 0x0005, VR::LO, &name),
        string(0x0062, 0x0008, VR::CS, "SEMIAUTOMATIC"),
        string(0x0062, 0x0009, VR::LO, &format!("SAM2-ProMem {version}")),
        sequence(0x0062, 0x0003, vec![category]),
        sequence(0x0062, 0x000F, vec![kind]),
    ];
    if let Some(colour) = segment.colour {
        let stored = PrimitiveValue::U16(rgb_to_cielab(colour).into_iter().collect());
        item.push(DataElement::new(Tag(0x0062, 0x000D), VR::US, stored));
    }
    item
}

/// The places of the frames, and the images that they were made of.
fn refer(object: &mut InMemDicomObject, info: &ResultInfo, geometry: &Geometry, frames: &[Frame]) -> Result<()> {
    let m = geometry.ijk_to_ras.0;
    let spacing = geometry.spacing().0;
    // RAS to LPS: the first two coordinates change sign.
    let lps = |v: [f64; 3]| [-v[0] + 0.0, -v[1] + 0.0, v[2]].map(decimal).join("\\");
    let along = |axis: usize| [0, 1, 2].map(|row| m[row][axis] / spacing[axis]);
    let directions = [lps(along(0)), lps(along(1))].join("\\");
    let thickness = decimal(spacing[2]);
    let measures = vec![
        string(0x0018, 0x0050, VR::DS, &thickness),
        string(0x0018, 0x0088, VR::DS, &thickness),
        string(0x0028, 0x0030, VR::DS, &[decimal(spacing[1]), decimal(spacing[0])].join("\\")),
    ];
    let shared = vec![
        sequence(0x0020, 0x9116, vec![vec![string(0x0020, 0x0037, VR::DS, &directions)]]),
        sequence(0x0028, 0x9110, vec![measures]),
    ];
    object.put(sequence(0x5200, 0x9229, vec![shared]));
    let mut images = BTreeMap::new();
    for source in &info.sources {
        if !images.contains_key(&source.path) {
            let header = open(&source.path, Part::Header)?;
            let of = |tag| text(&header, tag).unwrap_or_default();
            images.insert(source.path.clone(), [of(SOP_CLASS), of(SOP_INSTANCE), of(SERIES_UID)]);
        }
    }
    let reference = |[class, instance, _]: &[String; 3]| {
        vec![string(0x0008, 0x1150, VR::UI, class), string(0x0008, 0x1155, VR::UI, instance)]
    };
    let mut series: BTreeMap<&str, Vec<Vec<InMemElement>>> = BTreeMap::new();
    for image in images.values() {
        series.entry(&image[2]).or_default().push(reference(image));
    }
    let series = series
        .into_iter()
        .map(|(uid, images)| vec![sequence(0x0008, 0x114A, images), string(0x0020, 0x000E, VR::UI, uid)]);
    object.put(sequence(0x0008, 0x1115, series.collect()));
    let several = info.sources.len() > images.len();
    let groups = frames.iter().map(|frame| {
        let source = &info.sources[frame.k];
        let mut image = reference(&images[&source.path]);
        if several {
            image.push(string(0x0008, 0x1160, VR::IS, &(source.frame + 1).to_string()));
        }
        let purpose = code("121322", "DCM", "Source image for image processing operation");
        image.push(sequence(0x0040, 0xA170, vec![purpose]));
        let derivation = vec![
            sequence(0x0008, 0x2112, vec![image]),
            sequence(0x0008, 0x9215, vec![code("113076", "DCM", "Segmentation")]),
        ];
        let place = PrimitiveValue::U32([u32::from(frame.segment), frame.k as u32 + 1].into_iter().collect());
        let position = lps([0, 1, 2].map(|row| m[row][2] * frame.k as f64 + m[row][3]));
        vec![
            sequence(0x0008, 0x9124, vec![derivation]),
            sequence(0x0020, 0x9111, vec![vec![DataElement::new(Tag(0x0020, 0x9157), VR::UL, place)]]),
            sequence(0x0020, 0x9113, vec![vec![string(0x0020, 0x0032, VR::DS, &position)]]),
            sequence(
                0x0062,
                0x000A,
                vec![vec![DataElement::new(Tag(0x0062, 0x000B), VR::US, PrimitiveValue::from(frame.segment))]],
            ),
        ]
    });
    object.put(sequence(0x5200, 0x9230, groups.collect()));
    Ok(())
}

fn index(dimensions: &str, pointer: Tag, group: Tag, label: &str) -> Vec<InMemElement> {
    let tag = |element: u16, tag: Tag| DataElement::new(Tag(0x0020, element), VR::AT, PrimitiveValue::from(tag));
    vec![
        string(0x0020, 0x9164, VR::UI, dimensions),
        tag(0x9165, pointer),
        tag(0x9167, group),
        string(0x0020, 0x9421, VR::LO, label),
    ]
}

fn code(value: &str, scheme: &str, meaning: &str) -> Vec<InMemElement> {
    vec![
        string(0x0008, 0x0100, VR::SH, value),
        string(0x0008, 0x0102, VR::SH, scheme),
        string(0x0008, 0x0104, VR::LO, meaning),
    ]
}

fn string(group: u16, element: u16, vr: VR, value: &str) -> InMemElement {
    let value = match value.is_empty() {
        true => PrimitiveValue::Empty,
        false => PrimitiveValue::from(value),
    };
    DataElement::new(Tag(group, element), vr, value)
}

fn sequence(group: u16, element: u16, items: Vec<Vec<InMemElement>>) -> InMemElement {
    let items: Vec<InMemDicomObject> = items.into_iter().map(InMemDicomObject::from_element_iter).collect();
    DataElement::new(Tag(group, element), VR::SQ, DataSetSequence::from(items))
}

/// At most the 16 characters of a decimal string, with as many digits as fit.
fn decimal(value: f64) -> String {
    const LONGEST: usize = 16;
    let value = value + 0.0;
    let exact = format!("{value}");
    if exact.len() <= LONGEST {
        return exact;
    }
    (0..LONGEST)
        .rev()
        .map(|digits| format!("{value:.digits$}"))
        .find(|text| text.len() <= LONGEST)
        .unwrap_or_else(|| format!("{value:.8e}"))
}

/// Date and time in UTC, as DICOM writes them.
fn now() -> (String, String) {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (elapsed.as_secs() / 86_400, elapsed.as_secs() % 86_400);
    // Days since 0000-03-01, in eras of 400 years: the leap day is the last of a year that begins in March.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, year) = (if month < 10 { month + 3 } else { month - 9 }, year + era * 400 + u64::from(month >= 10));
    let date = format!("{year:04}{month:02}{date:02}");
    (date, format!("{:02}{:02}{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_strings_fit_into_16_characters() {
        for value in [1.0 / 3.0, -123.456_789_012_345_67, 0.0, -0.9999999999999999, 250.0] {
            let text = decimal(value);
            assert!(text.len() <= 16 && (text.parse::<f64>().unwrap() - value).abs() < 1e-10, "{text}");
        }
    }
}
