//! Where voxels are: sizes, indices and the map from voxel indices to patient space.
//!
//! Patient space is RAS (x to the right, y to anterior, z to superior) in millimetres, as in NIfTI; NRRD's LPS is turned
//! at the reader. An index (i, j, k) has i fastest in memory.

use crate::error::{Error, Result};
use std::fmt;

/// Voxels along i, j and k; all positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims(pub [usize; 3]);

/// Millimetres between voxel centres along i, j and k.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spacing(pub [f64; 3]);

/// A voxel, (i, j, k).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VoxelIndex(pub [usize; 3]);

/// A point of patient space in millimetres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RasPoint(pub [f64; 3]);

/// A slice's number along the axis in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceIndex(pub usize);

impl SliceIndex {
    /// Slices between the two.
    pub fn distance(self, other: SliceIndex) -> usize {
        self.0.abs_diff(other.0)
    }
}

impl fmt::Display for SliceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Slices from `first` to `last`, both inside.
///
/// ```
/// use promem::geometry::{SliceIndex, SliceRange};
///
/// let range = SliceRange::new(SliceIndex(20), SliceIndex(60))?;
/// assert!(range.contains(SliceIndex(60)) && range.is_within(SliceRange::whole(61)));
/// assert!(SliceRange::new(SliceIndex(60), SliceIndex(20)).is_err());
/// # Ok::<(), promem::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceRange {
    /// First slice.
    pub first: SliceIndex,
    /// Last slice, not before the first.
    pub last: SliceIndex,
}

impl SliceRange {
    /// # Errors
    /// `InvalidInput` where the slices do not rise.
    pub fn new(first: SliceIndex, last: SliceIndex) -> Result<Self> {
        match first <= last {
            true => Ok(Self { first, last }),
            false => Err(Error::invalid(format!("range {first},{last}: expected two rising slice numbers"))),
        }
    }

    /// All slices of an axis of `count`, which is 1 or more.
    pub fn whole(count: usize) -> Self {
        Self { first: SliceIndex(0), last: SliceIndex(count - 1) }
    }

    /// Whether a slice lies in the range.
    pub fn contains(self, slice: SliceIndex) -> bool {
        (self.first..=self.last).contains(&slice)
    }

    /// Whether all of it lies within `outer`.
    pub fn is_within(self, outer: Self) -> bool {
        outer.contains(self.first) && outer.contains(self.last)
    }

    /// The nearest range within `outer`: what both hold, where they meet.
    pub fn within(self, outer: Self) -> Self {
        Self { first: self.first.clamp(outer.first, outer.last), last: self.last.clamp(outer.first, outer.last) }
    }
}

impl fmt::Display for SliceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.first, self.last)
    }
}

/// One of the three index axes of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Fastest in memory.
    I,
    /// Between the two.
    J,
    /// Slowest in memory.
    K,
}

impl Axis {
    /// I, J and K.
    pub const ALL: [Axis; 3] = [Axis::I, Axis::J, Axis::K];

    /// 0, 1 or 2.
    pub fn index(self) -> usize {
        match self {
            Axis::I => 0,
            Axis::J => 1,
            Axis::K => 2,
        }
    }

    /// The two axes of a slice across this one: (columns, rows), in rising order.
    pub fn in_plane(self) -> (Axis, Axis) {
        match self {
            Axis::I => (Axis::J, Axis::K),
            Axis::J => (Axis::I, Axis::K),
            Axis::K => (Axis::I, Axis::J),
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Axis::I => "i",
            Axis::J => "j",
            Axis::K => "k",
        })
    }
}

impl Dims {
    /// Number of voxels, or an error where it does not fit the address space or a dimension is zero.
    pub fn checked_len(self) -> Result<usize> {
        let Dims([i, j, k]) = self;
        match i.checked_mul(j).and_then(|n| n.checked_mul(k)) {
            Some(n) if n > 0 => Ok(n),
            _ => Err(Error::invalid(format!("dimensions {self}: expected three positive sizes"))),
        }
    }

    /// Number of voxels along an axis.
    pub fn along(self, axis: Axis) -> usize {
        self.0[axis.index()]
    }

    /// Whether a voxel lies in the volume.
    pub fn contains(self, VoxelIndex(index): VoxelIndex) -> bool {
        index.iter().zip(self.0).all(|(&i, n)| i < n)
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dims([i, j, k]) = self;
        write!(f, "{i}x{j}x{k}")
    }
}

/// Rows of the affine map (i, j, k, 1) -> RAS millimetres.
///
/// ```
/// use promem::geometry::{IjkToRas, RasPoint, Spacing};
///
/// let map = IjkToRas([[-0.8, 0., 0., 102.], [0., 0.8, 0., -96.], [0., 0., 2.5, -40.]]);
/// assert_eq!(map.spacing(), Spacing([0.8, 0.8, 2.5]));
/// let RasPoint(point) = map.to_ras([10., 20., 4.]);
/// assert!((point[0] - 94.).abs() < 1e-9 && (point[2] + 30.).abs() < 1e-9);
/// let index = map.to_ijk(RasPoint(point))?;
/// assert!(index.iter().zip([10., 20., 4.]).all(|(found, expected)| (found - expected).abs() < 1e-9));
/// # Ok::<(), promem::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IjkToRas(pub [[f64; 4]; 3]);

impl IjkToRas {
    /// Axes along RAS, the first voxel at the origin.
    pub fn from_spacing(Spacing([i, j, k]): Spacing) -> Self {
        Self([[i, 0., 0., 0.], [0., j, 0., 0.], [0., 0., k, 0.]])
    }

    /// Lengths of the three columns.
    pub fn spacing(&self) -> Spacing {
        Spacing([0, 1, 2].map(|c| (0..3).map(|r| self.0[r][c] * self.0[r][c]).sum::<f64>().sqrt()))
    }

    /// Position of a continuous voxel index.
    pub fn to_ras(&self, ijk: [f64; 3]) -> RasPoint {
        RasPoint(self.0.map(|row| row[0] * ijk[0] + row[1] * ijk[1] + row[2] * ijk[2] + row[3]))
    }

    /// Of the linear part; negative where the axes are mirrored.
    pub fn determinant(&self) -> f64 {
        let m = &self.0;
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    }

    /// Continuous voxel index of a point; an error where the map cannot be inverted.
    pub fn to_ijk(&self, point: RasPoint) -> Result<[f64; 3]> {
        let det = self.determinant();
        if !det.is_finite() || det == 0.0 {
            return Err(Error::invalid("the map from voxels to patient space cannot be inverted"));
        }
        let m = &self.0;
        let p = [0, 1, 2].map(|r| point.0[r] - m[r][3]);
        let minor = |a: usize, b: usize, c: usize, d: usize| m[a][c] * m[b][d] - m[a][d] * m[b][c];
        let inverse = [
            [minor(1, 2, 1, 2), -minor(0, 2, 1, 2), minor(0, 1, 1, 2)],
            [-minor(1, 2, 0, 2), minor(0, 2, 0, 2), -minor(0, 1, 0, 2)],
            [minor(1, 2, 0, 1), -minor(0, 2, 0, 1), minor(0, 1, 0, 1)],
        ];
        Ok(inverse.map(|row| (row[0] * p[0] + row[1] * p[1] + row[2] * p[2]) / det))
    }
}

/// Size and place of a volume.
///
/// ```
/// use promem::geometry::{Axis, Dims, Geometry, IjkToRas, Spacing};
///
/// let ijk_to_ras = IjkToRas::from_spacing(Spacing([0.8, 0.8, 2.5]));
/// let geometry = Geometry { dims: Dims([512, 512, 60]), ijk_to_ras };
/// assert_eq!(geometry.slice_axis(), Axis::K);
/// assert_eq!(geometry.dims.along(Axis::K), 60);
/// assert_eq!(Axis::K.in_plane(), (Axis::I, Axis::J)); // columns, rows
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Voxels along i, j and k.
    pub dims: Dims,
    /// From voxel indices to patient space.
    pub ijk_to_ras: IjkToRas,
}

impl Geometry {
    /// Millimetres between voxel centres.
    pub fn spacing(&self) -> Spacing {
        self.ijk_to_ras.spacing()
    }

    /// The directions in which i, j and k rise, as letters: `LPS` rises to the left, to posterior and to superior.
    pub fn orientation(&self) -> String {
        let Spacing(spacing) = self.spacing();
        let m = &self.ijk_to_ras.0;
        let share = |row: usize, column: usize| (m[row][column] / spacing[column]).abs();
        let mut letters = [' '; 3];
        let (mut rows, mut columns) = (vec![0, 1, 2], vec![0, 1, 2]);
        // The clearest pair of axes first, so that an oblique volume names each direction of the patient once.
        while !rows.is_empty() {
            let pairs = rows.iter().flat_map(|&row| columns.iter().map(move |&column| (row, column)));
            let best = pairs.max_by(|a, b| share(a.0, a.1).total_cmp(&share(b.0, b.1)));
            let (row, column) = best.expect("rows and columns are left");
            letters[column] = [['R', 'L'], ['A', 'P'], ['S', 'I']][row][usize::from(m[row][column] < 0.0)];
            rows.retain(|&other| other != row);
            columns.retain(|&other| other != column);
        }
        letters.iter().collect()
    }

    /// Size, spacing, orientation and first voxel in one line, to be compared with another grid's.
    pub fn describe(&self) -> String {
        let shown = |numbers: [f64; 3]| numbers.map(rounded).join(" x ");
        let RasPoint(first) = self.ijk_to_ras.to_ras([0.0; 3]);
        format!(
            "{} voxels of {} mm, {}, first voxel at ({}) mm RAS",
            self.dims,
            shown(self.spacing().0),
            self.orientation(),
            first.map(rounded).join(", ")
        )
    }

    /// An error unless both grids have the same size and their voxels coincide within a hundredth of a voxel.
    pub fn check_same_grid(&self, other: &Geometry) -> Result<()> {
        /// Headers store single precision and are written by many hands.
        const TOLERANCE: f64 = 0.01;
        if self.dims != other.dims {
            return Err(Error::invalid(format!("{} and {} voxels, expected one grid", self.dims, other.dims)));
        }
        let Spacing(spacing) = other.spacing();
        let smallest = spacing.into_iter().fold(f64::INFINITY, f64::min);
        // Both maps are affine: if four corners coincide, everything does.
        let last = other.dims.0.map(|n| (n - 1) as f64);
        for corner in [[0., 0., 0.], [last[0], 0., 0.], [0., last[1], 0.], [0., 0., last[2]]] {
            let (RasPoint(a), RasPoint(b)) = (self.ijk_to_ras.to_ras(corner), other.ijk_to_ras.to_ras(corner));
            let apart = (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f64>().sqrt();
            if apart > TOLERANCE * smallest {
                return Err(Error::invalid(format!(
                    "voxel {corner:?} lies at {a:.3?} mm and at {b:.3?} mm (RAS), expected one grid"
                )));
            }
        }
        Ok(())
    }

    /// The axis with the largest spacing, the last at a tie: the one along which a scan was cut into slices.
    pub fn slice_axis(&self) -> Axis {
        let Spacing(s) = self.spacing();
        // Resampling leaves rounding noise in headers: 1 % apart counts as equal.
        const SAME: f64 = 0.99;
        let mut best = Axis::K;
        for axis in [Axis::J, Axis::I] {
            if s[axis.index()] * SAME > s[best.index()] {
                best = axis;
            }
        }
        best
    }
}

/// At most four decimals.
fn rounded(number: f64) -> String {
    let number = (number * 1e4).round() / 1e4;
    format!("{}", number + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_spacings_choose_the_last_axis() {
        let at = |s| Geometry { dims: Dims([2, 3, 4]), ijk_to_ras: IjkToRas::from_spacing(Spacing(s)) }.slice_axis();
        assert_eq!(at([1., 1., 1.]), Axis::K);
        assert_eq!(at([3., 1., 1.]), Axis::I);
        assert_eq!(at([1., 2., 1.9]), Axis::J);
        assert_eq!(at([1.0001, 1., 1.]), Axis::K);
    }

    #[test]
    fn orientation_names_where_each_index_rises() {
        let of = |m: [[f64; 4]; 3]| Geometry { dims: Dims([2, 3, 4]), ijk_to_ras: IjkToRas(m) };
        let lps = of([[-0.5, 0., 0., 7.], [0., -0.5, 0., 0.25], [0., 0., 2., -3.]]);
        assert_eq!(lps.orientation(), "LPS");
        assert_eq!(lps.describe(), "2x3x4 voxels of 0.5 x 0.5 x 2 mm, LPS, first voxel at (7, 0.25, -3) mm RAS");
        // Sagittal slices, oblique by about 40 degrees.
        assert_eq!(of([[0., 0., 3., 0.], [-0.8, 0.6, 0., 0.], [0.6, -0.8, 0., 0.]]).orientation(), "PIR");
    }

    proptest! {
        #[test]
        fn index_to_patient_space_and_back_is_the_identity(
            m in prop::array::uniform3(prop::array::uniform4(-4.0f64..4.0)), ijk in prop::array::uniform3(-50.0f64..50.0)
        ) {
            let map = IjkToRas(m);
            prop_assume!(map.determinant().abs() > 0.05);
            let back = map.to_ijk(map.to_ras(ijk)).unwrap();
            for axis in 0..3 {
                prop_assert!((back[axis] - ijk[axis]).abs() < 1e-6, "{back:?} is not {ijk:?}");
            }
        }
    }
}
