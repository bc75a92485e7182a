//! Where a label map's voxels are among a scan's voxels.
//!
//! In: two grids. Out: whole-number steps from one to the other, where both are parts of one lattice of points: flipped,
//! permuted, cropped or larger. Knows nothing of files.

use super::voxels::{LabelMap, Volume};
use crate::error::{Error, Result};
use crate::geometry::{Dims, Geometry, IjkToRas, RasPoint};
use ndarray::Array3;
use std::str::FromStr;

/// How far a voxel may lie from its place, in voxels of the scan: headers store single precision.
const ROUNDING: f64 = 0.05;
/// Units that are confused: metres, millimetres and micrometres.
const UNITS: [(f64, &str); 5] = [
    (1.0, ""),
    (1e3, "metres"),
    (1e-3, "micrometres"),
    (1e6, "metres for micrometres"),
    (1e-6, "micrometres for metres"),
];

/// What happens to a label map that is not on the scan's lattice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaskGrid {
    /// It is refused.
    #[default]
    Exact,
    /// Each voxel of the scan takes the label of the nearest voxel.
    Resample,
    /// Its header is ignored: the same indices are the same voxels.
    Index,
}

impl FromStr for MaskGrid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "exact" => Ok(Self::Exact),
            "resample" => Ok(Self::Resample),
            "index" => Ok(Self::Index),
            _ => Err(Error::invalid("expected exact, resample or index")),
        }
    }
}

/// A label map on a scan's grid.
#[derive(Debug, Clone)]
pub struct Placed {
    /// On the scan's grid.
    pub labels: LabelMap,
    /// What the user should know of how it got there; empty where both grids are one.
    pub notes: Vec<String>,
}

/// Puts a label map on a scan's grid.
///
/// # Errors
/// `InvalidInput` where the lattices differ and `rule` allows no other way, or where no label lies on the scan.
pub fn place<T>(mask: &LabelMap, scan: &Volume<T>, rule: MaskGrid) -> Result<Placed> {
    let (ours, theirs) = (scan.geometry(), mask.geometry());
    let mut notes = Vec::new();
    let voxels = if rule == MaskGrid::Index {
        if ours.dims != theirs.dims {
            return Err(Error::invalid(format!(
                "{} and {} voxels; expected the same size for --mask-grid index",
                theirs.dims, ours.dims
            )));
        }
        if aligned(theirs, ours).is_none_or(|a| !a.is_identity()) {
            notes.push(format!("its header is ignored (--mask-grid index): {}", theirs.describe()));
        }
        mask.voxels().to_owned()
    } else if let Some((alignment, unit)) = find(mask, scan) {
        if !unit.is_empty() {
            notes.push(format!("its header gives {unit} where the image's gives millimetres; both are one grid"));
        }
        if !alignment.is_identity() {
            notes.push(format!("it lies on the image's lattice: {}", alignment.describe(theirs.dims)));
        }
        let (voxels, outside) = alignment.carry(mask, ours.dims);
        if outside > 0 {
            notes.push(format!("{outside} of its labelled voxels lie outside the image and are not used"));
        }
        voxels
    } else if rule == MaskGrid::Resample {
        notes.push(format!("it is resampled to the nearest voxels (--mask-grid resample), from {}", theirs.describe()));
        resample(mask, ours)?
    } else {
        return Err(Error::invalid(format!(
            "two grids, expected one lattice; --mask-grid resample takes the nearest voxels, --mask-grid index ignores \
             the mask's header\n{}",
            compared(theirs, ours)
        )));
    };
    let held = mask.voxels().iter().any(|&label| label > 0);
    if held && !voxels.iter().any(|&label| label > 0) {
        return Err(Error::invalid(format!(
            "none of its labelled voxels lies in the image; expected a mask of this image\n{}",
            compared(theirs, ours)
        )));
    }
    let mut labels = LabelMap::empty_like(scan);
    labels.voxels_mut().assign(&voxels);
    Ok(Placed { labels, notes })
}

/// Both grids in one line.
fn compared(mask: &Geometry, image: &Geometry) -> String {
    format!("mask: {}; image: {}", mask.describe(), image.describe())
}

/// Where one grid's voxels are among another's: mask axis n runs along scan axis `axes[n]`, from `offset` in steps of
/// `signs[n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alignment {
    axes: [usize; 3],
    signs: [i64; 3],
    offset: [i64; 3],
    same_size: bool,
}

/// The alignment of a label map, tried with all maps that readers give a file without orientation; equal grids first.
fn find<T>(mask: &LabelMap, scan: &Volume<T>) -> Option<(Alignment, &'static str)> {
    let (ours, theirs) = (scan.equivalent_grids(), mask.equivalent_grids());
    let mut found = None;
    for (factor, unit) in UNITS {
        for mine in &ours {
            for other in &theirs {
                let scaled = Geometry {
                    dims: other.dims,
                    ijk_to_ras: IjkToRas(other.ijk_to_ras.0.map(|row| row.map(|v| v * factor))),
                };
                match aligned(&scaled, mine) {
                    Some(alignment) if alignment.is_identity() => return Some((alignment, unit)),
                    Some(alignment) => found = found.or(Some((alignment, unit))),
                    None => {}
                }
            }
        }
    }
    found
}

/// The alignment of two grids, if they are parts of one lattice.
fn aligned(mask: &Geometry, scan: &Geometry) -> Option<Alignment> {
    let at = |index: [f64; 3]| scan.ijk_to_ras.to_ijk(mask.ijk_to_ras.to_ras(index)).ok();
    let origin = at([0.0; 3])?;
    let (mut axes, mut signs) = ([0; 3], [0; 3]);
    // A step to the far end tells the direction better than a step of one voxel.
    for axis in 0..3 {
        let steps = (mask.dims.0[axis] - 1).max(1) as f64;
        let mut index = [0.0; 3];
        index[axis] = steps;
        let end = at(index)?;
        let step = [0, 1, 2].map(|n| (end[n] - origin[n]) / steps);
        let along = (0..3).max_by(|&a, &b| step[a].abs().total_cmp(&step[b].abs()))?;
        (axes[axis], signs[axis]) = (along, if step[along] < 0.0 { -1 } else { 1 });
    }
    if axes.iter().sum::<usize>() != 3 || axes[0] == axes[1] || axes[1] == axes[2] {
        return None;
    }
    let predicted = |index: [f64; 3], offset: [f64; 3]| {
        let mut place = offset;
        for axis in 0..3 {
            place[axes[axis]] += signs[axis] as f64 * index[axis];
        }
        place
    };
    let middle = mask.dims.0.map(|n| (n - 1) as f64 / 2.0);
    let (exact, relative) = (at(middle)?, predicted(middle, [0.0; 3]));
    let offset = [0, 1, 2].map(|n| (exact[n] - relative[n]).round());
    if offset.iter().any(|o| !o.is_finite() || o.abs() > 1e9) {
        return None;
    }
    let last = mask.dims.0.map(|n| (n - 1) as f64);
    for corner in 0..8 {
        let index = [0, 1, 2].map(|n| if corner >> n & 1 == 1 { last[n] } else { 0.0 });
        let (found, expected) = (at(index)?, predicted(index, offset));
        if (0..3).any(|n| (found[n] - expected[n]).abs() > ROUNDING) {
            return None;
        }
    }
    // A single slice has no step of its own across it: its spacing must be the scan's within a tenth.
    let (mine, other) = (scan.spacing().0, mask.spacing().0);
    if (0..3).any(|n| (other[n] / mine[axes[n]] - 1.0).abs() > 0.1) {
        return None;
    }
    let same_size = (0..3).all(|n| mask.dims.0[n] == scan.dims.0[axes[n]]);
    Some(Alignment { axes, signs, offset: offset.map(|o| o as i64), same_size })
}

impl Alignment {
    fn is_identity(&self) -> bool {
        self.axes == [0, 1, 2] && self.signs == [1; 3] && self.offset == [0; 3] && self.same_size
    }

    fn describe(&self, dims: Dims) -> String {
        let name = |axis: usize| ['i', 'j', 'k'][axis];
        let mut words = Vec::new();
        if self.axes != [0, 1, 2] {
            words.push(format!("axes in the order {}", self.axes.map(|axis| name(axis).to_string()).join(", ")));
        }
        let flipped: Vec<String> =
            (0..3).filter(|&n| self.signs[n] < 0).map(|n| name(self.axes[n]).to_string()).collect();
        if !flipped.is_empty() {
            words.push(format!("flipped along {}", flipped.join(", ")));
        }
        if !self.same_size || words.is_empty() {
            let mut first = self.offset;
            for n in 0..3 {
                first[self.axes[n]] += (self.signs[n].min(0)) * (dims.0[n] as i64 - 1);
            }
            words.push(format!("{dims} voxels from voxel {}", first.map(|n| n.to_string()).join(",")));
        }
        words.join("; ")
    }

    /// The labels on a grid of `dims`, and how many labelled voxels lie outside it.
    fn carry(&self, mask: &LabelMap, dims: Dims) -> (Array3<u16>, usize) {
        let Dims([i, j, k]) = dims;
        let (mut voxels, mut outside) = (Array3::zeros((k, j, i)), 0);
        for ((k, j, i), &label) in mask.voxels().indexed_iter().filter(|(_, &label)| label > 0) {
            let mut place = self.offset;
            for (n, index) in [i, j, k].into_iter().enumerate() {
                place[self.axes[n]] += self.signs[n] * index as i64;
            }
            let inside = (0..3).all(|n| (0..dims.0[n] as i64).contains(&place[n]));
            match inside {
                true => voxels[[place[2] as usize, place[1] as usize, place[0] as usize]] = label,
                false => outside += 1,
            }
        }
        (voxels, outside)
    }
}

/// The label of the nearest voxel, for each voxel of `scan`; outside the mask the background.
fn resample(mask: &LabelMap, scan: &Geometry) -> Result<Array3<u16>> {
    let to_mask = |index: [f64; 3]| mask.geometry().ijk_to_ras.to_ijk(scan.ijk_to_ras.to_ras(index));
    // Both maps are affine: four points tell the rest.
    let origin = to_mask([0.0; 3])?;
    let step = |axis: usize| -> Result<[f64; 3]> {
        let mut index = [0.0; 3];
        index[axis] = 1.0;
        let RasPoint(end) = RasPoint(to_mask(index)?);
        Ok([0, 1, 2].map(|n| end[n] - origin[n]))
    };
    let steps = [step(0)?, step(1)?, step(2)?];
    let Dims([i, j, k]) = scan.dims;
    let size = mask.geometry().dims.0;
    Ok(Array3::from_shape_fn((k, j, i), |(k, j, i)| {
        let at = |n: usize| origin[n] + i as f64 * steps[0][n] + j as f64 * steps[1][n] + k as f64 * steps[2][n];
        let [x, y, z] = [at(0), at(1), at(2)].map(|v| v.round());
        let inside = [x, y, z].iter().zip(size).all(|(&v, n)| v >= 0.0 && v < n as f64);
        if inside {
            mask.voxels()[[z as usize, y as usize, x as usize]]
        } else {
            0
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Spacing;
    use proptest::prelude::*;

    /// A scan of 5 x 6 x 7 voxels in an oblique place.
    fn scan() -> Volume<f32> {
        let m = [[-0.48, 0.36, 0.6, 10.0], [0.6, 0.6, 0.3, -20.0], [0.1, -0.5, 2.2, 5.0]];
        let geometry = Geometry { dims: Dims([5, 6, 7]), ijk_to_ras: IjkToRas(m) };
        Volume::new(geometry, Array3::zeros((7, 6, 5))).unwrap()
    }

    fn labels(geometry: Geometry, label: impl Fn([usize; 3]) -> u16) -> LabelMap {
        let Dims([i, j, k]) = geometry.dims;
        Volume::new(geometry, Array3::from_shape_fn((k, j, i), |(k, j, i)| label([i, j, k]))).unwrap()
    }

    proptest! {
        #[test]
        fn any_flipped_permuted_cropped_or_larger_grid_is_placed_exactly(
            order in Just([0usize, 1, 2]).prop_shuffle(), signs in prop::array::uniform3(prop::bool::ANY),
            first in prop::array::uniform3(-3i64..3), size in prop::array::uniform3(4usize..9),
            rounding in prop::array::uniform3(-0.01f64..0.01),
        ) {
            let scan = scan();
            let m = scan.geometry().ijk_to_ras.0;
            // Mask voxel (a, b, c) is scan voxel first + signs * (a, b, c), axes in another order.
            let place = |index: [usize; 3]| {
                let mut at = first;
                for n in 0..3 {
                    let step = index[n] as i64;
                    at[order[n]] += if signs[n] { step } else { size[n] as i64 - 1 - step };
                }
                at
            };
            let start = scan.geometry().ijk_to_ras.to_ras(place([0; 3]).map(|v| v as f64)).0;
            let mut map = [[0.0; 4]; 3];
            for row in 0..3 {
                for n in 0..3 {
                    map[row][n] = if signs[n] { m[row][order[n]] } else { -m[row][order[n]] };
                }
                map[row][3] = start[row] + rounding[row];
            }
            let geometry = Geometry { dims: Dims(size), ijk_to_ras: IjkToRas(map) };
            let number = |at: [i64; 3]| (1 + at[0] + 5 * at[1] + 30 * at[2]) as u16;
            let inside = |at: [i64; 3]| at.iter().zip([5, 6, 7]).all(|(&v, n)| (0..n).contains(&v));
            let mask = labels(geometry, |index| if inside(place(index)) { number(place(index)) } else { 0 });
            let placed = place_voxels(&mask, &scan);
            let covered: Vec<[i64; 3]> = (0..size[0] * size[1] * size[2])
                .map(|n| place([n % size[0], n / size[0] % size[1], n / (size[0] * size[1])]))
                .collect();
            for ((k, j, i), &label) in placed.indexed_iter() {
                let at = [i as i64, j as i64, k as i64];
                prop_assert_eq!(label, if covered.contains(&at) { number(at) } else { 0 }, "{:?}", at);
            }
        }
    }

    fn place_voxels(mask: &LabelMap, scan: &Volume<f32>) -> Array3<u16> {
        super::place(mask, scan, MaskGrid::Exact).unwrap().labels.voxels().to_owned()
    }

    #[test]
    fn another_lattice_is_refused_with_both_grids_and_the_way_out() {
        let scan = scan();
        let spacing = IjkToRas::from_spacing(Spacing([1.0, 1.0, 2.0]));
        let mask = labels(Geometry { dims: Dims([5, 6, 7]), ijk_to_ras: spacing }, |at| u16::from(at == [2, 3, 4]));
        let line = place(&mask, &scan, MaskGrid::Exact).unwrap_err().to_string();
        for part in ["5x6x7 voxels of 1 x 1 x 2 mm, RAS", "image: 5x6x7 voxels of", "--mask-grid resample", "index"] {
            assert!(line.contains(part), "{line}");
        }
        let by_index = place(&mask, &scan, MaskGrid::Index).unwrap();
        assert_eq!(by_index.labels.voxels(), mask.voxels());
        assert!(by_index.notes[0].contains("header is ignored"), "{:?}", by_index.notes);
    }

    #[test]
    fn a_shifted_or_turned_grid_is_another_lattice() {
        let scan = scan();
        for edit in [|m: &mut [[f64; 4]; 3]| m[0][3] += 0.1, |m: &mut [[f64; 4]; 3]| m[0][0] *= 1.05] {
            let mut geometry = scan.geometry().clone();
            edit(&mut geometry.ijk_to_ras.0);
            let mask = labels(geometry, |_| 1);
            assert!(place(&mask, &scan, MaskGrid::Exact).is_err());
            assert!(place(&mask, &scan, MaskGrid::Resample).unwrap().notes[0].contains("nearest voxels"));
        }
    }

    #[test]
    fn metres_for_millimetres_are_recognised_and_said() {
        let scan = scan();
        let metres = IjkToRas(scan.geometry().ijk_to_ras.0.map(|row| row.map(|v| v / 1000.0)));
        let mask = labels(Geometry { dims: Dims([5, 6, 7]), ijk_to_ras: metres }, |at| at[0] as u16);
        let placed = place(&mask, &scan, MaskGrid::Exact).unwrap();
        assert_eq!(placed.labels.voxels(), mask.voxels());
        assert!(placed.notes[0].contains("metres"), "{:?}", placed.notes);
    }

    #[test]
    fn a_mask_that_misses_the_scan_is_refused_and_parts_outside_are_counted() {
        let scan = scan();
        let moved = |steps: f64| {
            let mut geometry = scan.geometry().clone();
            let RasPoint(start) = geometry.ijk_to_ras.to_ras([steps, 0.0, 0.0]);
            (0..3).for_each(|row| geometry.ijk_to_ras.0[row][3] = start[row]);
            labels(geometry, |_| 1)
        };
        let half = place(&moved(3.0), &scan, MaskGrid::Exact).unwrap();
        assert!(half.notes.iter().any(|note| note.contains("126 of its labelled voxels lie outside")), "{half:?}");
        assert!(place(&moved(5.0), &scan, MaskGrid::Exact).unwrap_err().to_string().contains("none of its labelled"));
    }
}
