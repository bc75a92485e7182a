//! Model files, loaded for computing.

use promem::model::{checkpoint, Sam2};
use promem::session::{self, DeviceChoice, PrecisionChoice, SharedModel, Trained};
use promem::{Error, Result};
use std::path::{Path, PathBuf};

/// What was loaded, in words: network, image size, device, precision.
pub struct Loaded {
    pub network: String,
    pub image_size: i64,
    pub computing: String,
}

/// Where the default model lies below an installation's or the repository's root.
const DEFAULT: [&str; 2] = ["share/promem/promem-compact.safetensors", "models/promem-compact.safetensors"];

/// The model that is used where none is named: `PROMEM_MODEL`, else the one beside the program.
pub fn default_path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PROMEM_MODEL") {
        return Ok(path.into());
    }
    let program = std::env::current_exe().map_err(|e| Error::io("cannot tell where the program lies", e))?;
    // bin/promem of an installation, target/release/promem of the repository.
    (program.ancestors().skip(1).take(4))
        .flat_map(|root| DEFAULT.map(|file| root.join(file)))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::invalid(
                "no model: the default `promem-compact.safetensors` is not beside the program; expected --model FILE (a SAM 2, SAM 2.1 \
                 or MedSAM2 .pt, or a .safetensors) or PROMEM_MODEL",
            )
        })
}

pub fn load(
    path: &Path,
    image_size: Option<i64>,
    device: DeviceChoice,
    precision: PrecisionChoice,
) -> Result<(SharedModel, Loaded)> {
    let device = session::choose_device(device)?;
    let precision = session::choose_precision(precision, device);
    let file = checkpoint::read(path)?;
    let config = match image_size {
        Some(size) => file.config.with_image_size(size)?,
        None => file.config,
    };
    log::info!("{} at {} px on {device:?} in {precision:?}", config.name, config.image_size);
    // What our own files say of their training; others were trained as published.
    let trained = Trained::of(&file.metadata).map_err(|e| e.context(format!("model `{}`", path.display())))?;
    let network = session::guarded(|| Sam2::load(&config, file.state, device, precision))?
        .map_err(|e| e.context(format!("model `{}`", path.display())))?;
    let loaded = Loaded {
        network: config.name.to_string(),
        image_size: config.image_size,
        computing: format!("{device:?}, {precision:?}"),
    };
    Ok((SharedModel::new(network).trained_for(trained), loaded))
}
