//! Weights by name: what a checkpoint holds, and how it gets into a network.
//!
//! In: names, shapes and values. Out: the variables of a [`nn::VarStore`], all of them or none.
//! Knows nothing of files (see [`super::checkpoint`]) or of what the weights compute.

use crate::error::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::collections::btree_map::{self, BTreeMap};
use std::fmt::Write as _;
use tch::{nn, Device, Kind, Tensor};

/// How many names of one sort a report prints before it only counts.
const NAMES_PER_REPORT: usize = 10;

/// Tensors under their official names, in the order of the names.
///
/// Every tensor is f32, f16 or bf16 and lies on the CPU. Tensors of one file may share memory.
#[derive(Debug, Default)]
pub struct StateDict {
    tensors: BTreeMap<String, Tensor>,
}

impl StateDict {
    /// Without tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies the variables of a network, in their own number format.
    pub fn of(var_store: &nn::VarStore) -> Result<Self> {
        let mut state = Self::new();
        for (key, variable) in var_store.variables() {
            let copy = variable.detach().f_to_device(Device::Cpu).and_then(|t| t.f_detach_copy());
            state.insert(key, copy.map_err(refused)?)?;
        }
        Ok(state)
    }

    /// Adds one weight.
    ///
    /// # Errors
    /// The name is taken or unprintable, or the tensor is not f32, f16 or bf16 on the CPU.
    pub fn insert(&mut self, key: impl Into<String>, tensor: Tensor) -> Result<()> {
        let key = key.into();
        if !is_printable(&key) {
            return Err(checkpoint("the name of a weight is too long or holds control characters".into()));
        }
        if !matches!(tensor.kind(), Kind::Float | Kind::Half | Kind::BFloat16) {
            return Err(checkpoint(format!(
                "weight `{key}`: found {}, expected f32, f16 or bf16",
                kind_name(tensor.kind())
            )));
        }
        if tensor.device() != Device::Cpu {
            return Err(checkpoint(format!("weight `{key}`: found on {:?}, expected on the CPU", tensor.device())));
        }
        match self.tensors.entry(key) {
            btree_map::Entry::Occupied(taken) => Err(checkpoint(format!("weight `{}`: found twice", taken.key()))),
            btree_map::Entry::Vacant(free) => {
                free.insert(tensor);
                Ok(())
            }
        }
    }

    /// The tensor of this name.
    pub fn get(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }

    /// Names and tensors, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(key, tensor)| (key.as_str(), tensor))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The shape of each tensor.
    pub fn shapes(&self) -> BTreeMap<String, Vec<i64>> {
        self.tensors.iter().map(|(key, tensor)| (key.clone(), tensor.size())).collect()
    }

    /// Number of values in all tensors together.
    pub fn parameters(&self) -> u64 {
        self.tensors.values().fold(0, |sum, tensor| sum.saturating_add(tensor.numel() as u64))
    }

    /// The number formats in use, with the number of tensors of each: `{"f32": 471}`.
    pub fn number_formats(&self) -> BTreeMap<&'static str, usize> {
        let mut formats = BTreeMap::new();
        for tensor in self.tensors.values() {
            *formats.entry(kind_name(tensor.kind())).or_insert(0) += 1;
        }
        formats
    }
}

/// Gives every variable of `var_store` the value of the same name, converted to the variable's number format.
///
/// Strict: every variable has a value, every value a variable, and the shapes are equal. `VarStore::load` of tch
/// ignores unknown names and broadcasts shapes, so that a wrong file gives a wrong network and no message.
///
/// # Errors
/// One report of all missing, unexpected, misshapen and non-finite weights; then nothing has been copied.
pub fn load_strict(var_store: &mut nn::VarStore, state: StateDict) -> Result<()> {
    let _guard = tch::no_grad_guard();
    let mut variables: BTreeMap<String, Tensor> = var_store.variables().into_iter().collect();
    report_misfits(&variables, &state)?;
    // A value can be finite in the file and infinite in an f16 variable, so the finished values are examined, and all
    // of them before the first is copied.
    let mut values = BTreeMap::new();
    let mut not_finite = Vec::new();
    for (key, tensor) in state.tensors {
        let Some(variable) = variables.get(&key) else { continue };
        let value = tensor.f_to_kind(variable.kind()).map_err(refused)?;
        if !is_finite(&value).map_err(refused)? {
            not_finite.push(format!("`{key}`"));
        }
        values.insert(key, value);
    }
    if !not_finite.is_empty() {
        return Err(checkpoint(sentence("not finite (NaN or infinity)", &not_finite)));
    }
    for (key, value) in values {
        if let Some(variable) = variables.get_mut(&key) {
            variable.f_copy_(&value).map_err(refused)?;
        }
    }
    Ok(())
}

fn is_finite(tensor: &Tensor) -> std::result::Result<bool, tch::TchError> {
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0)
}

fn report_misfits(variables: &BTreeMap<String, Tensor>, state: &StateDict) -> Result<()> {
    let missing: Vec<String> =
        variables.keys().filter(|key| state.get(key).is_none()).map(|key| format!("`{key}`")).collect();
    let unexpected: Vec<String> =
        state.iter().filter(|(key, _)| !variables.contains_key(*key)).map(|(key, _)| format!("`{key}`")).collect();
    let misshapen: Vec<String> = state
        .iter()
        .filter_map(|(key, tensor)| {
            let (found, expected) = (tensor.size(), variables.get(key)?.size());
            (found != expected).then(|| format!("weight `{key}`: file has {found:?}, model expects {expected:?}"))
        })
        .collect();
    let mut report = Vec::new();
    if !misshapen.is_empty() {
        let mut lines = first_few(&misshapen, "; ");
        if missing.is_empty() && unexpected.is_empty() && misshapen.len() > 1 {
            let _ = write!(lines, " ({} misshapen in all)", misshapen.len());
        }
        report.push(lines);
    }
    if !missing.is_empty() {
        report.push(sentence("missing", &missing));
    }
    if !unexpected.is_empty() {
        report.push(sentence("unexpected", &unexpected));
    }
    if report.is_empty() {
        return Ok(());
    }
    Err(checkpoint(report.join("; ")))
}

fn sentence(fault: &str, names: &[String]) -> String {
    let weights = if names.len() == 1 { "weight" } else { "weights" };
    format!("{} {weights} {fault}: {}", names.len(), first_few(names, ", "))
}

fn first_few(items: &[String], separator: &str) -> String {
    let mut text = items.iter().take(NAMES_PER_REPORT).map(String::as_str).collect::<Vec<_>>().join(separator);
    if items.len() > NAMES_PER_REPORT {
        let _ = write!(text, "{separator}and {} more", items.len() - NAMES_PER_REPORT);
    }
    text
}

/// Whether a name from a file may stand in a message: a forged one must not break the line or steer a terminal.
pub(super) fn is_printable(name: &str) -> bool {
    const LONGEST: usize = 300;
    name.len() <= LONGEST && !name.chars().any(char::is_control)
}

fn checkpoint(message: String) -> Error {
    Error::new(ErrorKind::Checkpoint, message)
}

fn refused(source: tch::TchError) -> Error {
    Error::new(ErrorKind::Compute, "cannot copy weights").with_source(source)
}

/// `f32`, `i64` ...; the debugging name for kinds that no weights file should hold.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Float => "f32",
        Kind::Half => "f16",
        Kind::BFloat16 => "bf16",
        Kind::Double => "f64",
        Kind::Int64 => "i64",
        Kind::Int => "i32",
        Kind::Uint8 => "u8",
        Kind::Bool => "bool",
        _ => "another number format",
    }
}

/// Values that any language can recompute from a checkpoint key alone; f32 of the given shape.
///
/// `x_i = frac(sin(i * 12.9898 + h) * 43758.5453)` in f64, `h` = first 4 bytes of sha256(key) / 2^32 * 1000. Weights of
/// fan-in `f` get `(x - 0.5) * 2 * sqrt(3 / f)`; one-dimensional `weight`s (norms) get `1 + 0.1 * (x - 0.5)`; biases
/// and embeddings get `0.1 * (x - 0.5)`; layer scale `gamma` gets 0.5; the last bias of the object score head gets 2,
/// so that the object is present. `tests/golden/pseudo_random.py` is the same formula with numpy.
///
/// The factor 43758 multiplies the last place of the sine, which differs between mathematical libraries: two languages
/// agree to about 1e-10 before the rounding to f32, not bit for bit.
pub fn pseudo_random(key: &str, shape: &[i64]) -> Tensor {
    let digest = Sha256::digest(key.as_bytes());
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let phase = f64::from(first) / 2f64.powi(32) * 1000.0;
    let values: Vec<f32> = match Branch::of(key, shape) {
        Branch::Constant(value) => vec![value; numel(shape)],
        Branch::Scaled { offset, factor } => (0..numel(shape))
            .map(|i| {
                let x = (i as f64 * 12.9898 + phase).sin() * 43758.5453;
                (offset + (x - x.floor() - 0.5) * factor) as f32
            })
            .collect(),
    };
    Tensor::from_slice(&values).reshape(shape)
}

/// Fills every floating-point variable with [`pseudo_random`] values of its own name.
pub fn fill_pseudo_random(var_store: &mut nn::VarStore) {
    let _guard = tch::no_grad_guard();
    for (key, mut variable) in var_store.variables() {
        if variable.is_floating_point() {
            variable.copy_(&pseudo_random(&key, &variable.size()));
        }
    }
}

enum Branch {
    Constant(f32),
    Scaled { offset: f64, factor: f64 },
}

impl Branch {
    fn of(key: &str, shape: &[i64]) -> Self {
        let module = key.rsplit('.').nth(1).unwrap_or("");
        let is_weight = key.ends_with("weight");
        if key.ends_with("gamma") {
            Branch::Constant(0.5)
        } else if key == "sam_mask_decoder.pred_obj_score_head.layers.2.bias" {
            Branch::Constant(2.0)
        } else if is_weight && shape.len() >= 2 && !module.contains("embed") {
            let transposed = key.contains(".output_upscaling.") && shape.len() == 4 && !key.ends_with("1.weight");
            let fan_in = if transposed { numel(&shape[..1]) } else { numel(&shape[1..]) };
            Branch::Scaled { offset: 0.0, factor: 2.0 * (3.0 / fan_in as f64).sqrt() }
        } else if is_weight && shape.len() == 1 {
            Branch::Scaled { offset: 1.0, factor: 0.1 }
        } else {
            Branch::Scaled { offset: 0.0, factor: 0.1 }
        }
    }
}

fn numel(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> nn::VarStore {
        let store = nn::VarStore::new(Device::Cpu);
        let root = store.root();
        let _ = (&root / "memory_encoder" / "out_proj").zeros("weight", &[2, 3, 1, 1]);
        let _ = (&root / "memory_encoder" / "out_proj").zeros("bias", &[2]);
        let _ = root.zeros("no_mem_embed", &[1, 1, 4]);
        store
    }

    fn fitting() -> StateDict {
        let mut state = StateDict::new();
        for (key, variable) in network().variables() {
            state.insert(key.clone(), pseudo_random(&key, &variable.size())).unwrap();
        }
        state
    }

    fn sum_of_squares(store: &nn::VarStore) -> f64 {
        store.variables().values().map(|v| v.square().sum(Kind::Double).double_value(&[])).sum()
    }

    #[test]
    fn fitting_weights_are_copied_value_for_value() {
        let mut store = network();
        load_strict(&mut store, fitting()).unwrap();
        for (key, variable) in store.variables() {
            assert_eq!(variable, pseudo_random(&key, &variable.size()), "{key}");
        }
    }

    #[test]
    fn values_take_the_number_format_of_the_network() {
        let mut store = network();
        store.bfloat16();
        load_strict(&mut store, fitting()).unwrap();
        for (key, variable) in store.variables() {
            assert_eq!(variable.kind(), Kind::BFloat16, "{key}");
            assert_eq!(variable, pseudo_random(&key, &variable.size()).to_kind(Kind::BFloat16), "{key}");
        }
    }

    #[test]
    fn one_report_names_missing_unexpected_and_misshapen_weights() {
        let mut store = network();
        let mut state = StateDict::new();
        state.insert("memory_encoder.out_proj.weight", Tensor::ones([2, 3, 3, 3], (Kind::Float, Device::Cpu))).unwrap();
        state.insert("memory_encoder.out_proj.bias", Tensor::ones([2], (Kind::Float, Device::Cpu))).unwrap();
        state.insert("epoch", Tensor::ones([1], (Kind::Float, Device::Cpu))).unwrap();
        let error = load_strict(&mut store, state).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert_eq!(
            error.to_string(),
            "weight `memory_encoder.out_proj.weight`: file has [2, 3, 3, 3], model expects [2, 3, 1, 1]; \
             1 weight missing: `no_mem_embed`; 1 weight unexpected: `epoch`"
        );
        assert_eq!(sum_of_squares(&store), 0.0, "a refused load must leave the network as it was");
    }

    #[test]
    fn a_shape_that_could_be_broadcast_is_refused() {
        let mut store = network();
        let mut state = StateDict::new();
        for (key, variable) in store.variables() {
            let size = if key == "no_mem_embed" { vec![4] } else { variable.size() };
            state.insert(key, Tensor::ones(size, (Kind::Float, Device::Cpu))).unwrap();
        }
        let error = load_strict(&mut store, state).unwrap_err();
        assert_eq!(error.to_string(), "weight `no_mem_embed`: file has [4], model expects [1, 1, 4]");
    }

    #[test]
    fn a_long_report_counts_what_it_does_not_print() {
        let mut store = network();
        let mut state = fitting();
        for i in 0..25 {
            state.insert(format!("extra.{i:02}"), Tensor::ones([1], (Kind::Float, Device::Cpu))).unwrap();
        }
        let text = load_strict(&mut store, state).unwrap_err().to_string();
        assert!(text.starts_with("25 weights unexpected: `extra.00`, "), "{text}");
        assert!(text.ends_with("`extra.09`, and 15 more"), "{text}");
    }

    #[test]
    fn weights_that_are_not_finite_are_refused_by_name() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut store = network();
            let mut state = StateDict::new();
            for (key, mut tensor) in fitting().tensors {
                if key == "memory_encoder.out_proj.bias" {
                    tensor = Tensor::from_slice(&[0.0, bad]);
                }
                state.insert(key, tensor).unwrap();
            }
            let error = load_strict(&mut store, state).unwrap_err();
            assert_eq!(error.to_string(), "1 weight not finite (NaN or infinity): `memory_encoder.out_proj.bias`");
            assert_eq!(sum_of_squares(&store), 0.0);
        }
    }

    #[test]
    fn a_value_too_large_for_an_f16_network_is_refused() {
        let mut store = network();
        store.half();
        let mut state = StateDict::new();
        for (key, variable) in store.variables() {
            state.insert(key, Tensor::full(variable.size(), 1e6, (Kind::Float, Device::Cpu))).unwrap();
        }
        assert!(load_strict(&mut store, state).unwrap_err().to_string().starts_with("3 weights not finite"));
    }

    #[test]
    fn a_state_dict_takes_each_name_once_and_no_integers() {
        let mut state = fitting();
        let again = state.insert("no_mem_embed", Tensor::from_slice(&[1f32])).unwrap_err();
        assert_eq!(again.to_string(), "weight `no_mem_embed`: found twice");
        let integer = state.insert("steps", Tensor::from_slice(&[1i64])).unwrap_err();
        assert_eq!(integer.to_string(), "weight `steps`: found i64, expected f32, f16 or bf16");
    }

    /// numpy's sine and Rust's may differ in the last place; times 43758 that is about 5e-12 (for arguments of a few
    /// hundred thousand, whose sine is as exact), far below an f32. 1e-6 leaves room for one rounding to f32.
    #[test]
    fn pseudo_random_weights_equal_the_values_numpy_computes() {
        #[derive(serde::Deserialize)]
        struct Case {
            key: String,
            shape: Vec<i64>,
            first: Vec<f64>,
            sum: f64,
        }
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/golden/pseudo_random.json")).unwrap();
        assert_eq!(cases.len(), 17);
        let mut worst = (0.0, String::new());
        for case in &cases {
            let tensor = pseudo_random(&case.key, &case.shape);
            assert_eq!(tensor.size(), case.shape);
            for (i, expected) in case.first.iter().enumerate() {
                let difference = (tensor.view(-1).double_value(&[i as i64]) - expected).abs();
                if difference > worst.0 {
                    worst = (difference, format!("{}[{i}]", case.key));
                }
            }
            // Each of the n values may be off by one f32 rounding; their sum in f64 by n times that at most.
            let sum = tensor.sum(Kind::Double).double_value(&[]);
            assert!((sum - case.sum).abs() <= 1e-6 * tensor.numel() as f64, "{}: {sum} and {}", case.key, case.sum);
        }
        assert!(worst.0 <= 1e-6, "worst: {} at {}", worst.0, worst.1);
    }

    #[test]
    fn every_variable_is_filled_from_its_own_name() {
        let mut store = network();
        fill_pseudo_random(&mut store);
        for (key, variable) in store.variables() {
            assert_eq!(variable, pseudo_random(&key, &variable.size()), "{key}");
        }
    }
}
