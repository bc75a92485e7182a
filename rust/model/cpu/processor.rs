//! Whether the kernels can be used on this processor, and whether they are.

use super::threads;
use once_cell::sync::OnceCell;

/// For comparisons and tests: 0 switches the kernels off, 1 switches them on wherever the processor can run them.
const SWITCH: &str = "PROMEM_KERNELS";

/// Whether the processor has AVX2 and FMA, in which the kernels are written.
pub fn is_supported() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether the kernels are used: where they can be, unless libtorch is faster. With AVX-512 it is.
pub fn is_enabled() -> bool {
    static ENABLED: OnceCell<bool> = OnceCell::new();
    *ENABLED.get_or_init(|| {
        let faster = match std::env::var(SWITCH).as_deref() {
            Ok("0") => false,
            Ok("1") => true,
            _ => !is_x86_feature_detected!("avx512f"),
        };
        let enabled = faster && is_supported() && threads::is_available();
        log::debug!("fp32 products on the CPU: {}", if enabled { "kernels for AVX2" } else { "libtorch's" });
        enabled
    })
}
