//! Scan, model, prompts and tracks come together.
//!
//! In: a scan, a model, prompts. Out: a mask per object and slice, reported as it is made, and a label map.

mod allocator;
mod collector;
mod cuda;
mod device;
mod displacements;
mod embedding_cache;
mod first_look;
mod guard;
mod initial;
mod load;
mod masks;
mod precompute;
mod prompted;
mod propagate;
mod reached;
mod request;
mod slice_input;
mod slice_state;
mod trace;
mod track;
mod track_cache;

pub use allocator::keep_freed_memory;
pub use collector::{PropagationResult, Trace};
pub use device::{choose_device, choose_precision, devices, set_threads, DeviceChoice, PrecisionChoice};
pub use embedding_cache::EmbeddingCache;
pub use guard::{guarded, SharedModel};
pub use load::{default_model, load, Loaded};
pub use masks::{CroppedMask, MaskSet};
pub use request::{Direction, PropagateOptions};
pub use trace::{Flow, Progress, SliceReport, SliceSink, SliceTrace};

use crate::error::{Error, Result};
use crate::geometry::{Axis, Geometry};
use crate::prompt::{ObjectId, Prompt, Prompts};
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::resize::NetworkFrame;
use crate::slices::{Scan, SliceView};
use crate::tracking::{tensors, FieldOfView};
use displacements::Displacements;
use masks::InitialMasks;
use request::PastRequest;
use slice_input::SliceInputs;
use tch::Tensor;
use track_cache::TrackCache;

/// A scan seen along one axis through a model, with prompts, and with what was found from them.
///
/// Weights come from [`load`]; here they are pseudo-random, and the result means nothing.
///
/// ```
/// use promem::geometry::{Axis, Dims, Geometry, IjkToRas, SliceIndex, SliceRange, Spacing};
/// use promem::model::config::{Config, Version};
/// use promem::model::{Precision, Sam2};
/// use promem::prompt::ObjectId;
/// use promem::session::{choose_device, DeviceChoice, Flow, PropagateOptions, Session, SharedModel, SliceReport};
/// use promem::slices::intensity::Window;
/// use promem::tracking::SearchOptions;
/// use promem::volume::{LabelMap, Volume};
/// use ndarray::{Array2, Array3};
///
/// let device = choose_device(DeviceChoice::Cpu)?;
/// let model = SharedModel::new(Sam2::pseudo_random(&Config::toy(Version::V2_1), device, Precision::Fp32));
///
/// // A bright cylinder in 6 slices of 32 rows and 40 columns.
/// let inside = |j: usize, i: usize| (j as f32 - 16.0).hypot(i as f32 - 20.0) < 8.0;
/// let geometry = Geometry { dims: Dims([40, 32, 6]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 3.0])) };
/// let voxels = Array3::from_shape_fn((6, 32, 40), |(_, j, i)| if inside(j, i) { 90.0 } else { 10.0 });
/// let scan = Volume::new(geometry, voxels)?;
/// let mut labels = LabelMap::empty_like(&scan);
///
/// let mut session = Session::new(model, scan, Axis::K, Window::Auto, 64 << 20)?;
/// let mask = Array2::from_shape_fn((32, 40), |(j, i)| inside(j, i));
/// session.prompts_mut().add_mask(ObjectId::new(1)?, SliceIndex(2), mask)?;
///
/// let search = SearchOptions { stop_when_absent: false, ..SearchOptions::promem() };
/// let range = SliceRange::new(SliceIndex(1), SliceIndex(3))?;
/// let options = PropagateOptions { range: Some(range), ..PropagateOptions::whole(search) };
/// let mut reported = Vec::new();
/// let result = session.propagate(&options, &mut |report: SliceReport| {
///     reported.push(report.slice.0);
///     Ok(Flow::Continue)
/// })?;
/// assert_eq!(reported, [2, 3, 1]); // the prompted slice, then up, then down
/// result.masks.write(session.axis(), labels.voxels_mut());
/// assert_eq!(labels.voxels()[[2, 16, 20]], 1);
/// # Ok::<(), promem::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    model: SharedModel,
    inputs: SliceInputs,
    window: Window,
    /// Intensities of the whole scan.
    range: IntensityRange,
    mask_stride: i64,
    displacements: Displacements,
    prompts: Prompts,
    /// Masks that exist from the start.
    initial: InitialMasks,
    /// Propagations that were asked for, oldest first.
    requests: Vec<PastRequest>,
    known: TrackCache,
}

impl Session {
    /// `cache_bytes` bounds the embeddings that are kept.
    ///
    /// # Errors
    /// `Compute` where the model cannot be used.
    pub fn new(
        model: SharedModel,
        scan: impl Scan + 'static,
        axis: Axis,
        window: Window,
        cache_bytes: usize,
    ) -> Result<Self> {
        let (side, mask_stride) =
            model.compute(|network| (network.config().image_size, network.config().mask_stride()))?;
        Ok(Self {
            range: window.resolve(&scan),
            prompts: Prompts::new(scan.geometry().dims, axis),
            inputs: SliceInputs::new(Box::new(scan), axis, side, cache_bytes),
            model,
            window,
            mask_stride,
            displacements: Displacements::default(),
            initial: InitialMasks::new(),
            requests: Vec::new(),
            known: TrackCache::default(),
        })
    }

    /// All prompts.
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// Adds a prompt, which refines the mask that its slices have.
    ///
    /// # Errors
    /// `InvalidInput` for what lies outside the volume, and where it only says where the object is not and none of its
    /// slices has a mask of the object.
    pub fn add_prompt(&mut self, object: ObjectId, prompt: &Prompt) -> Result<()> {
        let mut mapped = self.prompts.map(object, prompt)?;
        let slices = mapped.steps.len();
        let first = mapped.steps[0].0;
        let mut steps = Vec::new();
        for (slice, step) in mapped.steps {
            if step.is_positive() || self.has_mask(object, slice)? {
                steps.push((slice, step));
            }
        }
        mapped.steps = steps;
        if mapped.steps.is_empty() {
            let place =
                if slices == 1 { format!("slice {first}") } else { format!("slice {first} and {} more", slices - 1) };
            return Err(Error::invalid(format!(
                "object {object}, {place}: it says where the object is not, and there is no mask to take it from; \
                 expected a foreground point, a box or a mask before it"
            )));
        }
        self.prompts.push(object, mapped);
        Ok(())
    }

    /// For adding and removing; the next propagation computes anew what the change can change.
    pub fn prompts_mut(&mut self) -> &mut Prompts {
        &mut self.prompts
    }

    /// The scan's grid.
    pub fn geometry(&self) -> &Geometry {
        self.inputs.scan().geometry()
    }

    /// The embeddings that are kept.
    pub fn cache(&self) -> &EmbeddingCache {
        &self.inputs.cache
    }

    /// The axis across which the slices lie.
    pub fn axis(&self) -> Axis {
        self.inputs.axis()
    }

    /// Number of slices along the axis.
    pub fn slice_count(&self) -> usize {
        self.inputs.count()
    }

    /// Rows and columns of a slice.
    pub fn slice_size(&self) -> [usize; 2] {
        self.inputs.plane().size
    }

    /// Slices across another axis. Prompts and everything found from them are dropped, since they belong to slices of
    /// the old one.
    pub fn set_axis(&mut self, axis: Axis) {
        self.prompts = Prompts::new(self.geometry().dims, axis);
        self.initial.clear();
        self.inputs.set_axis(axis);
        self.reset_found();
    }

    /// Presents the scan in other intensities. Prompts stay; what was found from them is dropped.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
        self.range = window.resolve(self.inputs.scan());
        self.inputs.clear();
        self.forget();
    }

    /// Another bound for the embeddings that are kept.
    pub fn set_cache_limit(&mut self, bytes: usize) {
        self.inputs.cache.set_limit(bytes);
    }

    /// Forgets what was found, so that the next propagation computes all of it. Prompts, the masks that corrections began
    /// with, and embeddings stay.
    pub fn forget(&mut self) {
        self.known.forget();
        self.displacements = Displacements::default();
    }

    /// Takes back all prompts and known masks, and forgets what was found. Embeddings stay.
    pub fn reset(&mut self) {
        self.prompts.clear();
        self.initial.clear();
        self.reset_found();
    }

    fn reset_found(&mut self) {
        self.requests.clear();
        self.known = TrackCache::default();
        self.displacements = Displacements::default();
    }

    fn field_of_view(&self, wanted: Option<FieldOfView>) -> FieldOfView {
        wanted.unwrap_or(self.model.defaults().field_of_view)
    }

    /// The whole slice in the whole scan's intensities.
    fn whole_view(&self) -> SliceView {
        SliceView { roi: self.inputs.plane().whole(), range: self.range }
    }

    /// Logits [1, 1, S, S] of a frame -> mask on the slice's own pixels; `None` where it is empty.
    fn mask_on_slice(&self, logits: &Tensor, frame: &NetworkFrame) -> Result<Option<CroppedMask>> {
        let logits = self.model.compute(|_| tensors::array(logits))?;
        let inside = frame.logits_to_roi(logits.view()).mapv(|logit| logit > 0.0);
        Ok(CroppedMask::placed(inside.view(), frame.roi().first))
    }
}
