//! The memory bank and the search over it.
//!
//! `search` decides which memories a slice attends to and which candidates go on, as pure functions over slice numbers;
//! `bank` holds the memories themselves and keeps them bounded. Knows nothing of files or volumes.

pub mod bank;
pub mod search;

pub use bank::{Bank, Entry};
pub use search::{FieldOfView, MaskPrior, Pointers, PromptMemory, SearchOptions, EVEN, MAX_INTENSITY_WEIGHT};
