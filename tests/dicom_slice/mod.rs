//! Small DICOM files for the tests.

#![allow(dead_code)] // each test program uses a part of it

use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_object::mem::InMemElement;
use dicom_object::meta::FileMetaTableBuilder;
use dicom_object::InMemDicomObject;
use std::path::Path;

/// One slice; the fields are those that place it in the patient, LPS mm.
#[derive(Debug, Clone)]
pub struct Slice {
    pub series: &'static str,
    pub position: [f64; 3],
    /// Directions of rising columns and of rising rows.
    pub directions: [f64; 6],
    /// Between rows, between columns.
    pub spacing: [f64; 2],
    pub rows: u16,
    pub pixels: Vec<u16>,
    pub slope: f64,
    pub intercept: f64,
    pub thickness: f64,
    /// Further elements, which replace those above.
    pub extra: Vec<(Tag, VR, String)>,
    /// Transfer syntax and compressed pixels instead of those above.
    pub compressed: Option<(&'static str, Vec<u8>)>,
}

impl Slice {
    /// An axial slice whose pixels are `rows` rows of whole numbers.
    pub fn axial(z: f64, rows: u16, pixels: Vec<u16>) -> Self {
        Self {
            series: "1.2.3",
            position: [-10.0, -20.0, z],
            directions: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            spacing: [0.5, 0.75],
            rows,
            pixels,
            slope: 1.0,
            intercept: 0.0,
            thickness: 5.0,
            extra: Vec::new(),
            compressed: None,
        }
    }

    pub fn write(&self, path: &Path) {
        let syntax = self.compressed.as_ref().map_or("1.2.840.10008.1.2.1", |(syntax, _)| syntax);
        let meta = FileMetaTableBuilder::new().transfer_syntax(syntax);
        self.object().with_meta(meta).unwrap().write_to_file(path).unwrap();
    }

    /// All elements of the data set.
    pub fn object(&self) -> InMemDicomObject {
        let joined = |numbers: &[f64]| numbers.iter().map(|n| format!("{n}")).collect::<Vec<_>>().join("\\");
        let mut object = InMemDicomObject::new_empty();
        let mut text = |group: u16, element: u16, vr: VR, value: String| {
            object.put(DataElement::new(Tag(group, element), vr, PrimitiveValue::from(value)));
        };
        text(0x0008, 0x0016, VR::UI, "1.2.840.10008.5.1.4.1.1.2".into());
        text(0x0008, 0x0018, VR::UI, format!("{}.{}", self.series, (self.position[2] * 100.0) as i64 + 100_000));
        text(0x0020, 0x000E, VR::UI, self.series.into());
        text(0x0018, 0x0050, VR::DS, format!("{}", self.thickness));
        text(0x0020, 0x0032, VR::DS, joined(&self.position));
        text(0x0020, 0x0037, VR::DS, joined(&self.directions));
        text(0x0028, 0x0030, VR::DS, joined(&self.spacing));
        text(0x0028, 0x0004, VR::CS, "MONOCHROME2".into());
        text(0x0028, 0x1052, VR::DS, format!("{}", self.intercept));
        text(0x0028, 0x1053, VR::DS, format!("{}", self.slope));
        let columns = self.pixels.len() as u16 / self.rows;
        for (element, number) in
            [(0x0002, 1), (0x0010, self.rows), (0x0011, columns), (0x0100, 16), (0x0101, 16), (0x0102, 15), (0x0103, 0)]
        {
            object.put(DataElement::new(Tag(0x0028, element), VR::US, PrimitiveValue::from(number)));
        }
        match &self.compressed {
            None => {
                let pixels = PrimitiveValue::U16(self.pixels.iter().copied().collect());
                object.put(DataElement::new(Tag(0x7FE0, 0x0010), VR::OW, pixels));
            }
            Some((_, stream)) => {
                let fragments = PixelFragmentSequence::new_fragments(vec![stream.clone()]);
                object.put(DataElement::new(Tag(0x7FE0, 0x0010), VR::OB, fragments));
            }
        }
        for (tag, vr, value) in &self.extra {
            let value = match vr {
                VR::US => PrimitiveValue::from(value.parse::<u16>().unwrap()),
                _ => PrimitiveValue::from(value.clone()),
            };
            object.put(DataElement::new(*tag, *vr, value));
        }
        object
    }
}

/// A multi-frame image of frames at z, with a temporal position and pixels of `rows` rows each.
pub fn write_multi_frame(path: &Path, rows: u16, frames: &[(f64, u32, Vec<u16>)]) {
    let text =
        |group, element, vr, value: String| DataElement::new(Tag(group, element), vr, PrimitiveValue::from(value));
    let sequence = |group, element, item: Vec<InMemElement>| {
        let items = vec![InMemDicomObject::from_element_iter(item)];
        DataElement::new(Tag(group, element), VR::SQ, DataSetSequence::from(items))
    };
    let all: Vec<u16> = frames.iter().flat_map(|(_, _, pixels)| pixels.iter().copied()).collect();
    let first = Slice::axial(0.0, rows, frames[0].2.clone());
    let mut object = first.object();
    for tag in [Tag(0x0020, 0x0032), Tag(0x0020, 0x0037), Tag(0x0028, 0x0030), Tag(0x0028, 0x1052), Tag(0x0028, 0x1053)]
    {
        object.remove_element(tag);
    }
    object.put(text(0x0008, 0x0016, VR::UI, "1.2.840.10008.5.1.4.1.1.2.1".into()));
    object.put(text(0x0028, 0x0008, VR::IS, frames.len().to_string()));
    let shared = vec![
        sequence(0x0020, 0x9116, vec![text(0x0020, 0x0037, VR::DS, "1\\0\\0\\0\\1\\0".into())]),
        sequence(0x0028, 0x9110, vec![text(0x0028, 0x0030, VR::DS, "0.5\\0.75".into())]),
    ];
    object.put(sequence(0x5200, 0x9229, shared));
    let each = frames.iter().enumerate().map(|(n, (z, time, _))| {
        let time = DataElement::new(Tag(0x0020, 0x9128), VR::UL, PrimitiveValue::from(*time));
        let rescale =
            vec![text(0x0028, 0x1052, VR::DS, format!("{}", 100 * n)), text(0x0028, 0x1053, VR::DS, "2".into())];
        InMemDicomObject::from_element_iter(vec![
            sequence(0x0020, 0x9111, vec![time]),
            sequence(0x0020, 0x9113, vec![text(0x0020, 0x0032, VR::DS, format!("-10\\-20\\{z}"))]),
            sequence(0x0028, 0x9145, rescale),
        ])
    });
    let each: Vec<InMemDicomObject> = each.collect();
    object.put(DataElement::new(Tag(0x5200, 0x9230), VR::SQ, DataSetSequence::from(each)));
    object.put(DataElement::new(Tag(0x7FE0, 0x0010), VR::OW, PrimitiveValue::U16(all.into())));
    let meta = FileMetaTableBuilder::new().transfer_syntax("1.2.840.10008.1.2.1");
    object.with_meta(meta).unwrap().write_to_file(path).unwrap();
}
