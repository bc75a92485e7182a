//! A slice's way to the network's square and back.
//!
//! There: pixels become isotropic and the longer side gets the network's size, in one bilinear resampling, antialiased
//! where it shrinks; the rest of the square is padding at the bottom or right. Back: logits are brought to the square's
//! size, the padding is cut, and what is left is resampled to the slice. Pixel centres lie at half-integers of their
//! own
//! grid, as in PyTorch's `interpolate(align_corners=False, antialias=True)`.

use crate::slices::roi::Roi;
use ndarray::{s, Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};

/// A mask pixel counts as inside from here on (SAM 2's `add_new_mask`).
const INSIDE: f32 = 0.5;

/// How a roi of slices fits the square.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFrame {
    /// What is shown of a slice.
    roi: Roi,
    /// Rows and columns of the square that the roi covers.
    valid: [usize; 2],
    /// Side of the square.
    size: usize,
}

impl NetworkFrame {
    /// `spacing`: millimetres between rows and between columns.
    pub fn new(roi: Roi, spacing: [f64; 2], size: usize) -> Self {
        let extent = [roi.size[0] as f64 * spacing[0], roi.size[1] as f64 * spacing[1]];
        let longer = extent[0].max(extent[1]);
        let valid = extent.map(|side| ((side / longer * size as f64).round() as usize).clamp(1, size));
        Self { roi, valid, size }
    }

    /// What is shown of a slice.
    pub fn roi(&self) -> Roi {
        self.roi
    }

    /// Rows and columns that hold the roi; the rest is padding.
    pub fn valid(&self) -> [usize; 2] {
        self.valid
    }

    /// A slice [rows, columns] -> the valid part of the square.
    pub fn to_network(&self, slice: ArrayView2<f32>) -> Array2<f32> {
        resize(self.crop(slice), self.valid)
    }

    /// What is shown of a slice [rows, columns], in its own pixels.
    pub fn crop<'a, T>(&self, slice: ArrayView2<'a, T>) -> ArrayView2<'a, T> {
        let Roi { first: [row, column], .. } = self.roi;
        slice.slice_move(s![row..self.roi.end(0), column..self.roi.end(1)])
    }

    /// The valid part -> the whole square.
    pub fn padded(&self, valid: &Array2<f32>, padding: f32) -> Array2<f32> {
        let mut square = Array2::from_elem((self.size, self.size), padding);
        square.slice_mut(s![..self.valid[0], ..self.valid[1]]).assign(valid);
        square
    }

    /// A mask [rows, columns] -> the valid part of the square. A mask that holds a pixel of the roi never becomes
    /// empty.
    pub fn mask_to_network(&self, mask: ArrayView2<bool>) -> Array2<bool> {
        let soft = resize(self.crop(mask).mapv(f32::from).view(), self.valid);
        let inside = soft.mapv(|share| share >= INSIDE);
        let highest = soft.iter().copied().fold(0.0, f32::max);
        if highest > 0.0 && highest < INSIDE {
            return soft.mapv(|share| share == highest); // thinner than a pixel: its densest pixels stand for it
        }
        inside
    }

    /// Logits of the square, of any side, -> logits of the roi's own pixels.
    pub fn logits_to_roi(&self, logits: ArrayView2<f32>) -> Array2<f32> {
        let square = resize(logits, [self.size, self.size]);
        resize(square.slice(s![..self.valid[0], ..self.valid[1]]), self.roi.size)
    }

    /// Logits of this frame's square, of any side, as they look in another frame's square; `outside` where this frame
    /// shows nothing.
    pub fn logits_in(&self, other: &NetworkFrame, logits: ArrayView2<f32>, outside: f32) -> Array2<f32> {
        let own = self.logits_to_roi(logits);
        let joined = self.roi.joined(&other.roi);
        let mut slice = Array2::from_elem((joined.end(0), joined.end(1)), outside);
        let [row, column] = self.roi.first;
        slice.slice_mut(s![row..self.roi.end(0), column..self.roi.end(1)]).assign(&own);
        other.padded(&other.to_network(slice.view()), outside)
    }

    /// A point of the slice -> (x, y) in the square; whole numbers are pixel centres on both sides.
    pub fn point_to_network(&self, row: f64, column: f64) -> (f64, f64) {
        let there = |at: f64, axis: usize| {
            (at - self.roi.first[axis] as f64 + 0.5) * self.valid[axis] as f64 / self.roi.size[axis] as f64 - 0.5
        };
        (there(column, 1), there(row, 0))
    }
}

/// Bilinear resampling of [rows, columns] to `size`, antialiased where it shrinks.
pub fn resize(image: ArrayView2<f32>, size: [usize; 2]) -> Array2<f32> {
    let rows = Taps::new(image.nrows(), size[0]);
    let columns = Taps::new(image.ncols(), size[1]);
    let wide = match &columns {
        None => image.to_owned(),
        Some(taps) => {
            let mut wide = Array2::zeros((image.nrows(), size[1]));
            for (from, mut to) in image.rows().into_iter().zip(wide.rows_mut()) {
                taps.apply(from, &mut to);
            }
            wide
        }
    };
    match &rows {
        None => wide,
        Some(taps) => {
            let mut high = Array2::zeros((size[0], size[1]));
            for (mut to, (start, weights)) in high.axis_iter_mut(Axis(0)).zip(&taps.0) {
                for (offset, &weight) in weights.iter().enumerate() {
                    Zip::from(&mut to).and(&wide.row(start + offset)).for_each(|out, &v| *out += weight * v);
                }
            }
            high
        }
    }
}

/// For each output position the first input and the weights of the inputs from there on.
struct Taps(Vec<(usize, Vec<f32>)>);

impl Taps {
    /// `None` where nothing changes.
    fn new(from: usize, to: usize) -> Option<Self> {
        if from == to {
            return None;
        }
        let scale = from as f64 / to as f64;
        let reach = scale.max(1.0); // the triangle widens when shrinking
        let taps = (0..to).map(|out| {
            let centre = (out as f64 + 0.5) * scale;
            let first = (centre - reach + 0.5).floor().max(0.0) as usize;
            let last = ((centre + reach + 0.5).floor() as usize).min(from);
            let raw: Vec<f64> =
                (first..last).map(|i| (1.0 - ((i as f64 + 0.5 - centre) / reach).abs()).max(0.0)).collect();
            let total: f64 = raw.iter().sum();
            (first, raw.into_iter().map(|weight| (weight / total) as f32).collect())
        });
        Some(Self(taps.collect()))
    }

    fn apply(&self, from: ArrayView1<f32>, to: &mut ndarray::ArrayViewMut1<f32>) {
        let contiguous: Array1<f32>;
        let from = match from.as_slice() {
            Some(slice) => slice,
            None => {
                contiguous = from.to_owned();
                contiguous.as_slice().expect("an owned row is contiguous")
            }
        };
        for (out, (start, weights)) in to.iter_mut().zip(&self.0) {
            *out = weights.iter().zip(&from[*start..]).map(|(weight, value)| weight * value).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        input: Vec<Vec<f32>>,
        output: Vec<Vec<f32>>,
    }

    fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(r, c)| rows[r][c])
    }

    #[test]
    fn resampling_equals_torch_interpolate_with_antialias() {
        let text = include_str!("../../tests/golden/resize.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let expected = matrix(&case.output);
            let found = resize(matrix(&case.input).view(), [expected.nrows(), expected.ncols()]);
            let worst = (&found - &expected).iter().fold(0f32, |m, d| m.max(d.abs()));
            assert!(worst < 1e-5, "{:?} -> {:?}: worst {worst}", case.input.len(), expected.dim());
        }
    }

    fn whole(size: [usize; 2], spacing: [f64; 2], side: usize) -> NetworkFrame {
        NetworkFrame::new(Roi { first: [0, 0], size }, spacing, side)
    }

    #[test]
    fn a_mask_seen_in_one_region_is_the_same_in_another() {
        let mask = Array2::from_shape_fn((120, 150), |(r, c)| (r as f64 - 60.0).hypot(c as f64 - 70.0) < 22.0);
        let near = NetworkFrame::new(Roi { first: [25, 30], size: [80, 80] }, [1.0, 1.0], 128);
        let far = NetworkFrame::new(Roi { first: [0, 10], size: [120, 120] }, [1.0, 1.0], 128);
        for (from, to) in [(&near, &far), (&far, &near)] {
            let logits = |inside: bool| if inside { 10f32 } else { -10.0 };
            let there = from.logits_in(to, from.mask_to_network(mask.view()).mapv(logits).view(), -10.0);
            let expected = to.mask_to_network(mask.view());
            let found = dice(&there.mapv(|logit| logit > 0.0), &expected);
            assert!(found > 0.97, "{found}");
        }
    }

    #[test]
    fn points_and_masks_of_a_region_meet() {
        let frame = NetworkFrame::new(Roi { first: [40, 60], size: [32, 32] }, [1.0, 1.0], 128);
        let mut mask = Array2::from_elem((100, 100), false);
        mask[(50, 70)] = true;
        let there = frame.mask_to_network(mask.view());
        let (x, y) = frame.point_to_network(50.0, 70.0);
        assert!(there[(y.round() as usize, x.round() as usize)]);
    }

    #[test]
    fn anisotropic_pixels_become_isotropic() {
        // 100 rows of 3 mm and 200 columns of 1 mm: 300 mm high, 200 mm wide.
        assert_eq!(whole([100, 200], [3.0, 1.0], 512).valid(), [512, 341]);
        assert_eq!(whole([512, 512], [0.8, 0.8], 512).valid(), [512, 512]);
        assert_eq!(whole([1, 1000], [0.1, 1.0], 64).valid(), [1, 64]);
    }

    #[test]
    fn a_thin_mask_never_becomes_empty() {
        let mut mask = Array2::from_elem((900, 900), false);
        mask[(450, 450)] = true;
        let there = whole([900, 900], [1.0, 1.0], 64).mask_to_network(mask.view());
        assert!(there.iter().any(|&inside| inside));
        mask[(450, 450)] = false;
        assert!(!whole([900, 900], [1.0, 1.0], 64).mask_to_network(mask.view()).iter().any(|&inside| inside));
    }

    fn dice(a: &Array2<bool>, b: &Array2<bool>) -> f64 {
        let both = a.iter().zip(b).filter(|(&x, &y)| x && y).count();
        2.0 * both as f64 / (a.iter().filter(|&&x| x).count() + b.iter().filter(|&&x| x).count()) as f64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_disc_comes_back_from_the_square(
            rows in 40usize..150, columns in 40usize..150, row_mm in 0.5f64..2.0, column_mm in 0.5f64..2.0
        ) {
            let frame = whole([rows, columns], [row_mm, column_mm], 128);
            let radius = rows.min(columns) as f64 * 0.3;
            let mask = Array2::from_shape_fn((rows, columns), |(r, c)| {
                (r as f64 - rows as f64 * 0.45).hypot(c as f64 - columns as f64 * 0.55) < radius
            });
            let there = frame.mask_to_network(mask.view());
            let mut square = Array2::from_elem((128, 128), -10f32);
            let [h, w] = frame.valid();
            square.slice_mut(ndarray::s![..h, ..w]).assign(&there.mapv(|inside| if inside { 10. } else { -10. }));
            let back = frame.logits_to_roi(square.view()).mapv(|logit| logit > 0.0);
            prop_assert!(dice(&mask, &back) > 0.93, "{}", dice(&mask, &back));
        }

        #[test]
        fn points_keep_their_relative_place(
            rows in 1usize..600, columns in 1usize..600, r in 0.0f64..1.0, c in 0.0f64..1.0
        ) {
            let frame = whole([rows, columns], [1.3, 0.7], 256);
            let [h, w] = frame.valid();
            let (x, y) = frame.point_to_network(r * rows as f64 - 0.5, c * columns as f64 - 0.5);
            prop_assert!(((x + 0.5) / w as f64 - c).abs() < 1e-9 && ((y + 0.5) / h as f64 - r).abs() < 1e-9);
        }
    }
}
