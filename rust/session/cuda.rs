//! Loads libtorch's CUDA half where it is installed, so that one build serves machines with and without a GPU.

use once_cell::sync::Lazy;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use. It must come before the first question about CUDA:
/// libtorch asks for its CUDA hooks once and remembers the answer.
pub fn load() {
    Lazy::force(&LOADED);
}

static LOADED: Lazy<bool> = Lazy::new(|| {
    let Some(library) = libtorch().map(|file| file.with_file_name("libtorch_cuda.so")).filter(|file| file.is_file())
    else {
        log::debug!("no libtorch_cuda.so beside libtorch_cpu.so: computing on the CPU");
        return false;
    };
    let Ok(name) = CString::new(library.as_os_str().as_bytes()) else { return false };
    // SAFETY: the name is NUL-terminated; running the library's initialisers is what libtorch itself does when it is linked, and the
    // handle is never closed.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    let loaded = !handle.is_null();
    log::debug!("`{}` {}", library.display(), if loaded { "loaded" } else { "not loaded: computing on the CPU" });
    loaded
});

/// The file that this process has mapped libtorch from: by whichever way it was found, its other half lies beside it.
fn libtorch() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    paths.into_iter().find(|path| path.file_name().is_some_and(|name| name == "libtorch_cpu.so")).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libtorch_in_use_is_found() {
        assert!(tch::Tensor::from(1.0).double_value(&[]) > 0.0, "libtorch is used");
        let file = libtorch().expect("it is mapped");
        assert!(file.is_file() && file.with_file_name("libc10.so").is_file(), "{}", file.display());
    }
}
