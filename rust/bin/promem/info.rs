//! `promem info` and `promem convert`.

use crate::args::{Convert, Output};
use promem::model::checkpoint;
use promem::tracking::ModelDefaults;
use promem::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// Prints what a model file is.
pub fn info(path: &Path, print: Output) -> Result<()> {
    let file = checkpoint::read(path)?;
    let description = checkpoint::describe(&file);
    match print {
        Output::Json => println!("{}", serde_json::to_value(&description).unwrap_or_default()),
        Output::Human | Output::Quiet => println!("{description}"),
    }
    Ok(())
}

/// Reads any model file, writes ours.
pub fn convert(arguments: &Convert, print: Output) -> Result<()> {
    promem::output::check(&arguments.output, arguments.overwrite)?;
    let file = checkpoint::read(&arguments.input)?;
    let config = match arguments.image_size {
        Some(size) => file.config.with_image_size(size)?,
        None => file.config,
    };
    let mut about: BTreeMap<String, String> = file.metadata;
    about.remove(checkpoint::FORMAT); // the writer states its own
    about.entry("promem.made_by".into()).or_insert_with(|| {
        let name = arguments.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("promem convert from {name}")
    });
    if let Some(licence) = &arguments.licence {
        about.insert("promem.licence".into(), licence.clone());
    }
    for (key, number) in [
        ("promem.presence_threshold", arguments.presence_threshold),
        ("promem.intensity_weight", arguments.intensity_weight),
    ] {
        if let Some(number) = number {
            about.insert(key.into(), number.to_string());
        }
    }
    ModelDefaults::of(&about)?;
    checkpoint::write_safetensors(&arguments.output, &config, &file.state, &about, arguments.overwrite)?;
    match print {
        Output::Quiet => {}
        Output::Json => println!("{}", serde_json::json!({ "output": arguments.output, "network": config.name })),
        Output::Human => println!("wrote {} ({})", arguments.output.display(), config.name),
    }
    Ok(())
}
