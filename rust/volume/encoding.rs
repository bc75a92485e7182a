//! Numbers as bytes: scalar types, byte order, rescaling.

use super::voxels::NiftiForms;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Geometry;

/// A scalar type by its NRRD name and its NIfTI code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Scalar {
    pub fn bytes(self) -> usize {
        match self {
            Scalar::U8 | Scalar::I8 => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
        }
    }

    /// NRRD's names, all spellings of its format page.
    pub fn from_nrrd(name: &str) -> Option<Self> {
        Some(match name {
            "signed char" | "int8" | "int8_t" => Scalar::I8,
            "uchar" | "unsigned char" | "uint8" | "uint8_t" => Scalar::U8,
            "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Scalar::I16,
            "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Scalar::U16,
            "int" | "signed int" | "int32" | "int32_t" => Scalar::I32,
            "uint" | "unsigned int" | "uint32" | "uint32_t" => Scalar::U32,
            "longlong"
            | "long long"
            | "long long int"
            | "signed long long"
            | "signed long long int"
            | "int64"
            | "int64_t" => Scalar::I64,
            "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Scalar::U64,
            "float" => Scalar::F32,
            "double" => Scalar::F64,
            _ => return None,
        })
    }

    /// `datatype` of NIfTI.
    pub fn nifti_code(self) -> i16 {
        match self {
            Scalar::U8 => 2,
            Scalar::I16 => 4,
            Scalar::I32 => 8,
            Scalar::F32 => 16,
            Scalar::F64 => 64,
            Scalar::I8 => 256,
            Scalar::U16 => 512,
            Scalar::U32 => 768,
            Scalar::I64 => 1024,
            Scalar::U64 => 1280,
        }
    }

    pub fn from_nifti(code: i16) -> Option<Self> {
        const ALL: [Scalar; 10] = [
            Scalar::U8,
            Scalar::I8,
            Scalar::U16,
            Scalar::I16,
            Scalar::U32,
            Scalar::I32,
            Scalar::U64,
            Scalar::I64,
            Scalar::F32,
            Scalar::F64,
        ];
        ALL.into_iter().find(|scalar| scalar.nifti_code() == code)
    }
}

/// Order of a number's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    Little,
    Big,
}

/// How stored numbers become values: value = slope * stored + intercept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    pub scalar: Scalar,
    pub order: ByteOrder,
    pub slope: f64,
    pub intercept: f64,
}

/// Calls `$visit` with every stored number as f64.
macro_rules! each {
    ($bytes:expr, $order:expr, $type:ty, $visit:expr) => {{
        const N: usize = std::mem::size_of::<$type>();
        for chunk in $bytes.chunks_exact(N) {
            let mut raw = [0u8; N];
            raw.copy_from_slice(chunk);
            let number = match $order {
                ByteOrder::Little => <$type>::from_le_bytes(raw),
                ByteOrder::Big => <$type>::from_be_bytes(raw),
            };
            $visit(number as f64)?;
        }
    }};
}

impl Encoding {
    /// Unscaled, by NRRD type name.
    pub fn little_endian(name: &str) -> Self {
        let scalar = Scalar::from_nrrd(name).unwrap_or(Scalar::F32);
        Self { scalar, order: ByteOrder::Little, slope: 1.0, intercept: 0.0 }
    }

    fn visit(&self, bytes: &[u8], mut visit: impl FnMut(f64) -> Result<()>) -> Result<()> {
        let (slope, intercept) = (self.slope, self.intercept);
        let mut scaled = |stored: f64| visit(stored * slope + intercept);
        match self.scalar {
            Scalar::U8 => each!(bytes, self.order, u8, scaled),
            Scalar::I8 => each!(bytes, self.order, i8, scaled),
            Scalar::U16 => each!(bytes, self.order, u16, scaled),
            Scalar::I16 => each!(bytes, self.order, i16, scaled),
            Scalar::U32 => each!(bytes, self.order, u32, scaled),
            Scalar::I32 => each!(bytes, self.order, i32, scaled),
            Scalar::U64 => each!(bytes, self.order, u64, scaled),
            Scalar::I64 => each!(bytes, self.order, i64, scaled),
            Scalar::F32 => each!(bytes, self.order, f32, scaled),
            Scalar::F64 => each!(bytes, self.order, f64, scaled),
        }
        Ok(())
    }

    /// Values as f32; refuses what is not finite.
    pub fn decode_finite(&self, bytes: &[u8]) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(bytes.len() / self.scalar.bytes());
        self.visit(bytes, |value| {
            let single = value as f32;
            if !single.is_finite() {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("voxel {} is {single}; expected finite values only", values.len()),
                ));
            }
            values.push(single);
            Ok(())
        })?;
        Ok(values)
    }

    /// Values as labels; refuses what is none.
    pub fn decode_labels(&self, bytes: &[u8]) -> Result<Vec<u16>> {
        let mut labels = Vec::with_capacity(bytes.len() / self.scalar.bytes());
        self.visit(bytes, |value| {
            if value.fract() != 0.0 || !(0.0..=f64::from(u16::MAX)).contains(&value) {
                return Err(Error::new(
                    ErrorKind::Format,
                    format!("voxel {} is {value}; expected labels, whole numbers from 0 to {}", labels.len(), u16::MAX),
                ));
            }
            labels.push(value as u16);
            Ok(())
        })?;
        Ok(labels)
    }

    /// The bytes of unscaled values, little endian, for the types that are written.
    pub fn encode(&self, values: impl Iterator<Item = f64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in values {
            match self.scalar {
                Scalar::U8 => bytes.push(value as u8),
                Scalar::U16 => bytes.extend((value as u16).to_le_bytes()),
                Scalar::I16 => bytes.extend((value as i16).to_le_bytes()),
                Scalar::F64 => bytes.extend(value.to_le_bytes()),
                _ => bytes.extend((value as f32).to_le_bytes()),
            }
        }
        bytes
    }
}

/// Voxels still encoded, with everything that the header says of them.
pub struct EncodedVolume {
    pub geometry: Geometry,
    pub forms: Option<NiftiForms>,
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_and_scaling_are_applied() {
        let encoding = |order| Encoding { scalar: Scalar::I16, order, slope: 2.0, intercept: -1.0 };
        assert_eq!(encoding(ByteOrder::Big).decode_finite(&[1, 0, 0xff, 0xff]).unwrap(), [511.0, -3.0]);
        assert_eq!(encoding(ByteOrder::Little).decode_finite(&[1, 0, 0xff, 0xff]).unwrap(), [1.0, -3.0]);
    }

    #[test]
    fn a_value_that_is_no_number_or_no_label_is_refused_by_its_place() {
        let bytes: Vec<u8> = [1.0f32, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        let error = Encoding::little_endian("float").decode_finite(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "voxel 1 is NaN; expected finite values only");
        let bytes: Vec<u8> = [1.0f32, 0.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(Encoding::little_endian("float").decode_labels(&bytes).is_err());
    }
}
