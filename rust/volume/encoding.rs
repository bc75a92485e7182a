//! Numbers as bytes: scalar types, byte order, rescaling.

use super::voxels::NiftiForms;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Geometry;

/// A scalar type by its NRRD name and its NIfTI code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// uint8
    U8,
    /// int8
    I8,
    /// uint16
    U16,
    /// int16
    I16,
    /// uint32
    U32,
    /// int32
    I32,
    /// uint64
    U64,
    /// int64
    I64,
    /// float32
    F32,
    /// float64
    F64,
}

impl Scalar {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Scalar::U8 | Scalar::I8 => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
        }
    }

    /// The name that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::U8 => "uint8",
            Scalar::I8 => "int8",
            Scalar::U16 => "uint16",
            Scalar::I16 => "int16",
            Scalar::U32 => "uint32",
            Scalar::I32 => "int32",
            Scalar::U64 => "uint64",
            Scalar::I64 => "int64",
            Scalar::F32 => "float32",
            Scalar::F64 => "float64",
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

    /// The type of a NIfTI `datatype` code; `None` for those that are not read.
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

    /// Values as f32. Values that are not finite, as some writers leave outside the field of view, become the least
    /// finite value; the second result is how many there were.
    pub fn decode_image(&self, bytes: &[u8]) -> Result<(Vec<f32>, usize)> {
        let mut values = Vec::with_capacity(bytes.len() / self.scalar.bytes());
        self.visit(bytes, |value| {
            values.push(value as f32);
            Ok(())
        })?;
        let replaced = fill_background(&mut values)?;
        Ok((values, replaced))
    }

    /// Values as labels; refuses what is none.
    pub fn decode_labels(&self, bytes: &[u8]) -> Result<Vec<u16>> {
        /// Rescaling in single precision leaves labels beside whole numbers.
        const ROUNDING: f64 = 0.01;
        let mut labels = Vec::with_capacity(bytes.len() / self.scalar.bytes());
        self.visit(bytes, |value| {
            let label = value.round();
            if (value - label).abs() <= ROUNDING && (0.0..=f64::from(u16::MAX)).contains(&label) {
                labels.push(label as u16);
                return Ok(());
            }
            Err(Error::new(
                ErrorKind::Format,
                format!("voxel {} is {value}; expected labels, whole numbers from 0 to {}", labels.len(), u16::MAX),
            ))
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

/// Puts the least finite value where a value is not finite; returns how many there were.
pub fn fill_background(values: &mut [f32]) -> Result<usize> {
    let least = values.iter().copied().filter(|v| v.is_finite()).fold(f32::INFINITY, f32::min);
    let mut replaced = 0;
    for value in values.iter_mut().filter(|v| !v.is_finite()) {
        *value = least;
        replaced += 1;
    }
    if replaced > 0 && replaced == values.len() {
        return Err(Error::new(ErrorKind::Format, "no voxel is a finite number; expected intensities"));
    }
    Ok(replaced)
}

/// Which of several volumes in one file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// The only one; several are refused.
    Only,
    /// The one of this number, counted from 0.
    One(usize),
    /// The first, whatever follows.
    First,
}

impl Frames {
    /// The number among `count`. `what` describes the data for the refusal.
    pub fn choose(self, count: usize, what: &str) -> Result<usize> {
        match self {
            Frames::First => Ok(0),
            Frames::Only if count == 1 => Ok(0),
            Frames::Only => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{what}: {count} frames, expected one 3-D volume; --frame N takes one, 0 to {}", count - 1),
            )),
            Frames::One(frame) if frame < count => Ok(frame),
            Frames::One(frame) => Err(Error::invalid(format!(
                "frame {frame}: the file has {count}, counted from 0; expected 0 to {}",
                count.saturating_sub(1)
            ))),
        }
    }
}

/// Voxels still encoded, with everything that the header says of them.
pub struct EncodedVolume {
    /// The format by name, such as `NIfTI-1`.
    pub kind: &'static str,
    /// Volumes in the file, of which this is one.
    pub frames: usize,
    pub geometry: Geometry,
    pub forms: Option<NiftiForms>,
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
    /// Segments of a `.seg.nrrd`, in the file's order.
    pub segments: Vec<StoredSegment>,
}

/// A segment as a `.seg.nrrd` describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSegment {
    pub name: Option<String>,
    pub colour: Option<[f64; 3]>,
    /// The value of its voxels within its layer.
    pub value: u16,
    /// The frame of the file that holds it.
    pub layer: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_and_scaling_are_applied() {
        let encoding = |order| Encoding { scalar: Scalar::I16, order, slope: 2.0, intercept: -1.0 };
        assert_eq!(encoding(ByteOrder::Big).decode_image(&[1, 0, 0xff, 0xff]).unwrap().0, [511.0, -3.0]);
        assert_eq!(encoding(ByteOrder::Little).decode_image(&[1, 0, 0xff, 0xff]).unwrap().0, [1.0, -3.0]);
    }

    fn float(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn values_that_are_not_finite_become_the_least_value() {
        let bytes = float(&[1.0, f32::NAN, -7.0, f32::INFINITY, f32::NEG_INFINITY]);
        let (values, replaced) = Encoding::little_endian("float").decode_image(&bytes).unwrap();
        assert_eq!((values, replaced), (vec![1.0, -7.0, -7.0, -7.0, -7.0], 3));
        assert!(Encoding::little_endian("float").decode_image(&float(&[f32::NAN; 2])).is_err());
    }

    #[test]
    fn labels_within_a_hundredth_of_a_whole_number_are_labels() {
        let decode = |values: &[f32]| Encoding::little_endian("float").decode_labels(&float(values));
        assert_eq!(decode(&[2.9999998, 3.009, -0.004]).unwrap(), [3, 3, 0]);
        for wrong in [0.5, 2.98, -1.0, 65536.0, f32::NAN] {
            assert!(decode(&[1.0, wrong]).unwrap_err().to_string().contains("voxel 1 is"), "{wrong}");
        }
    }
}
