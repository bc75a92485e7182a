//! Where binaries find libtorch, and how the library is linked for those who link it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=PROMEM_PACKAGE");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // A library to pass on must not name folders of the machine that built it (docs/packages.md).
    let package = std::env::var("PROMEM_PACKAGE").is_ok_and(|value| value == "1");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if package && !flags.contains("--remap-path-prefix") {
        println!("cargo:warning=PROMEM_PACKAGE=1: RUSTFLAGS is `{}`", flags.replace('\x1f', " "));
        println!("cargo:warning=expected --remap-path-prefix for cargo's registry (docs/packages.md, \"Building a library to pass on\")");
        std::process::exit(1);
    }
    // torch-sys tells where the libtorch lies that it links.
    let libtorch = std::env::var("DEP_TORCH_SYS_LIBTORCH_LIB")
        .ok()
        .or_else(|| std::env::var("LIBTORCH").ok().map(|root| format!("{root}/lib")))
        .filter(|_| !package);
    let origin = if system == "macos" { "@loader_path" } else { "$ORIGIN" };
    if system != "windows" {
        for folder in [Some(origin.to_string()), Some(format!("{origin}/../lib")), libtorch].into_iter().flatten() {
            println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
        }
    }
    let library: &[&str] = match system.as_str() {
        "linux" => &[
            // The number rises when the C interface breaks.
            "-soname,libpromem.so.1",
            // Only promem_* is exported: the OpenJPEG, bzip2 and tch inside must not take the place of a host's own.
            "--exclude-libs,ALL",
            // And a host's functions must not take the place of ours.
            "-Bsymbolic",
            // dlclose leaves it where it is: libtorch has threads and destructors, which do not survive being unloaded.
            "-z,nodelete",
        ],
        "macos" => &["-install_name,@rpath/libpromem.1.dylib"],
        _ => &[],
    };
    for argument in library {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
}
