//! What intensities alone say of a slice, beside the network. Beyond the paper (docs/method.md).

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::model::at_mask_resolution;
use crate::prompt::ObjectId;
use crate::session::run::at_full_resolution;
use crate::session::{shown, tensors, Session, View};
use crate::slices::intensity_model::IntensityModel;
use ndarray::s;
use tch::Tensor;

impl Session {
    /// What a start's mask looks like; `None` where it or its surroundings are not there.
    pub(super) fn learned(&self, object: ObjectId, slice: SliceIndex) -> Result<Option<IntensityModel>> {
        let start = &self.known.starts[&(object, slice)];
        let frame = self.frame(start.view.region);
        let pixels = shown(&*self.scan, self.axis(), slice, start.view, &frame);
        let logits = &start.prompted.decoded.logits;
        let logits = self.model.compute(|network| tensors::array(&at_full_resolution(network, logits)))?;
        let [rows, columns] = frame.valid();
        let mask = logits.slice(s![..rows, ..columns]).mapv(|logit| logit > 0.0);
        Ok(IntensityModel::learn(pixels.view(), mask.view()))
    }

    /// What intensities say of a slice: logarithms of likelihoods inside over around, times `weight`, [1, 1, m, m].
    pub(super) fn evidence(
        &self,
        learned: &IntensityModel,
        slice: SliceIndex,
        view: View,
        weight: f64,
    ) -> Result<Tensor> {
        let frame = self.frame(view.region);
        let pixels = shown(&*self.scan, self.axis(), slice, view, &frame);
        let ratio = tensors::plane(&frame.padded(&learned.log_likelihood_ratio(pixels.view()), 0.0));
        self.model.compute(|network| at_mask_resolution(&ratio.to_device(network.device()), self.mask_stride) * weight)
    }
}
