//! The network: tensors in, tensors out.
//!
//! In: normalised images, prompts in network pixels, memories. Out: mask logits, scores, memories. Knows nothing of
//! volumes, files of scans, slices or users. Fields, path segments and file names mirror the checkpoint's keys, so a
//! key is a path to its field: `memory_attention.layers.0.linear1.weight` is in `memory_attention.rs`.
//!
//! Ported from `sam2==1.1.0` (Apache-2.0, see NOTICE); golden tests compare every module with it.
//!
//! A network that is loaded is frozen ([`Sam2`]): weights lie as they are read, and computing changes no state. Where
//! the CPU kernels of `cpu` are faster than libtorch, linear layers and attention call them; nothing else knows of
//! them.

#![warn(missing_docs)]

mod activation;
mod attended;
mod attention;
pub mod checkpoint;
pub mod config;
#[cfg(all(unix, target_arch = "x86_64"))]
pub(crate) mod cpu;
#[cfg(not(all(unix, target_arch = "x86_64")))]
#[path = "cpu/fallback.rs"]
pub(crate) mod cpu;
pub mod image_encoder;
mod intensity;
mod layers;
mod linear;
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
pub use intensity::at_mask_resolution;
pub use layers::average_pool;
pub use mask_decoder::DenseInputs;
pub use outputs::{ImageEmbedding, MaskChoice, Memory, MemoryId, Presence};
pub use sam2::{Precision, Sam2};
