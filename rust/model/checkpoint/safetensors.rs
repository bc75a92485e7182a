//! Reads and writes `.safetensors` files, our own among them.
//!
//! Ours carry their configuration, so that networks of any size can be read back. Metadata keys: [`CONFIG`] (a
//! [`Config`] as JSON), [`FORMAT`] (`"1"`), and what the writer says of the origin, such as `promem.made_by` and
//! `promem.licence`.

use crate::error::{Error, ErrorKind, Result};
use crate::model::config::Config;
use crate::model::weights::{is_printable, StateDict};
use crate::output::Overwrite;
use ::safetensors::tensor::Metadata;
use ::safetensors::Dtype;
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The configuration, as JSON.
pub const CONFIG: &str = "promem.config";
/// The meaning of the other `promem.` keys; 1 so far.
pub const FORMAT: &str = "promem.format";
const FORMAT_NUMBER: &str = "1";
/// The header of the largest published network has 0.1 MB.
pub(super) const HEADER_LIMIT: u64 = 16 << 20;
/// A header starts after its length, a `u64`.
const LENGTH_SIZE: u64 = 8;

pub(super) struct SafetensorsFile {
    pub(super) state: StateDict,
    pub(super) config: Option<Config>,
    /// Without [`CONFIG`].
    pub(super) metadata: BTreeMap<String, String>,
}

pub(super) fn read(mut file: File, length: u64) -> Result<SafetensorsFile> {
    let mut word = [0; LENGTH_SIZE as usize];
    file.seek(SeekFrom::Start(0)).map_err(disk)?;
    file.read_exact(&mut word).map_err(disk)?;
    let header_size = u64::from_le_bytes(word);
    if header_size > HEADER_LIMIT {
        return Err(broken(format!("the header has {header_size} bytes, expected at most {HEADER_LIMIT}")));
    }
    if header_size > length - LENGTH_SIZE {
        return Err(broken(format!(
            "the header has {header_size} bytes, but the file only {length}; the file breaks off"
        )));
    }
    let mut header = vec![0; header_size as usize];
    file.read_exact(&mut header).map_err(disk)?;
    // The crate examines on the way that the tensors lie one after another and are as large as their shapes say.
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|e| broken("the header is damaged").with_source(one_line(&e)))?;
    let expected = (LENGTH_SIZE + header_size).checked_add(header.data_len() as u64);
    if expected != Some(length) {
        return Err(broken(format!(
            "the tensors need {} bytes, the file has {}; the file breaks off or has been changed",
            header.data_len(),
            length - LENGTH_SIZE - header_size
        )));
    }
    let mut metadata: BTreeMap<String, String> = header.metadata().iter().flatten().map(own).collect();
    if let Some(format) = metadata.get(FORMAT).filter(|format| *format != FORMAT_NUMBER) {
        let message = format!("{FORMAT} is {format:.20?}, expected {FORMAT_NUMBER}; the file is of another release");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let config = metadata.remove(CONFIG).map(|text| serde_json::from_str(&text)).transpose().map_err(|e| {
        Error::new(ErrorKind::Checkpoint, format!("metadata `{CONFIG}` is not a configuration"))
            .with_source(one_line(&e))
    })?;
    let mut state = StateDict::new();
    for key in header.offset_keys() {
        if !is_printable(&key) {
            return Err(broken("the name of a weight is too long or holds control characters"));
        }
        let info = header.info(&key).ok_or_else(|| broken("the header is damaged"))?;
        let kind = match info.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            other => {
                let message = format!("weight `{key}`: found {other:?}, expected f32, f16 or bf16");
                return Err(Error::new(ErrorKind::Checkpoint, message));
            }
        };
        let size: Vec<i64> = info.shape.iter().filter_map(|&n| i64::try_from(n).ok().filter(|&n| n > 0)).collect();
        if size.len() != info.shape.len() {
            return Err(broken(format!("weight `{key}`: shape {:?}, expected positive numbers", info.shape)));
        }
        let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
        file.read_exact(&mut bytes).map_err(disk)?;
        state.insert(key, Tensor::f_from_data_size(&bytes, &size, kind).map_err(compute)?)?;
    }
    Ok(SafetensorsFile { state, config, metadata })
}

/// The parser repeats names from the file in its messages.
fn one_line(error: &serde_json::Error) -> String {
    error.to_string().escape_debug().take(200).collect()
}

fn own((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// Writes weights with their configuration and origin. The same weights give the same bytes.
///
/// The file appears under its name when it is whole and on the disk, never before: it is written beside the target and
/// then renamed. `metadata` holds further keys, such as `promem.made_by` (how the weights came about) and
/// `promem.licence`.
///
/// # Errors
/// The file exists and `overwrite` says to refuse; `metadata` holds a key that is set here; the disk refuses.
pub fn write_safetensors(
    path: &Path,
    config: &Config,
    state: &StateDict,
    metadata: &BTreeMap<String, String>,
    overwrite: Overwrite,
) -> Result<()> {
    crate::output::check(path, overwrite)?;
    if let Some(key) = [CONFIG, FORMAT].into_iter().find(|key| metadata.contains_key(*key)) {
        return Err(Error::invalid(format!("metadata `{key}` is set by the writer")));
    }
    super::recognise::check(config, &state.shapes())?;
    let failed = |source| Error::io(format!("cannot write `{}`", path.display()), source);
    // Wide number formats first, so that every tensor begins at a multiple of its own size.
    let mut tensors: Vec<(&str, &Tensor)> = state.iter().collect();
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.kind().elt_size_in_bytes()));
    let header = header(config, &tensors, metadata)?;
    crate::output::write(path, overwrite, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
        out.write_all(&header).map_err(failed)?;
        for (_, tensor) in &tensors {
            out.write_all(&bytes_of(tensor)?).map_err(failed)?;
        }
        Ok(())
    })
}

fn header(config: &Config, tensors: &[(&str, &Tensor)], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let refused = |e: serde_json::Error| Error::invalid("cannot write the header").with_source(e);
    let mut all = metadata.clone();
    all.insert(CONFIG.into(), serde_json::to_string(config).map_err(refused)?);
    all.insert(FORMAT.into(), FORMAT_NUMBER.into());
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!(all));
    let mut start = 0;
    for (key, tensor) in tensors {
        let dtype = match tensor.kind() {
            Kind::Half => "F16",
            Kind::BFloat16 => "BF16",
            _ => "F32", // a `StateDict` holds nothing else
        };
        let stop = start + tensor.numel() * tensor.kind().elt_size_in_bytes();
        let entry: Value = json!({"dtype": dtype, "shape": tensor.size(), "data_offsets": [start, stop]});
        header.insert((*key).into(), entry);
        start = stop;
    }
    let mut bytes = serde_json::to_vec(&header).map_err(refused)?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let numel = tensor.numel();
    let mut bytes = vec![0; numel * tensor.kind().elt_size_in_bytes()];
    let plain = tensor.detach().f_to_device(Device::Cpu).and_then(|t| t.f_contiguous()).map_err(compute)?;
    plain.f_copy_data_u8(&mut bytes, numel).map_err(compute)?;
    Ok(bytes)
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn disk(source: std::io::Error) -> Error {
    Error::io("cannot read", source)
}

fn compute(source: tch::TchError) -> Error {
    Error::new(ErrorKind::Compute, "cannot copy a tensor").with_source(source)
}
