//! Small DICOM files for the tests.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
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
        }
    }

    pub fn write(&self, path: &Path) {
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
        let pixels = PrimitiveValue::U16(self.pixels.iter().copied().collect());
        object.put(DataElement::new(Tag(0x7FE0, 0x0010), VR::OW, pixels));
        for (tag, vr, value) in &self.extra {
            let value = match vr {
                VR::US => PrimitiveValue::from(value.parse::<u16>().unwrap()),
                _ => PrimitiveValue::from(value.clone()),
            };
            object.put(DataElement::new(*tag, *vr, value));
        }
        let meta = FileMetaTableBuilder::new().transfer_syntax("1.2.840.10008.1.2.1");
        object.with_meta(meta).unwrap().write_to_file(path).unwrap();
    }
}
