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

/// The model that is used where none is named: `PROMEM_MODEL` if it is not empty, else the one of the installation that
/// `file`, a program or a library, lies in.
///
/// # Errors
/// `InvalidInput` where there is none; the message names every place that was looked at.
pub fn default_model(file: &Path) -> Result<PathBuf> {
    let named = std::env::var_os("PROMEM_MODEL").filter(|path| !path.is_empty());
    named.map_or_else(|| installed_model(file), |path| Ok(path.into()))
}

fn installed_model(file: &Path) -> Result<PathBuf> {
    // bin/promem or lib/libpromem.so of an installation, target/release/promem of the repository.
    let places: Vec<PathBuf> =
        file.ancestors().skip(1).take(4).flat_map(|root| DEFAULT.map(|file| root.join(file))).collect();
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let places: Vec<String> = places.iter().map(|path| format!("`{}`", path.display())).collect();
        Error::invalid(format!(
            "no model: PROMEM_MODEL is not set, and the default model is not there: found no file {}; expected a model file (a SAM 2, SAM 2.1 \
             or MedSAM2 .pt, or a .safetensors); name one, or set PROMEM_MODEL to it",
            places.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_default_model_names_every_place_that_was_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let message = installed_model(&folder.path().join("lib/libpromem.so")).unwrap_err().to_string();
        for root in [folder.path().join("lib"), folder.path().to_path_buf()] {
            for file in DEFAULT {
                assert!(message.contains(&format!("`{}`", root.join(file).display())), "{message}");
            }
        }
        let model = folder.path().join(DEFAULT[0]);
        std::fs::create_dir_all(model.parent().unwrap()).unwrap();
        std::fs::write(&model, "").unwrap();
        assert_eq!(installed_model(&folder.path().join("lib/libpromem.so")).unwrap(), model);
    }
}
