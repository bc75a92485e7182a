//! The arrows between modules point one way, and no files of a folder import each other in a circle.

mod imports;

use imports::{circles, imports, module_of, Files};
use std::path::{Path, PathBuf};

/// Each may use those before it.
const ORDER: [&str; 12] = [
    "error", "output", "geometry", "volume", "slices", "datasets", "picture", "prompt", "model", "tracking", "session",
    "top",
];
/// Use everything above, but not each other.
const TOP: [&str; 3] = ["capi", "train", "evaluate"];
/// Not before in the order only, but not known at all: what a module has never heard of.
const STRANGERS: [(&str, &[&str]); 3] = [
    ("model", &["crate::geometry", "crate::volume", "crate::slices", "crate::prompt"]),
    ("tracking/candidates", &["tch::", "crate::model"]),
    ("slices", &["tch::", "std::fs"]),
];
/// Where `unsafe` may stand: the C boundary, a caller's buffer, loading libtorch's CUDA half, the allocator's settings,
/// and the CPU's kernels.
const UNSAFE: [&str; 5] = ["capi/", "volume/raw.rs", "session/cuda.rs", "session/allocator.rs", "model/cpu/"];

fn rank(module: &str) -> Option<usize> {
    if TOP.contains(&module) {
        return Some(ORDER.len() - 1);
    }
    ORDER.iter().position(|known| *known == module)
}

/// Faults of one file, `path` relative to `rust/`.
fn faults(path: &str, text: &str) -> Vec<String> {
    let module = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    let free = path.starts_with("bin/") || module == "lib";
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        let mut fault = |what: String| found.push(format!("rust/{path}:{}: {what}", number + 1));
        if code.contains("unsafe ") && !code.contains("unsafe_") && !UNSAFE.iter().any(|place| path.starts_with(place))
        {
            fault("`unsafe` outside its places".into());
        }
        if free {
            continue;
        }
        for used in code.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let (Some(from), Some(to)) = (rank(module), rank(&used)) else { continue };
            let sideways = TOP.contains(&module) && TOP.contains(&used.as_str()) && module != used;
            if to > from || sideways {
                fault(format!("`{module}` uses `{used}`"));
            }
        }
        for (place, names) in STRANGERS {
            if path.starts_with(place) {
                for name in names.iter().filter(|name| code.contains(**name)) {
                    fault(format!("`{place}` has never heard of `{name}`"));
                }
            }
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn modules_use_only_those_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust");
    let files = sources(&root);
    assert!(files.len() > 30, "only {} files were found", files.len());
    let all: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let relative = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            faults(&relative, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn every_top_module_is_known_to_this_test() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rust/lib.rs")).unwrap();
    for line in text.lines() {
        if let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            assert!(rank(module).is_some(), "module `{module}` has no place in the order");
        }
    }
}

#[test]
fn planted_faults_are_found() {
    assert_eq!(faults("volume/nifti.rs", "use crate::session::Session;").len(), 1);
    assert_eq!(faults("tracking/candidates.rs", "let x = tch::Tensor::new();").len(), 1);
    assert_eq!(faults("model/sam2.rs", "fn f(v: crate::volume::LabelMap) {}").len(), 1);
    assert_eq!(faults("train/run.rs", "use crate::evaluate::metrics;").len(), 1);
    assert_eq!(faults("slices/mod.rs", "unsafe { *p }").len(), 1);
    assert_eq!(faults("session/run.rs", "use crate::tracking::Bank; // not crate::capi").len(), 0);
}

/// Every source file by its module path.
fn files() -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust");
    (sources(&root).iter())
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            (module_of(&relative), std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let found = circles(&imports(&files()));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_planted_circle_inside_a_folder_is_found() {
    let planted = |texts: &[(&str, &str)]| {
        let files = texts.iter().map(|(path, text)| (module_of(path), text.to_string())).collect();
        circles(&imports(&files))
    };
    let table = ("a/mod.rs", "mod b;\nmod c;\npub use b::{B, Other as Alias};\npub use c::C;\n");
    let direct = planted(&[table, ("a/b.rs", "use super::c::C;"), ("a/c.rs", "use crate::a::b::B;")]);
    assert_eq!(direct, ["a/b uses a/c uses a/b"]);
    // Through a re-export, a braced list, and a path in the code.
    let hidden = planted(&[table, ("a/b.rs", "use crate::a::{C};"), ("a/c.rs", "fn f() { super::b::make(); }")]);
    assert_eq!(hidden, ["a/b uses a/c uses a/b"]);
    let one_way = [table, ("a/b.rs", "use super::c::C;"), ("a/c.rs", "// use super::b::B;\nfn f() {}")];
    assert!(planted(&one_way).is_empty());
    let in_tests =
        [table, ("a/b.rs", "use super::c::C;"), ("a/c.rs", "#[cfg(test)]\nmod tests { use super::super::b; }")];
    assert!(planted(&in_tests).is_empty());
    // The planted circle among the real files.
    let mut real = files();
    real.get_mut(&module_of("tracking/options.rs")).unwrap().insert_str(0, "use crate::tracking::beam::Beam;\n");
    assert!(circles(&imports(&real)).iter().any(|circle| circle.contains("tracking/options")));
}
