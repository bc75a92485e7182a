//! The C interface: check pointers, translate, call, translate back.
//!
//! The documentation of what is public here is the manual of `include/promem.h`, which `make header` writes and a test
//! compares. No panic leaves it. Nothing here decides; that is `session`'s.

#![allow(non_camel_case_types)]
#![deny(missing_docs)]

mod arguments;
mod engine;
mod handles;
mod job;
mod late;
mod library;
mod memory;
mod model;
mod options;
mod process;
mod progress;
mod prompt_history;
mod prompt_record;
mod prompts;
mod propagate;
mod result_store;
mod results;
mod session;
mod status;
mod volume;

pub use job::*;
pub use library::*;
pub use model::*;
pub use options::*;
pub use progress::*;
pub use prompt_history::*;
pub use prompt_record::*;
pub use prompts::*;
pub use propagate::*;
pub use results::*;
pub use session::*;
pub use status::*;
pub use volume::*;
