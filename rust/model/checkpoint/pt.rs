//! Reads the tensors of a PyTorch `.pt` file.
//!
//! In: a file. Out: a [`StateDict`], and the names of what lay beside the weights. Executes nothing.
//!
//! Such a file is a zip archive with the entries `NAME/data.pkl` (which tensors there are) and `NAME/data/KEY`
//! (storages: bare values, which tensors view with an offset, a shape and strides).

use super::archive::Archive;
use super::layout::WeightLayout;
use super::pickle::{only_tensors, Id, Pickle, Value, SIZE_LIMIT};
use crate::error::{Error, ErrorKind, Result};
use crate::model::weights::{is_printable, StateDict};
use std::collections::HashMap;
use std::fs::File;
use tch::{Kind, Tensor};

/// The entry of a training checkpoint that holds the weights.
const WEIGHTS: &str = "model";

pub(super) struct PyTorchFile {
    pub(super) state: StateDict,
    pub(super) layout: WeightLayout,
    /// Names beside `model`, such as `optimizer` and `epoch`; not read.
    pub(super) passed_over: Vec<String>,
}

/// Reads a nested (`{"model": {...}}`) or bare state dict.
///
/// Everything in the state dict must be a tensor of f32, f16 or bf16. What lies beside `model` is not looked at.
pub(super) fn read(file: File, length: u64) -> Result<PyTorchFile> {
    let mut archive = Archive::open(file, length)?;
    let folder = folder(&archive)?;
    let endianness = format!("{folder}byteorder");
    if archive.size(&endianness).is_some_and(|size| size < 16) && archive.read(&endianness)? == b"big" {
        return Err(Error::new(ErrorKind::Unsupported, "values are big-endian, expected little-endian"));
    }
    let name = format!("{folder}data.pkl");
    // Asked before reading: the limit is also one on memory.
    if let Some(size) = archive.size(&name).filter(|&size| size > SIZE_LIMIT) {
        return Err(broken(format!("`{name}` has {size} bytes, expected at most {SIZE_LIMIT}")));
    }
    let pickle = Pickle::parse(&archive.read(&name)?).map_err(|e| e.context(format_args!("`{name}`")))?;
    let (layout, items, passed_over) = weights_part(&pickle)?;
    let mut reader = Reader { archive, folder, pickle: &pickle, storages: HashMap::new() };
    let mut state = StateDict::new();
    for &(key, value) in items {
        let key = pickle
            .text(key)
            .ok_or_else(|| only_tensors(&format!("{} as the name of a weight", pickle.describe(key))))?;
        if !is_printable(key) {
            return Err(broken("the name of a weight is too long or holds control characters"));
        }
        let tensor = reader.tensor(value).map_err(|e| e.context(format_args!("weight `{key}`")))?;
        state.insert(key, tensor)?;
    }
    Ok(PyTorchFile { state, layout, passed_over })
}

/// `NAME/`, the one folder that has a `data.pkl`.
fn folder(archive: &Archive) -> Result<String> {
    let mut folders = archive
        .names()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|folder| folder.is_empty() || (folder.ends_with('/') && folder.matches('/').count() == 1));
    match (folders.next(), folders.next()) {
        (Some(folder), None) => Ok(folder.to_owned()),
        (None, _) => Err(broken("a zip archive without `data.pkl`, not a PyTorch file")),
        (Some(_), Some(_)) => Err(broken("a zip archive with more than one `data.pkl`")),
    }
}

type Items<'a> = &'a [(Id, Id)];

fn weights_part(pickle: &Pickle) -> Result<(WeightLayout, Items<'_>, Vec<String>)> {
    let root = pickle.root();
    let top = pickle.dict(root).ok_or_else(|| only_tensors(&pickle.describe(root)))?;
    let nested: Vec<Id> =
        top.iter().filter(|(key, _)| pickle.text(*key) == Some(WEIGHTS)).map(|(_, value)| *value).collect();
    let others = || top.iter().filter_map(|(key, _)| pickle.text(*key)).filter(|key| *key != WEIGHTS);
    match nested.as_slice() {
        [] if !top.is_empty() && top.iter().all(|(_, value)| !is_tensor(pickle, *value)) => {
            let calls = top.iter().find(|(_, value)| pickle.call(*value).is_some());
            if let Some((_, value)) = calls.filter(|_| top.len() == 1) {
                return Err(only_tensors(&pickle.describe(*value)));
            }
            let names: Vec<String> =
                others().filter(|key| is_printable(key)).take(5).map(|key| format!("`{key}`")).collect();
            Err(Error::new(
                ErrorKind::Checkpoint,
                format!("found the entries {}; expected `{WEIGHTS}`, or the weights themselves", names.join(", ")),
            ))
        }
        [] => Ok((WeightLayout::Bare, top, Vec::new())),
        [weights] => {
            let items = pickle
                .dict(*weights)
                .ok_or_else(|| only_tensors(&pickle.describe(*weights)).context(format_args!("entry `{WEIGHTS}`")))?;
            Ok((WeightLayout::Nested, items, others().map(str::to_owned).collect()))
        }
        _ => Err(broken(format!("two entries `{WEIGHTS}`"))),
    }
}

fn is_tensor(pickle: &Pickle, value: Id) -> bool {
    pickle.call(value).is_some_and(|(name, _)| name.starts_with("torch._utils._rebuild_"))
}

struct Reader<'a> {
    archive: Archive,
    folder: String,
    pickle: &'a Pickle,
    /// One-dimensional, by key: tensors that shared memory when they were saved share it again.
    storages: HashMap<String, (Kind, Tensor)>,
}

impl Reader<'_> {
    fn tensor(&mut self, value: Id) -> Result<Tensor> {
        let pickle = self.pickle;
        let refuse = |value| Err(only_tensors(&pickle.describe(value)));
        let plain = match pickle.call(value) {
            Some(("torch._utils._rebuild_parameter", [plain, ..])) => *plain,
            _ => value,
        };
        // torch/_utils.py: storage, storage_offset, size, stride, requires_grad, backward_hooks, [metadata]
        let Some(("torch._utils._rebuild_tensor_v2", [storage, offset, size, stride, _, hooks, ..])) =
            pickle.call(plain)
        else {
            return refuse(plain);
        };
        if !pickle.dict(*hooks).is_some_and(<[_]>::is_empty) {
            return refuse(*hooks);
        }
        let numbers = |id: Id| -> Option<Vec<i64>> {
            pickle.tuple(id)?.iter().map(|&n| pickle.int(n).filter(|&n| n >= 0)).collect()
        };
        let (Some(size), Some(stride), Some(offset)) =
            (numbers(*size), numbers(*stride), pickle.int(*offset).filter(|&n| n >= 0))
        else {
            return Err(broken("its shape is not made of numbers"));
        };
        let storage = self.storage(*storage)?;
        let values = storage.size()[0];
        if !fits(&size, &stride, offset, values) {
            return Err(broken(format!(
                "shape {size:?} with strides {stride:?} at {offset} does not fit its storage of {values} values"
            )));
        }
        storage.f_as_strided(&size, &stride, offset).map_err(compute)
    }

    fn storage(&mut self, id: Id) -> Result<Tensor> {
        let pickle = self.pickle;
        // torch/serialization.py: "storage", class, key, location, number of values
        let parts = match pickle.get(id) {
            Value::Persistent(parts) => pickle.tuple(*parts),
            _ => return Err(only_tensors(&format!("{} as its values", pickle.describe(id)))),
        };
        let Some([_, class, key, _, values]) = parts else {
            return Err(broken("its storage is not described as PyTorch does"));
        };
        let kind = match pickle.get(*class) {
            Value::Global(name) => match name.as_str() {
                "torch.FloatStorage" => Kind::Float,
                "torch.HalfStorage" => Kind::Half,
                "torch.BFloat16Storage" => Kind::BFloat16,
                other => {
                    let message = format!("found `{other}`, expected f32, f16 or bf16");
                    return Err(Error::new(ErrorKind::Checkpoint, message));
                }
            },
            _ => return Err(only_tensors(&format!("{} as its values", pickle.describe(*class)))),
        };
        let (Some(key), Some(values)) = (pickle.text(*key), pickle.int(*values)) else {
            return Err(broken("its storage is not described as PyTorch does"));
        };
        if !is_printable(key) {
            return Err(broken("its storage is not described as PyTorch does"));
        }
        if let Some((known, tensor)) = self.storages.get(key) {
            if *known != kind || tensor.size()[0] != values {
                return Err(broken(format!("storage `{key}` is described in two ways")));
            }
            return Ok(tensor.shallow_clone());
        }
        let name = format!("{}data/{key}", self.folder);
        let size = self.archive.size(&name).ok_or_else(|| broken(format!("no entry `{name}`")))?;
        let expected = u64::try_from(values).ok().and_then(|n| n.checked_mul(kind.elt_size_in_bytes() as u64));
        if expected != Some(size) {
            return Err(broken(format!("entry `{name}` has {size} bytes, expected {values} values of {kind:?}")));
        }
        let bytes = self.archive.read(&name)?;
        let tensor = Tensor::f_from_data_size(&bytes, &[values], kind).map_err(compute)?;
        self.storages.insert(key.to_owned(), (kind, tensor.shallow_clone()));
        Ok(tensor)
    }
}

/// Whether a view stays inside its storage and has at most as many values (an expanded tensor could have any number).
fn fits(size: &[i64], stride: &[i64], offset: i64, values: i64) -> bool {
    if size.len() != stride.len() || size.contains(&0) {
        return false;
    }
    let count = size.iter().try_fold(1i64, |product, &n| product.checked_mul(n));
    let last = size
        .iter()
        .zip(stride)
        .try_fold(offset, |sum, (&n, &step)| (n - 1).checked_mul(step).and_then(|way| sum.checked_add(way)));
    count.is_some_and(|count| count <= values) && last.is_some_and(|last| last < values)
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn compute(source: tch::TchError) -> Error {
    Error::new(ErrorKind::Compute, "cannot make a tensor").with_source(source)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_view_must_stay_inside_its_storage() {
        assert!(fits(&[2, 3], &[3, 1], 0, 6));
        assert!(fits(&[3, 2], &[1, 3], 0, 6), "transposed");
        assert!(fits(&[], &[], 5, 6), "a scalar");
        assert!(!fits(&[2, 3], &[3, 1], 1, 6));
        assert!(!fits(&[1 << 40], &[0], 0, 6), "expanded without end");
        assert!(!fits(&[i64::MAX, i64::MAX], &[i64::MAX, 1], 0, 6), "overflow");
        assert!(!fits(&[2], &[1, 1], 0, 6));
        assert!(!fits(&[0, 4], &[4, 1], 0, 6), "no values");
    }
}
