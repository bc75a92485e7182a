//! Models: load, describe, free.

use super::arguments::{fill_struct, init_struct, optional_path, optional_struct, optional_text, Sized32};
use super::handles::{self, Handle};
use super::library::own_file;
use super::memory::Out;
use super::process::{self, Computing};
use super::status::{boundary, c_text, caught, promem_status, BoundaryError, Outcome};
use crate::session::{self, SharedModel};
use std::ffi::{c_char, CString};

/// How a model is loaded. All zero but the size is the default; promem_model_options_init sets that.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_model_options {
    /// sizeof(promem_model_options)
    pub struct_size: u32,
    /// Pixels of a side of the square that the network sees, a multiple of 32 up to 8192; 0: the file's own, or the
    /// paper's 512 for files that do not say.
    pub image_size: u32,
    /// "auto", "cpu", "cuda" or "cuda:1"; NULL: auto, the first CUDA device if there is one.
    pub device: *const c_char,
    /// "auto", "fp32" or "bf16"; NULL: auto, bf16 where the hardware multiplies it.
    pub precision: *const c_char,
}

// SAFETY: a size of 24, pointers may be NULL.
unsafe impl Sized32 for promem_model_options {
    const NAME: &'static str = "promem_model_options";
}

/// What was loaded. The texts are the model's and are valid while it is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_model_info {
    /// sizeof(promem_model_info), set by the caller.
    pub struct_size: u32,
    /// Pixels of a side of the square that the network sees.
    pub image_size: u32,
    /// Number of weights.
    pub parameters: u64,
    /// The network, such as "compact" or "sam2.1_hiera_tiny".
    pub network: *const c_char,
    /// "cpu" or "cuda:0".
    pub device: *const c_char,
    /// "fp32" or "bf16".
    pub precision: *const c_char,
    /// The file it was read from.
    pub path: *const c_char,
}

// SAFETY: a size of 48, pointers may be NULL.
unsafe impl Sized32 for promem_model_info {
    const NAME: &'static str = "promem_model_info";
}

/// A network with its weights. It never changes: any number of threads and sessions may use one at the same time; they
/// compute one after the other. Sessions keep what they need of it, so it may be freed before them.
pub struct promem_model {
    pub(super) shared: SharedModel,
    image_size: u32,
    parameters: u64,
    network: CString,
    device: CString,
    precision: CString,
    path: CString,
    metadata: Vec<(CString, CString)>,
}

impl Handle for promem_model {
    type Owner = Box<Self>;
    const NAME: &'static str = "model";
}

/// Options of a caller, or their defaults.
struct LoadOptions<'a> {
    size: Option<i64>,
    device: &'a str,
    precision: &'a str,
}

impl LoadOptions<'_> {
    /// # Safety
    /// NULL, or a valid struct whose texts are NULL or NUL-terminated during `'_`.
    unsafe fn read(options: *const promem_model_options) -> Outcome<Self> {
        let mut read = Self { size: None, device: "auto", precision: "auto" };
        // SAFETY: as the caller promises.
        unsafe {
            if let Some(options) = optional_struct(options)? {
                read.size = (options.image_size > 0).then_some(i64::from(options.image_size));
                read.device = optional_text(options.device, "device")?.unwrap_or(read.device);
                read.precision = optional_text(options.precision, "precision")?.unwrap_or(read.precision);
            }
        }
        Ok(read)
    }
}

/// Sets all options to their defaults; `struct_size` is sizeof(promem_model_options).
///
/// # Safety
/// `options` is writable for `struct_size` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_model_options_init(
    options: *mut promem_model_options,
    struct_size: usize,
) -> promem_status {
    // SAFETY: as this function's caller promises.
    boundary(|| unsafe { init_struct(options, struct_size) })
}

/// Loads a model: a SAM 2, SAM 2.1 or MedSAM2 .pt, or a .safetensors. `path` in UTF-8; NULL: the environment's
/// PROMEM_MODEL if that is not empty, else the default model that was installed with the library. `options` may be
/// NULL. Free the model with promem_model_free.
///
/// Errors: PROMEM_NULL_ARGUMENT for `model`; PROMEM_INVALID_ARGUMENT for a text that is not UTF-8, an unknown device or
/// precision, an image size that cannot be, or without a path where there is no default model (the message names the
/// places where it was looked for); PROMEM_STRUCT_TOO_LARGE; PROMEM_IO_ERROR for a file that cannot be read,
/// PROMEM_BAD_FORMAT for one that is damaged or no model file, PROMEM_UNSUPPORTED for one of a kind that is not read,
/// PROMEM_BAD_MODEL for weights that fit no known network; PROMEM_COMPUTE_ERROR for a device that is not there or too
/// little memory; PROMEM_CANCELLED where the process is about to end, PROMEM_FORKED.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_model_load(
    path: *const c_char,
    options: *const promem_model_options,
    model: *mut *mut promem_model,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (out, path, options) =
            unsafe { (Out::new(model, "model")?, optional_path(path, "path")?, LoadOptions::read(options)?) };
        let _computing = Computing::begin()?;
        let LoadOptions { size, device, precision } = options;
        let path = match path {
            Some(path) => path,
            None => session::default_model(&own_file().unwrap_or_default())?,
        };
        let loaded = session::load(&path, size, device.parse()?, precision.parse()?)?;
        process::watch_exit_anew();
        process::own();
        let made = promem_model {
            image_size: loaded.image_size as u32,
            parameters: loaded.parameters,
            network: c_text(&loaded.network),
            device: c_text(&loaded.device_name()),
            precision: c_text(loaded.precision_name()),
            path: c_text(&path.to_string_lossy()),
            metadata: loaded.metadata.iter().map(|(key, value)| (c_text(key), c_text(value))).collect(),
            shared: loaded.model,
        };
        out.write(handles::give(Box::new(made)));
        Ok(())
    })
}

fn describe(model: &promem_model) -> promem_model_info {
    promem_model_info {
        struct_size: 0,
        image_size: model.image_size,
        parameters: model.parameters,
        network: model.network.as_ptr(),
        device: model.device.as_ptr(),
        precision: model.precision.as_ptr(),
        path: model.path.as_ptr(),
    }
}

/// Describes a model. `info->struct_size` must be set.
///
/// # Safety
/// `model` is NULL or live, `info` NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn promem_model_describe(
    model: *const promem_model,
    info: *mut promem_model_info,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        unsafe { fill_struct(info, describe(handles::borrow(model)?)) }
    })
}

/// What the model's file says of itself: the text under `key`, such as "promem.licence". It is the model's and valid
/// while that is.
///
/// Errors: PROMEM_INVALID_ARGUMENT where the file says nothing under that name; the message lists the names that there
/// are.
///
/// # Safety
/// `model` is NULL or live, `key` NULL or NUL-terminated, `value` NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn promem_model_metadata(
    model: *const promem_model,
    key: *const c_char,
    value: *mut *const c_char,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (model, key, value) =
            unsafe { (handles::borrow(model)?, optional_text(key, "key")?, Out::new(value, "value")?) };
        let key = key.ok_or(BoundaryError::Null("key"))?;
        let found = model.metadata.iter().find(|(known, _)| known.to_bytes() == key.as_bytes());
        match found {
            Some((_, text)) => {
                value.write(text.as_ptr());
                Ok(())
            }
            None => {
                let known: Vec<_> = model.metadata.iter().map(|(known, _)| known.to_string_lossy()).collect();
                Err(BoundaryError::invalid(format!("metadata `{key}`: the model has {}", known.join(", "))))
            }
        }
    })
}

/// Frees a model; NULL is allowed. Nobody may use it any more; sessions made of it may go on. In a forked child nothing
/// is freed.
///
/// # Safety
/// `model` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_model_free(model: *mut promem_model) {
    // SAFETY: as this function's caller promises.
    if let Some(model) = unsafe { handles::take(model) } {
        caught(|| {
            process::release(model);
            Ok(())
        });
    }
}
