//! How the C library's allocator treats tensors: for programs of our own only, never for a host that links the library.

/// Lets freed memory stay with the process. glibc maps every large tensor anew and unmaps it again, and the page faults
/// cost up to a third of
/// a training step; kept memory is reused. The process's peak is the same.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest threshold that glibc accepts (`HEAP_MAX_SIZE / 2`): tensors beyond it are mapped as before.
        const MAPPED_FROM: libc::c_int = 32 << 20;
        /// What is given back is more than any run frees at once.
        const TRIMMED_FROM: libc::c_int = libc::c_int::MAX;
        const GROWN_BY: libc::c_int = 64 << 20;
        for (parameter, value) in [
            (libc::M_MMAP_THRESHOLD, MAPPED_FROM),
            (libc::M_TRIM_THRESHOLD, TRIMMED_FROM),
            (libc::M_TOP_PAD, GROWN_BY),
            (libc::M_ARENA_MAX, 1), // arenas of threads are small and give their memory back
        ] {
            // SAFETY: mallopt takes two numbers and sets the allocator's own variables under its own lock.
            let accepted = unsafe { libc::mallopt(parameter, value) } == 1;
            log::debug!("mallopt {parameter} {value}: accepted {accepted}");
        }
    }
}
