//! Model files, loaded for computing.

use promem::memory::Prior;
use promem::model::{checkpoint, Sam2};
use promem::session::{self, DeviceChoice, PrecisionChoice, SharedModel};
use promem::Result;
use std::path::Path;

/// What was loaded, in words: network, image size, device, precision.
pub struct Loaded {
    pub network: String,
    pub image_size: i64,
    pub computing: String,
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
    let prior = file.metadata.get("promem.prior").map_or(Ok(Prior::None), |name| name.parse())?;
    let network = session::guarded(|| Sam2::load(&config, file.state, device, precision))?
        .map_err(|e| e.context(format!("model `{}`", path.display())))?;
    let loaded = Loaded {
        network: config.name.to_string(),
        image_size: config.image_size,
        computing: format!("{device:?}, {precision:?}"),
    };
    Ok((SharedModel::new(network).with_prior(prior), loaded))
}
