//! Files that hold a network's weights.
//!
//! In: a path. Out: a [`Checkpoint`]: configuration and weights, or one line that says what the file is instead.
//! Knows nothing of the network's code; [`super::weights::load_strict`] compares the weights with it.
//!
//! Weights files come from the internet. Reading one never executes anything, and takes no more memory than a small
//! multiple of the file's size.

mod archive;
mod layout;
mod pickle;
mod pt;
mod recognise;
mod safetensors;

pub use layout::WeightLayout;
pub use recognise::recognise;
pub use safetensors::{write_safetensors, CONFIG, FORMAT};

use super::config::Config;
use super::weights::StateDict;
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Enough to know a file by; a NIfTI header's magic ends at 348.
const SNIFFED: u64 = 512;
/// The first object in a PyTorch file of before release 1.6: the number 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// A network's weights with what is needed to build it.
#[derive(Debug)]
pub struct Checkpoint {
    /// What to build.
    pub config: Config,
    /// What to fill it with.
    pub state: StateDict,
    /// Where the file held the weights.
    pub layout: WeightLayout,
    /// What the file says of itself. Of a `.pt`: `not_read`, the names of what lay beside the weights.
    pub metadata: BTreeMap<String, String>,
}

/// Reads a `.pt` or `.safetensors` file, told apart by content.
///
/// The configuration is that of the file's metadata, or recognised from names and shapes.
///
/// # Errors
/// One line that names the file: it cannot be read, is something else, breaks off, holds something besides tensors, or
/// fits no known network. That every weight is there and no other is for [`super::weights::load_strict`] to say.
pub fn read(path: &Path) -> Result<Checkpoint> {
    read_unnamed(path).map_err(|e| e.context(format_args!("`{}`", path.display())))
}

fn read_unnamed(path: &Path) -> Result<Checkpoint> {
    let disk = |source| Error::io("cannot read", source);
    // Asked before opening: opening a pipe waits for its other end.
    let about = path.metadata().map_err(disk)?;
    if !about.is_file() {
        let found = if about.is_dir() { "a directory" } else { "not a regular file" };
        return Err(Error::invalid(format!("{found}, expected a weights file")));
    }
    let mut file = File::open(path).map_err(disk)?;
    let length = file.metadata().map_err(disk)?.len();
    let mut start = Vec::new();
    file.by_ref().take(SNIFFED).read_to_end(&mut start).map_err(disk)?;
    match Content::of(&start, length) {
        Content::Zip => {
            let found = pt::read(file, length)?;
            let mut metadata = BTreeMap::new();
            if !found.passed_over.is_empty() {
                metadata.insert("not_read".to_owned(), found.passed_over.join(", "));
            }
            let config = recognise(&found.state.shapes())?;
            Ok(Checkpoint { config, state: found.state, layout: found.layout, metadata })
        }
        Content::Safetensors => {
            let found = safetensors::read(file, length)?;
            let shapes = found.state.shapes();
            let config = match found.config {
                Some(config) => recognise::check(&config, &shapes).map(|()| config)?,
                None => recognise(&shapes)?,
            };
            Ok(Checkpoint { config, state: found.state, layout: WeightLayout::Safetensors, metadata: found.metadata })
        }
        Content::Other(what) => Err(Error::new(
            ErrorKind::Format,
            format!("{what}, expected a weights file (PyTorch `.pt` or `.safetensors`)"),
        )),
    }
}

enum Content {
    Zip,
    Safetensors,
    Other(&'static str),
}

impl Content {
    fn of(start: &[u8], length: u64) -> Self {
        let image = start.get(344..348).is_some_and(|magic| matches!(magic, b"n+1\0" | b"ni1\0"));
        let header_size = start.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        // The whole header need not be there: then the file breaks off, which the reader says.
        let header = header_size.is_some_and(|n| n <= length || n <= safetensors::HEADER_LIMIT);
        let is_legacy = start.windows(LEGACY_MAGIC.len()).take(16).any(|window| window == LEGACY_MAGIC);
        match start {
            [] => Self::Other("an empty file"),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            _ if header && start.get(8) == Some(&b'{') => Self::Safetensors,
            _ if is_legacy => {
                Self::Other("a PyTorch file of before release 1.6 (load it and save it with a newer one)")
            }
            [0x80, 2..=5, ..] => Self::Other("a bare Python pickle"),
            [0x1f, 0x8b, ..] => Self::Other("a gzip file, such as a `.nii.gz` image"),
            _ if start.starts_with(b"NRRD000") => Self::Other("an NRRD image"),
            _ if image => Self::Other("a NIfTI image"),
            _ if start.get(128..132) == Some(b"DICM") => Self::Other("a DICOM image"),
            _ if start.starts_with(b"version https://git-lfs") => {
                Self::Other("a Git LFS pointer instead of the file (`git lfs pull` fetches it)")
            }
            _ if std::str::from_utf8(start).is_ok() => Self::Other("a text file"),
            _ => Self::Other("an unknown kind of file"),
        }
    }
}

/// What a checkpoint is, for people; [`fmt::Display`] gives one fact a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Where the file holds the weights.
    pub layout: WeightLayout,
    /// [`Config::name`]
    pub name: String,
    /// `2.0` or `2.1`.
    pub version: &'static str,
    /// Side of the square the network sees, in pixels.
    pub image_size: i64,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values in all tensors together.
    pub parameters: u64,
    /// `{"f32": 471}`
    pub number_formats: BTreeMap<&'static str, usize>,
    /// [`Checkpoint::metadata`]
    pub metadata: BTreeMap<String, String>,
}

/// Sums up a checkpoint.
pub fn describe(checkpoint: &Checkpoint) -> Description {
    Description {
        layout: checkpoint.layout,
        name: checkpoint.config.name.clone(),
        version: recognise::generation(checkpoint.config.version),
        image_size: checkpoint.config.image_size,
        tensors: checkpoint.state.len(),
        parameters: checkpoint.state.parameters(),
        number_formats: checkpoint.state.number_formats(),
        metadata: checkpoint.metadata.clone(),
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let formats: Vec<String> = self.number_formats.iter().map(|(name, n)| format!("{name} ({n})")).collect();
        writeln!(f, "layout: {}", self.layout)?;
        writeln!(f, "configuration: {} (SAM {})", self.name, self.version)?;
        writeln!(f, "image size: {} pixels", self.image_size)?;
        writeln!(f, "tensors: {}", self.tensors)?;
        writeln!(f, "parameters: {}", self.parameters)?;
        write!(f, "number formats: {}", formats.join(", "))?;
        for (key, value) in &self.metadata {
            // A file's own words stay on their line and cannot steer a terminal.
            write!(f, "\n{}: {}", key.escape_debug(), value.escape_debug())?;
        }
        Ok(())
    }
}
