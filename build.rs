//! Where binaries find libtorch, and the library's name for those who link it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // torch-sys tells where the libtorch lies that it links.
    let libtorch = std::env::var("DEP_TORCH_SYS_LIBTORCH_LIB")
        .ok()
        .or_else(|| std::env::var("LIBTORCH").ok().map(|root| format!("{root}/lib")));
    let origin = if system == "macos" { "@loader_path" } else { "$ORIGIN" };
    if system != "windows" {
        for folder in [Some(origin.to_string()), Some(format!("{origin}/../lib")), libtorch].into_iter().flatten() {
            println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
        }
    }
    // The number rises when the C interface breaks.
    match system.as_str() {
        "linux" => println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libpromem.so.1"),
        "macos" => println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libpromem.1.dylib"),
        _ => {}
    }
}
