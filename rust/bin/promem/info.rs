//! `promem info` and `promem convert`: model files; scans are described by [`scan_info`].

use crate::args::{Convert, Info, Output};
use crate::scan_info;
use promem::model::checkpoint::{self, Description};
use promem::tracking::ModelDefaults;
use promem::{volume, Result};
use std::collections::BTreeMap;

/// Prints the description of a scan or of a model file.
pub fn info(arguments: &Info, print: Output) -> Result<()> {
    if volume::is_scan(&arguments.file) {
        return scan_info::describe(arguments, print);
    }
    let file = checkpoint::read(&arguments.file)?;
    let description = checkpoint::describe(&file);
    match print {
        Output::Json => say!("{}", serde_json::to_value(&description).unwrap_or_default()),
        Output::Human | Output::Quiet => print_description(&description),
    }
    Ok(())
}

fn print_description(d: &Description) {
    let formats: Vec<String> = d.number_formats.iter().map(|(name, n)| format!("{name} ({n} tensors)")).collect();
    say!("file format: {}", d.layout);
    say!("network: {} (SAM {})", d.name, d.version);
    say!("input size: {0} x {0} pixels", d.image_size);
    say!("parameters: {} in {} tensors", d.parameters, d.tensors);
    say!("number format: {}", formats.join(", "));
    for (key, value) in &d.metadata {
        // Values come from the file: control characters are escaped, long texts are left to --json.
        let value = match value.lines().count() {
            0 | 1 => value.escape_debug().to_string(),
            lines => format!("{lines} lines (printed with --json)"),
        };
        say!("{}: {value}", key.escape_debug());
    }
}

/// Reads a model file of any format and writes .safetensors.
pub fn convert(arguments: &Convert, print: Output) -> Result<()> {
    promem::output::check_distinct(&[&arguments.output], std::slice::from_ref(&arguments.input))?;
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
        Output::Json => say!("{}", serde_json::json!({ "output": arguments.output, "network": config.name })),
        Output::Human => say!("wrote {} ({})", arguments.output.display(), config.name),
    }
    Ok(())
}
