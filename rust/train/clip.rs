//! A clip: slices of a square frame in walking order, and one object's masks on them. The first slice carries the
//! prompt.

use crate::error::Result;
use crate::slices::intensity_model::IntensityModel;
use crate::slices::registration;
use crate::train::config::Framing;
use ndarray::{Array3, Array4, ArrayView2, Axis};

/// How clips are cut.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipOptions {
    /// Slices.
    pub length: usize,
    /// Side of the square, in pixels.
    pub side: usize,
    /// Keep one coherent piece where the object is discontinuous.
    pub stochastic_propagation: bool,
    /// Prepare the displacements that the registered mask prior warps by, for masks of so many pixels per cell.
    pub displacement_stride: Option<usize>,
    /// Prepare what intensities say of each slice, as the prompt slice teaches it.
    pub intensity_model: bool,
    /// Which part of a slice is shown.
    pub framing: Framing,
}

/// Slices [T, S, S] of grey 0..1 and masks [T, S, S].
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Grey values, 0..1.
    pub images: Array3<f32>,
    /// The object's masks.
    pub masks: Array3<bool>,
    /// Where each cell of a mask of side m was on the slice before, in cells: [T, 2, m, m]; the first is zero.
    pub displacements: Option<Array4<f32>>,
    /// What intensities say: logarithms of likelihood ratios, [T, S, S].
    pub log_likelihood_ratio: Option<Array3<f32>>,
}

impl Clip {
    /// As `options` want it; the length and side are those of `images`.
    pub fn new(images: Array3<f32>, masks: Array3<bool>, options: &ClipOptions) -> Self {
        let displacements = options.displacement_stride.map(|stride| displacements(&images, stride));
        let log_likelihood_ratio =
            options.intensity_model.then(|| log_likelihood_ratios(&images, masks.index_axis(Axis(0), 0)));
        Self { images, masks, displacements, log_likelihood_ratio }
    }
}

/// What intensities say of each slice, [T, S, S], learned from a mask on the first; zero where there is nothing to
/// learn from.
pub fn log_likelihood_ratios(images: &Array3<f32>, mask: ArrayView2<bool>) -> Array3<f32> {
    let mut all = Array3::zeros(images.dim());
    if let Some(learned) = IntensityModel::learn(images.index_axis(Axis(0), 0), mask) {
        for (image, mut out) in images.outer_iter().zip(all.outer_iter_mut()) {
            out.assign(&learned.log_likelihood_ratio(image));
        }
    }
    all
}

fn displacements(images: &Array3<f32>, stride: usize) -> Array4<f32> {
    let (count, side, _) = images.dim();
    let halves: Vec<_> = images.outer_iter().map(|image| registration::halve(&image.to_owned())).collect();
    let mut all = Array4::zeros((count, 2, side / stride, side / stride));
    for t in 1..count {
        let parts = registration::mask_displacement(&halves[t], &halves[t - 1], stride);
        for (part, mut out) in parts.iter().zip(all.index_axis_mut(Axis(0), t).outer_iter_mut()) {
            out.assign(part);
        }
    }
    all
}

/// Where clips come from. A number gives one clip, whichever thread asks.
pub trait ClipSource: Send + Sync {
    /// An error means that this clip cannot be had; the run goes on with the next.
    fn clip(&self, number: u64, options: &ClipOptions) -> Result<Clip>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_learned_on_the_first_slice_alone() {
        // A bright disc that grows; on the last slice everything is as bright.
        let images = Array3::from_shape_fn((3, 48, 48), |(t, r, c)| {
            let inside = (r as f32 - 24.0).hypot(c as f32 - 24.0) < 8.0 + 2.0 * t as f32;
            if inside || t == 2 {
                0.7
            } else {
                0.3
            }
        });
        let masks = images.mapv(|value| value > 0.5);
        let options = ClipOptions {
            length: 3,
            side: 48,
            stochastic_propagation: false,
            displacement_stride: None,
            intensity_model: true,
            framing: Framing::Object,
        };
        let clip = Clip::new(images, masks, &options);
        let evidence = clip.log_likelihood_ratio.expect("it was asked for");
        assert!(
            evidence.indexed_iter().all(|(at, &value)| (value > 1.0) == clip.masks[at]),
            "both slices, and the last as a whole"
        );
    }

    #[test]
    fn a_first_slice_that_teaches_nothing_gives_evidence_that_says_nothing() {
        let images = Array3::from_elem((2, 16, 16), 0.5);
        let none = Array3::from_elem((2, 16, 16), false);
        assert_eq!(log_likelihood_ratios(&images, none.index_axis(Axis(0), 0)), Array3::<f32>::zeros((2, 16, 16)));
    }
}
