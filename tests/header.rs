//! `include/promem.h` is what the sources say. `make header` writes it anew.

use std::path::Path;

/// What Rust's own lints ask to be said of pointers is said once for all in the header's beginning.
fn without_safety(header: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut safety = false;
    for line in header.lines() {
        let comment = line.trim_start().starts_with("//");
        safety = comment && (safety || line.trim() == "// # Safety");
        if !safety {
            kept.push(line);
        } else if kept.last().is_some_and(|last| last.trim() == "//") {
            kept.pop();
        }
    }
    kept.join("\n") + "\n"
}

#[test]
fn the_header_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut parts: Vec<_> = std::fs::read_dir(root.join("rust/capi")).unwrap().map(|e| e.unwrap().path()).collect();
    // Public parts, in the order in which a reader needs them.
    let order = [
        "status",
        "library",
        "model",
        "volume",
        "session",
        "prompt_record",
        "prompts",
        "prompt_history",
        "options",
        "progress",
        "propagate",
        "job",
        "results",
    ];
    let place = |path: &Path| order.iter().position(|known| path.file_stem().unwrap() == *known);
    parts.retain(|path| place(path).is_some());
    parts.sort_by_key(|path| place(path));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for part in parts {
        builder = builder.with_src(part);
    }
    let mut written = Vec::new();
    builder.generate().unwrap().write(&mut written);
    let written = without_safety(&String::from_utf8(written).unwrap());
    let path = root.join("include/promem.h");
    if std::env::var_os("PROMEM_WRITE_HEADER").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &written).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == written, "include/promem.h is not what the sources say; `make header` writes it");
}
