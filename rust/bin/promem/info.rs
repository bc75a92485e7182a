//! `promem info` and `promem convert`: model files.

use crate::args::{Convert, Info, Output};
use promem::model::checkpoint::{self, Description};
use promem::tracking::ModelDefaults;
use promem::Result;
use std::collections::BTreeMap;

/// Prints the description of a model file.
pub fn info(arguments: &Info, print: Output) -> Result<()> {
    let file = checkpoint::read(&arguments.file)?;
    let description = checkpoint::describe(&file);
    match print {
        Output::Json => println!("{}", serde_json::to_value(&description).unwrap_or_default()),
        Output::Human | Output::Quiet => print_description(&description),
    }
    Ok(())
}

fn print_description(d: &Description) {
    let formats: Vec<String> = d.number_formats.iter().map(|(name, n)| format!("{name} ({n} tensors)")).collect();
    println!("file format: {}", d.layout);
    println!("network: {} (SAM {})", d.name, d.version);
    println!("input size: {0} x {0} pixels", d.image_size);
    println!("parameters: {} in {} tensors", d.parameters, d.tensors);
    println!("number format: {}", formats.join(", "));
    for (key, value) in &d.metadata {
        // Values come from the file: control characters are escaped, long texts are left to --json.
        let value = match value.lines().count() {
            0 | 1 => value.escape_debug().to_string(),
            lines => format!("{lines} lines (printed with --json)"),
        };
        println!("{}: {value}", key.escape_debug());
    }
}

/// Reads a model file of any format and writes .safetensors.
pub fn convert(arguments: &Convert, print: Output) -> Result<()> {
    promem::output::check(&arguments.output, arguments.force.overwrite())?;
    let file = checkpoint::read(&arguments.input)?;
    let config = match arguments.image_size.image_size {
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
    checkpoint::write_safetensors(&arguments.output, &config, &file.state, &about, arguments.force.overwrite())?;
    match print {
        Output::Quiet => {}
        Output::Json => println!("{}", serde_json::json!({ "output": arguments.output, "network": config.name })),
        Output::Human => println!("wrote {} ({})", arguments.output.display(), config.name),
    }
    Ok(())
}
