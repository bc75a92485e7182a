//! Model files, loaded for computing.

use crate::error::{Error, Result};
use crate::model::{checkpoint, Precision, Sam2};
use crate::session::{self, DeviceChoice, PrecisionChoice, SharedModel};
use crate::tracking::ModelDefaults;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Device;

/// A model, and what was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// Ready for sessions.
    pub model: SharedModel,
    /// The network's name.
    pub network: String,
    /// Side of the network's square, in pixels.
    pub image_size: i64,
    /// Number of weights.
    pub parameters: u64,
    /// Where it computes.
    pub device: Device,
    /// How precisely it computes.
    pub precision: Precision,
    /// What the file says of itself.
    pub metadata: BTreeMap<String, String>,
}

impl Loaded {
    /// As [`DeviceChoice`] names it.
    pub fn device_name(&self) -> String {
        match self.device {
            Device::Cuda(n) => format!("cuda:{n}"),
            _ => "cpu".to_string(),
        }
    }

    /// As [`PrecisionChoice`] names it.
    pub fn precision_name(&self) -> &'static str {
        match self.precision {
            Precision::Fp32 => "fp32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// Where the default model lies below an installation's or the repository's root.
const DEFAULT: [&str; 3] =
    ["share/promem/promem-compact.safetensors", "models/promem-compact.safetensors", "promem-compact.safetensors"];

/// The model that is used where none is named: `PROMEM_MODEL`, else the one of the installation that `file`, a program or a library, lies in.
///
/// # Errors
/// `InvalidInput` where there is none.
pub fn default_model(file: &Path) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PROMEM_MODEL") {
        return Ok(path.into());
    }
    // bin/promem or lib/libpromem.so of an installation, target/release/promem of the repository.
    (file.ancestors().skip(1).take(4))
        .flat_map(|root| DEFAULT.map(|file| root.join(file)))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::invalid(format!(
                "no model: the default `promem-compact.safetensors` is not beside `{}`; expected a model file (a SAM 2, SAM 2.1 or MedSAM2 \
                 .pt, or a .safetensors) or PROMEM_MODEL",
                file.display()
            ))
        })
}

/// Loads a model file. `image_size`: another than the file's own.
///
/// # Errors
/// As [`checkpoint::read`] and [`session::choose_device`]; `Checkpoint` where the weights do not fit.
pub fn load(path: &Path, image_size: Option<i64>, device: DeviceChoice, precision: PrecisionChoice) -> Result<Loaded> {
    let device = session::choose_device(device)?;
    let precision = session::choose_precision(precision, device);
    let file = checkpoint::read(path)?;
    let config = match image_size {
        Some(size) => file.config.with_image_size(size)?,
        None => file.config,
    };
    log::info!("{} at {} px on {device:?} in {precision:?}", config.name, config.image_size);
    // What our own files say of their training; others were trained as published.
    let defaults = ModelDefaults::of(&file.metadata).map_err(|e| e.context(format!("model `{}`", path.display())))?;
    let parameters = file.state.parameters();
    let network = session::guarded(|| Sam2::load(&config, file.state, device, precision))?
        .map_err(|e| e.context(format!("model `{}`", path.display())))?;
    Ok(Loaded {
        model: SharedModel::new(network).with_defaults(defaults),
        network: config.name.to_string(),
        image_size: config.image_size,
        parameters,
        device,
        precision,
        metadata: file.metadata,
    })
}
