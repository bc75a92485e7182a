//! Which file imports which, inside one folder of `rust/`, and circles among them.
//!
//! An import of what `mod.rs` re-exports counts as one of the file that defines it. Declarations (`mod x;`) and
//! re-exports (`pub use`) of `mod.rs` are no imports: they are the folder's table of contents. Test modules are left out.

use std::collections::{BTreeMap, BTreeSet};

/// Files by their module path (`["session", "track"]` for `session/track.rs` as well as `session/track/mod.rs`), with
/// their text.
pub type Files = BTreeMap<Vec<String>, String>;

/// The module path of a file, `path` relative to `rust/`.
pub fn module_of(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "main" | "lib")) {
        parts.pop();
    }
    parts
}

/// The code of a file without comments and test modules.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    text.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// All paths of a use tree: `a::{b, c::{d, e as f}}` is `a::b`, `a::c::d` and `a::c::e`.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let plain = tree.split(" as ").next().unwrap_or(tree);
        return vec![plain.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()];
    };
    let prefix: Vec<String> =
        tree[..open].split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[begin..]);
    (parts.into_iter().filter(|part| !part.trim().is_empty()))
        .flat_map(leaves)
        .map(|leaf| prefix.iter().cloned().chain(leaf).collect())
        .collect()
}

/// Use trees of a file: `(is it a re-export, the tree)`, and paths in its code that begin with `crate::` or `super::`.
fn trees(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut rest = code.to_owned();
    let mut without_uses = String::new();
    while let Some(at) = rest.find("use ") {
        let starts_word = at == 0 || rest[..at].ends_with(|c: char| c.is_whitespace() || c == ')');
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        if starts_word {
            let line = rest[..at].rsplit('\n').next().unwrap_or("");
            found.push((line.trim_start().starts_with("pub"), rest[at + 4..end].to_owned()));
            without_uses.push_str(&rest[..at]);
            rest = rest[end..].to_owned();
        } else {
            without_uses.push_str(&rest[..at + 4]);
            rest = rest[at + 4..].to_owned();
        }
    }
    without_uses.push_str(&rest);
    for start in ["crate::", "super::"] {
        for part in without_uses.split(start).skip(1) {
            let path: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            found.push((false, format!("{start}{path}")));
        }
    }
    found
}

/// A path as seen from a module, from the crate's root; `None` for other crates.
fn absolute(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let first = path.first()?.as_str();
    match first {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some(module.iter().cloned().chain(path[1..].iter().cloned()).collect()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let base = module.len().checked_sub(up)?;
            Some(module[..base].iter().cloned().chain(path[up..].iter().cloned()).collect())
        }
        _ => None,
    }
}

/// The file that a path from the crate's root names: through re-exports to where it is defined.
fn resolve(path: &[String], files: &Files, re_exports: &BTreeMap<Vec<String>, Vec<String>>) -> Option<Vec<String>> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let longest = (1..=path.len()).rev().find(|&n| files.contains_key(&path[..n]))?;
        if longest == path.len() {
            return Some(path);
        }
        match re_exports.get(&path[..longest + 1]) {
            Some(defined) => path = defined.iter().cloned().chain(path[longest + 1..].iter().cloned()).collect(),
            None => return Some(path[..longest].to_vec()),
        }
    }
    None
}

/// What each file imports of the files of its own top folder.
pub fn imports(files: &Files) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let uses: BTreeMap<&Vec<String>, Vec<(bool, Vec<String>)>> = (files.iter())
        .map(|(module, text)| {
            let all = trees(&code(text)).into_iter().flat_map(|(public, tree)| {
                leaves(&tree).into_iter().map(move |leaf| (public, leaf)).collect::<Vec<_>>()
            });
            let relative = all.filter_map(|(public, leaf)| {
                let child = leaf.first().is_some_and(|first| {
                    files.contains_key(&module.iter().cloned().chain([first.clone()]).collect::<Vec<_>>())
                });
                let path = match child {
                    true => Some(module.iter().cloned().chain(leaf).collect()),
                    false => absolute(&leaf, module),
                };
                path.map(|path| (public, path))
            });
            (module, relative.collect())
        })
        .collect();
    let mut re_exports = BTreeMap::new();
    for (module, uses) in &uses {
        for (_, path) in uses.iter().filter(|(public, _)| *public) {
            let name = path.last().cloned().unwrap_or_default();
            re_exports.insert(module.iter().cloned().chain([name]).collect::<Vec<_>>(), path.clone());
        }
    }
    (uses.iter())
        .map(|(module, uses)| {
            let targets = (uses.iter().filter(|(public, _)| !public))
                .filter_map(|(_, path)| resolve(path, files, &re_exports))
                .filter(|target| target != *module && target.first() == module.first())
                .collect();
            ((*module).clone(), targets)
        })
        .collect()
}

/// One circle of each group of files that import each other, as text.
pub fn circles(imports: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Vec<String> {
    let mut circles = Vec::new();
    let mut reported: BTreeSet<&Vec<String>> = BTreeSet::new();
    for begin in imports.keys().filter(|module| !module.is_empty()) {
        if reported.contains(begin) {
            continue;
        }
        // The shortest way from a file back to itself.
        let mut before: BTreeMap<&Vec<String>, &Vec<String>> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([begin]);
        let closed = 'search: loop {
            let Some(at) = queue.pop_front() else { break None };
            for next in imports.get(at).into_iter().flatten() {
                if next == begin {
                    break 'search Some(at);
                }
                if !before.contains_key(next) {
                    before.insert(next, at);
                    queue.push_back(next);
                }
            }
        };
        let Some(mut at) = closed else { continue };
        let mut circle = vec![begin.join("/")];
        while at != begin {
            circle.insert(1, at.join("/"));
            reported.insert(at);
            at = before[at];
        }
        reported.insert(begin);
        circle.push(begin.join("/"));
        circles.push(circle.join(" uses "));
    }
    circles
}
