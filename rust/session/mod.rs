//! Volume, model, prompts and memory banks come together.
//!
//! In: a volume, a model, prompts. Out: a mask per object and slice, reported as it is made, and a label map.

mod allocator;
mod assemble;
mod cuda;
mod device;
mod displacements;
mod embeddings;
mod guard;
mod propagate;
mod run;
mod tensors;
mod trace;

pub use allocator::keep_freed_memory;
pub use assemble::{Assembly, CroppedMask};
pub use device::{choose_device, choose_precision, set_threads, DeviceChoice, PrecisionChoice};
pub use embeddings::{EmbeddingCache, View};
pub use guard::{guarded, SharedModel, Trained};
pub use propagate::{Direction, Outcome, PropagateOptions, Session, Trace};
pub use run::{Best, Hint, Prompted, Run, Step};
pub use trace::{CandidateTrace, Flow, Progress, SliceReport, SliceSink, SliceTrace};
