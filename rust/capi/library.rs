//! What concerns the library as a whole: versions, devices, threads, the log.

use super::process;
use super::status::{boundary, c_text, promem_status, BoundaryError};
use crate::session;
use log::{Level, LevelFilter, Log, Metadata, Record};
use once_cell::sync::Lazy;
use parking_lot::RwLock;
use std::cell::Cell;
use std::ffi::{c_char, c_void, CStr, CString};

/// The interface of this header. It rises when a program that was compiled against an older header would break.
pub const PROMEM_ABI_VERSION: u32 = 1;

/// Errors only.
pub const PROMEM_LOG_ERROR: i32 = 1;
/// And what may surprise.
pub const PROMEM_LOG_WARNING: i32 = 2;
/// And what was decided.
pub const PROMEM_LOG_INFO: i32 = 3;
/// And what helps to find a fault.
pub const PROMEM_LOG_DEBUG: i32 = 4;

/// Receives the log, line by line, on whichever thread writes it, one line at a time: level (PROMEM_LOG_...), the part
/// of the library, the line (both UTF-8, for the duration of the call), and what was given with the callback. It must
/// not call this library, and must not throw, jump or end its thread.
pub type promem_log_callback =
    Option<unsafe extern "C" fn(level: i32, target: *const c_char, line: *const c_char, user_data: *mut c_void)>;

/// The interface of the library that is loaded; compare it with PROMEM_ABI_VERSION, that of the header you compiled
/// against.
#[no_mangle]
pub extern "C" fn promem_abi_version() -> u32 {
    PROMEM_ABI_VERSION
}

/// The version of the library that is loaded, such as "0.1.0". The text is constant.
#[no_mangle]
pub extern "C" fn promem_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

/// The version of libtorch that this library works with, and with no other. The text is constant.
#[no_mangle]
pub extern "C" fn promem_libtorch_version() -> *const c_char {
    c"2.11.0".as_ptr()
}

static DEVICES: Lazy<Vec<CString>> =
    Lazy::new(|| session::guarded(session::devices).unwrap_or_default().iter().map(|name| c_text(name)).collect());

/// How many devices can be computed on. The CPU is the first. 0 in a child that was forked after a model was loaded.
#[no_mangle]
pub extern "C" fn promem_device_count() -> u32 {
    match process::not_forked() {
        Ok(()) => DEVICES.len() as u32,
        Err(_) => 0,
    }
}

/// A device's name, "cpu" or "cuda:0", as promem_model_options takes it; NULL where there is none of that number. The
/// text is constant.
#[no_mangle]
pub extern "C" fn promem_device_name(index: u32) -> *const c_char {
    let names = process::not_forked().map_or(&[][..], |()| DEVICES.as_slice());
    names.get(index as usize).map_or(std::ptr::null(), |name| name.as_ptr())
}

/// How many threads an operation may use on the CPU, in the whole process; 0: one per core. By default one per core.
///
/// Errors: PROMEM_INVALID_ARGUMENT for more than 4096, PROMEM_FORKED.
#[no_mangle]
pub extern "C" fn promem_set_thread_count(threads: u32) -> promem_status {
    boundary(|| {
        process::not_forked()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores } else { threads as usize };
        if threads > 4096 {
            return Err(BoundaryError::invalid(format!("{threads} threads: expected at most 4096")));
        }
        session::set_threads(Some(threads));
        Ok(())
    })
}

/// How many threads an operation may use on the CPU.
#[no_mangle]
pub extern "C" fn promem_thread_count() -> u32 {
    session::guarded(tch::get_num_threads).unwrap_or(1).max(1) as u32
}

struct Receiver {
    callback: promem_log_callback,
    user_data: *mut c_void,
    level: LevelFilter,
}

// SAFETY: the header says that the callback comes from any thread.
unsafe impl Send for Receiver {}
// SAFETY: as above.
unsafe impl Sync for Receiver {}

static RECEIVER: RwLock<Receiver> =
    RwLock::new(Receiver { callback: None, user_data: std::ptr::null_mut(), level: LevelFilter::Off });

thread_local! {
    /// Whether the thread is in the log callback.
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

struct ToCallback;

impl Log for ToCallback {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= RECEIVER.read().level && metadata.target().starts_with("promem")
    }

    fn log(&self, record: &Record) {
        if LOGGING.get() || !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => PROMEM_LOG_ERROR,
            Level::Warn => PROMEM_LOG_WARNING,
            Level::Info => PROMEM_LOG_INFO,
            Level::Debug | Level::Trace => PROMEM_LOG_DEBUG,
        };
        let (target, line) = (c_text(record.target()), c_text(&record.args().to_string()));
        // What a log callback makes the library log would wait for the callback's own end.
        if LOGGING.replace(true) {
            return;
        }
        let receiver = RECEIVER.write(); // one line at a time
        if let Some(callback) = receiver.callback {
            // SAFETY: the caller keeps callback and data valid until another callback is set.
            unsafe { callback(level, target.as_ptr(), line.as_ptr(), receiver.user_data) };
        }
        drop(receiver);
        LOGGING.set(false);
    }

    fn flush(&self) {}
}

/// Where the log goes, for the whole process. NULL: nowhere, as by default; the library prints nothing itself.
/// `user_data` must stay valid until another callback is set; the former one is not called any more when this returns.
///
/// Errors: PROMEM_INVALID_ARGUMENT for an unknown level, or where the process has a Rust logger of its own already;
/// PROMEM_BUSY in a log callback; PROMEM_FORKED.
///
/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn promem_set_log_callback(
    callback: promem_log_callback,
    user_data: *mut c_void,
    level: i32,
) -> promem_status {
    boundary(|| {
        process::not_forked()?;
        if LOGGING.get() {
            return Err(BoundaryError::Busy);
        }
        let level = match level {
            PROMEM_LOG_ERROR => LevelFilter::Error,
            PROMEM_LOG_WARNING => LevelFilter::Warn,
            PROMEM_LOG_INFO => LevelFilter::Info,
            PROMEM_LOG_DEBUG => LevelFilter::Debug,
            other => {
                return Err(BoundaryError::invalid(format!("log level {other}: expected 1 (errors) to 4 (debug)")))
            }
        };
        static INSTALLED: Lazy<bool> = Lazy::new(|| log::set_logger(&ToCallback).is_ok());
        if !*INSTALLED {
            return Err(BoundaryError::invalid("this process has a Rust logger already, which gets the log"));
        }
        let level = if callback.is_some() { level } else { LevelFilter::Off };
        *RECEIVER.write() = Receiver { callback, user_data, level };
        log::set_max_level(level);
        Ok(())
    })
}

/// Lies in this library's file, unlike what has a name that a host may have given to something of its own.
static HERE: u8 = 0;

/// The file that this code was loaded from: the default model lies beside it.
pub(super) fn own_file() -> Option<std::path::PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: the address is this library's own, the place for the answer is ours.
        let known = unsafe { libc::dladdr((&raw const HERE).cast(), found.as_mut_ptr()) };
        // SAFETY: dladdr filled it, or it is zero, which is valid for it.
        let name = unsafe { found.assume_init() }.dli_fname;
        if known != 0 && !name.is_null() {
            // SAFETY: a name that the loader keeps while the library is loaded.
            let name = unsafe { CStr::from_ptr(name) };
            let path = std::path::PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()));
            // The loader names it as it was asked for, which may be by a link.
            return Some(path.canonicalize().unwrap_or(path));
        }
    }
    std::env::current_exe().ok()
}
