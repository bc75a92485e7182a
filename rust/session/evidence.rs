//! What intensities alone say of a slice, beside the network. Beyond the paper (docs/method.md).

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::model::at_mask_resolution;
use crate::prompt::ObjectId;
use crate::session::run::at_full_resolution;
use crate::session::{shown, tensors, Session, View};
use crate::slices::appearance::Appearance;
use ndarray::s;
use tch::{Kind, Tensor};

/// A run ends where the mask of the slice before, moved to the next, covers what looks like the object on a smaller share of the prompt's.
const LEAST_ALIKE: f64 = 0.5;

/// What an object looks like on its prompted slice.
#[derive(Debug)]
pub struct Learned {
    appearance: Appearance,
    /// Share of the mask that looks like the object rather than like its surroundings.
    alike: f64,
}

/// What intensities say of a slice.
#[derive(Debug)]
pub struct Evidence {
    /// The logarithm of the likelihoods, inside over around, a little smoothed: [1, 1, m, m].
    pub logits: Tensor,
    /// `alike` of the prompted slice.
    typical: f64,
}

impl Evidence {
    /// Whether the place where a mask is expected, logits [1, 1, m, m], does not look like the object any more.
    pub fn speaks_against(&self, expected: &Tensor) -> bool {
        alike(&self.logits, expected).is_some_and(|share| share < LEAST_ALIKE * self.typical)
    }
}

impl Session {
    /// What a start's mask looks like; `None` where it or its surroundings are not there.
    pub(super) fn learned(&self, object: ObjectId, slice: SliceIndex) -> Result<Option<Learned>> {
        let start = &self.known.starts[&(object, slice)];
        let frame = self.frame(start.view.region);
        let pixels = shown(&*self.scan, self.axis(), slice, start.view, &frame);
        let logits = &start.prompted.decoded.logits;
        let logits = self.model.compute(|network| tensors::array(&at_full_resolution(network, logits)))?;
        let [rows, columns] = frame.valid();
        let mask = logits.slice(s![..rows, ..columns]).mapv(|logit| logit > 0.0);
        let Some(appearance) = Appearance::learn(pixels.view(), mask.view()) else { return Ok(None) };
        let evidence = self.likelihoods(&appearance, slice, start.view)?;
        let alike = self.model.compute(|_| alike(&evidence, &start.prompted.logits))?;
        Ok(alike.map(|alike| Learned { appearance, alike }))
    }

    /// What intensities say of a slice.
    pub(super) fn evidence(&self, learned: &Learned, slice: SliceIndex, view: View) -> Result<Evidence> {
        Ok(Evidence { logits: self.likelihoods(&learned.appearance, slice, view)?, typical: learned.alike })
    }

    fn likelihoods(&self, appearance: &Appearance, slice: SliceIndex, view: View) -> Result<Tensor> {
        let frame = self.frame(view.region);
        let pixels = shown(&*self.scan, self.axis(), slice, view, &frame);
        let ratio = tensors::plane(&frame.padded(&appearance.log_ratio(pixels.view()), 0.0));
        self.model.compute(|network| at_mask_resolution(&ratio.to_device(network.device()), self.mask_stride))
    }
}

/// Share of a mask, logits [1, 1, m, m], on which the evidence is positive; `None` of an empty one.
fn alike(evidence: &Tensor, mask: &Tensor) -> Option<f64> {
    let inside = evidence.masked_select(&mask.ge(0.0));
    (inside.numel() > 0).then(|| inside.gt(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_place_that_looks_like_the_surroundings_on_most_of_it_speaks_against_the_object() {
        let columns = Tensor::arange(8, (Kind::Float, Device::Cpu)).reshape([1, 1, 1, 8]).expand([1, 1, 4, 8], false);
        // What looks like the object is the left half.
        let evidence = Evidence { logits: 3.5 - &columns, typical: 0.8 };
        let expected_from = |first: f64| (&columns - first + 0.5) * 4.0;
        assert!(!evidence.speaks_against(&expected_from(0.0)), "half of it does, of a typical 0.8");
        assert!(!evidence.speaks_against(&expected_from(1.0)), "3 of 7");
        assert!(evidence.speaks_against(&expected_from(2.0)), "2 of 6");
        assert!(!evidence.speaks_against(&(&columns * 0.0 - 1.0)), "where nothing is expected nothing can be said");
    }
}
