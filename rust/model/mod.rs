//! The network: tensors in, tensors out.
//!
//! In: normalised images, prompts in network pixels, memories. Out: mask logits, scores, memories. Knows nothing of
//! volumes, files of scans, slices or users. Fields, path segments and file names mirror the checkpoint's keys, so a key
//! can be followed like a path: `memory_attention.layers.0.linear1.weight` is in `memory_attention.rs`.
//!
//! Ported from `sam2==1.1.0` (Apache-2.0, see NOTICE); golden tests hold every module to it.

mod attended;
mod attention;
pub mod checkpoint;
pub mod config;
#[cfg(all(unix, target_arch = "x86_64"))]
pub(crate) mod cpu;
#[cfg(not(all(unix, target_arch = "x86_64")))]
#[path = "cpu/elsewhere.rs"]
pub(crate) mod cpu;
mod evidence;
pub mod image_encoder;
mod layers;
pub mod mask_decoder;
pub mod memory_attention;
pub mod memory_encoder;
mod memory_tokens;
mod outputs;
pub mod position;
pub mod prompt_encoder;
mod refinement;
mod rotary;
mod sam2;
mod two_way;
pub mod weights;

pub use attended::{Attended, Attending};
pub use config::Config;
pub use evidence::at_mask_resolution;
pub use layers::average_pool;
pub use mask_decoder::DenseInputs;
pub use outputs::{ImageEmbedding, MaskChoice, Memory, Presence};
pub use sam2::{Precision, Sam2};
