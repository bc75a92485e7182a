//! Loads libtorch's CUDA half where it is installed, so that one build serves machines with and without a GPU.

use once_cell::sync::Lazy;
use std::ffi::CStr;

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use. It must come before the first question about CUDA:
/// libtorch asks for its CUDA hooks once and remembers the answer.
pub fn load() {
    Lazy::force(&LOADED);
}

static LOADED: Lazy<bool> = Lazy::new(|| {
    if cfg!(not(target_os = "linux")) {
        return false;
    }
    const LIBRARY: &CStr = c"libtorch_cuda.so";
    // SAFETY: the name is a NUL-terminated constant; running the library's initialisers is what libtorch itself does when
    // it is linked, and the handle is never closed.
    let handle = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    let loaded = !handle.is_null();
    log::debug!("libtorch_cuda.so {}", if loaded { "loaded" } else { "not loaded: computing on the CPU" });
    loaded
});
