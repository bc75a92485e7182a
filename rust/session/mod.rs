//! Volume, model, prompts and memory banks come together.
//!
//! In: a scan, a model, prompts. Out: a mask per object and slice, reported as it is made, and a label map.

mod allocator;
mod assemble;
mod cuda;
mod device;
mod displacements;
mod embeddings;
mod guard;
mod intensity_model;
mod known;
mod leg;
mod load;
mod mask;
mod precompute;
mod propagate;
mod run;
mod tensors;
mod trace;
mod walk;

pub use allocator::keep_freed_memory;
pub use assemble::Assembly;
pub use device::{choose_device, choose_precision, devices, set_threads, DeviceChoice, PrecisionChoice};
pub use embeddings::{EmbeddingCache, View};
pub use guard::{guarded, ModelDefaults, SharedModel};
pub use load::{default_model, load, Loaded};
pub use mask::CroppedMask;
pub use propagate::{Direction, Outcome, PropagateOptions, Trace};
pub use run::{Best, Guide, Hint, Prompted, Run, Step};
pub use trace::{CandidateTrace, Flow, Progress, SliceReport, SliceSink, SliceTrace};

use crate::error::Result;
use crate::geometry::{Axis, Geometry, SliceIndex};
use crate::memory::FieldOfView;
use crate::model::ImageEmbedding;
use crate::prompt::Prompts;
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::region::{Plane, Region};
use crate::slices::resize::{resize, Frame};
use crate::slices::{self, Scan};
use displacements::Displacements;
use known::Known;
use ndarray::Array2;
use std::time::Instant;
use tch::Tensor;

/// A scan seen along one axis through a model, with prompts, and with what was found from them.
#[derive(Debug)]
pub struct Session {
    model: SharedModel,
    scan: Box<dyn Scan>,
    window: Window,
    /// The whole scan's.
    range: IntensityRange,
    plane: Plane,
    side: i64,
    mask_stride: i64,
    cache: EmbeddingCache,
    displacements: Displacements,
    prompts: Prompts,
    known: Known,
}

impl Session {
    /// `cache_bytes` bounds the embeddings that are kept.
    pub fn new(
        model: SharedModel,
        scan: impl Scan + 'static,
        axis: Axis,
        window: Window,
        cache_bytes: usize,
    ) -> Result<Self> {
        let (side, mask_stride) =
            model.compute(|network| (network.config().image_size, network.config().mask_stride()))?;
        let geometry = scan.geometry();
        Ok(Self {
            range: window.resolve(&scan),
            plane: slices::plane(geometry, axis),
            prompts: Prompts::new(geometry.dims, axis),
            scan: Box::new(scan),
            model,
            window,
            side,
            mask_stride,
            cache: EmbeddingCache::new(cache_bytes),
            displacements: Displacements::default(),
            known: Known::default(),
        })
    }

    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// For adding and removing; the next propagation computes anew what the change can change.
    pub fn prompts_mut(&mut self) -> &mut Prompts {
        &mut self.prompts
    }

    pub fn geometry(&self) -> &Geometry {
        self.scan.geometry()
    }

    pub fn cache(&self) -> &EmbeddingCache {
        &self.cache
    }

    pub fn axis(&self) -> Axis {
        self.prompts.axis()
    }

    /// Rows and columns of a slice.
    pub fn slice_size(&self) -> [usize; 2] {
        self.plane.size
    }

    /// Sees the scan along another axis. Prompts and everything found from them are dropped, since they belong to slices of the old one.
    pub fn set_axis(&mut self, axis: Axis) {
        self.plane = slices::plane(self.scan.geometry(), axis);
        self.prompts = Prompts::new(self.scan.geometry().dims, axis);
        self.forget();
        self.cache.clear();
    }

    /// Shows the scan in other intensities. Prompts stay; what was found from them is dropped.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
        self.range = window.resolve(&*self.scan);
        self.forget();
        self.cache.clear();
    }

    /// Another bound for the embeddings that are kept.
    pub fn set_cache_limit(&mut self, bytes: usize) {
        self.cache.set_limit(bytes);
    }

    /// Forgets what was found, so that the next propagation computes all of it. Prompts and embeddings stay.
    pub fn forget(&mut self) {
        self.known = Known::default();
        self.displacements = Displacements::default();
    }

    fn field_of_view(&self, wanted: Option<FieldOfView>) -> FieldOfView {
        wanted.unwrap_or(self.model.defaults().field_of_view)
    }

    fn frame(&self, region: Region) -> Frame {
        Frame::new(region, self.plane.spacing, self.side as usize)
    }

    /// The whole slice in the whole scan's intensities.
    fn whole_view(&self) -> View {
        View { region: self.plane.whole(), range: self.range }
    }

    /// A slice's embedding, and the milliseconds that it took; 0 where it was known.
    fn embedding(&mut self, slice: SliceIndex, view: View) -> Result<(ImageEmbedding, f64)> {
        let mut elapsed = 0.0;
        let frame = self.frame(view.region);
        let (scan, model, side) = (&*self.scan, &self.model, self.side);
        let axis = self.prompts.axis();
        let embedding = self.cache.get((slice, view), || {
            let begin = Instant::now();
            let pixels = shown(scan, axis, slice, view, &frame);
            let embedding = model.compute(|network| network.encode_image(&tensors::image(&pixels, side)));
            elapsed = begin.elapsed().as_secs_f64() * 1e3;
            embedding
        })?;
        Ok((embedding, elapsed))
    }

    /// Where each pixel of a slice was on the one before: [1, 2, m, m].
    fn displacement(&mut self, slice: SliceIndex, before: SliceIndex, view: View) -> Result<Tensor> {
        let frame = self.frame(view.region);
        let (scan, axis) = (&*self.scan, self.prompts.axis());
        let parts = self.displacements.get(slice, before, view, self.mask_stride as usize, |slice| {
            frame.padded(&shown(scan, axis, slice, view, &frame), 0.0)
        });
        let values: Vec<f32> = parts.iter().flatten().copied().collect();
        let m = self.side / self.mask_stride;
        self.model.compute(|network| Tensor::from_slice(&values).reshape([1, 2, m, m]).to_device(network.device()))
    }

    /// Logits [1, 1, S, S] of a frame -> mask on the slice's own pixels; `None` where it is empty.
    fn mask_on_slice(&self, logits: &Tensor, frame: &Frame) -> Result<Option<CroppedMask>> {
        let logits = self.model.compute(|_| tensors::array(logits))?;
        let inside = frame.logits_to_region(logits.view()).mapv(|logit| logit > 0.0);
        Ok(CroppedMask::placed(inside.view(), frame.region().first))
    }
}

/// A slice as a view shows it: the valid part of the network's square, 0..1.
fn shown(scan: &dyn Scan, axis: Axis, slice: SliceIndex, view: View, frame: &Frame) -> Array2<f32> {
    let slice = scan.slice(axis, slice);
    resize(frame.shown(slice.view()).mapv(|value| view.range.apply(value)).view(), frame.valid())
}
