//! Atomic file writing: a file appears whole or not at all.
//!
//! In: a path and its content. Out: a file. The bytes go to a temporary file beside the target, reach the disk, and
//! take the target's name in one step. Knows nothing of what is written.

use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
#[cfg(unix)]
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What happens to a file that already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Existing files are kept; writing is an error.
    Refuse,
    /// Existing files are replaced.
    Replace,
}

/// Refuses a target that cannot be written, before any work is done for it.
pub fn check(path: &Path, overwrite: Overwrite) -> Result<()> {
    let shown = path.display();
    let folder = folder(path);
    if path.file_name().is_none() || path.is_dir() {
        return Err(Error::invalid(format!("output `{shown}`: is a folder, expected a file name")));
    }
    if !folder.is_dir() {
        return Err(Error::invalid(format!("output `{shown}`: there is no folder `{}`", folder.display())));
    }
    if overwrite == Overwrite::Refuse && path.exists() {
        return Err(Error::invalid(format!("output `{shown}` exists already; --force overwrites it")));
    }
    Ok(())
}

/// Refuses outputs that would replace an input or each other, however their paths are spelled: through links, `..`, or
/// as another hard link of the same file.
pub fn check_distinct(outputs: &[&Path], inputs: &[PathBuf]) -> Result<()> {
    let known: Vec<(&PathBuf, Identity)> = inputs.iter().map(|path| (path, Identity::of(path))).collect();
    for (n, output) in outputs.iter().enumerate() {
        let identity = Identity::of(output);
        if let Some((input, _)) = known.iter().find(|(_, input)| identity.is_same(input)) {
            return Err(Error::invalid(format!(
                "output `{}`: it is the input `{}`, which is never replaced; expected another file name",
                output.display(),
                input.display()
            )));
        }
        if outputs[..n].iter().any(|other| identity.is_same(&Identity::of(other))) {
            return Err(Error::invalid(format!("output `{}`: it is named twice", output.display())));
        }
    }
    Ok(())
}

/// What makes two paths one file.
struct Identity {
    path: PathBuf,
    /// Device and number of the file, if it exists.
    #[cfg(unix)]
    file: Option<(u64, u64)>,
}

impl Identity {
    fn of(path: &Path) -> Self {
        let beside = || {
            let folder = folder(path).canonicalize().unwrap_or_else(|_| folder(path).to_owned());
            folder.join(path.file_name().unwrap_or_default())
        };
        Self {
            path: path.canonicalize().unwrap_or_else(|_| beside()),
            #[cfg(unix)]
            file: std::fs::metadata(path).ok().map(|data| {
                use std::os::unix::fs::MetadataExt;
                (data.dev(), data.ino())
            }),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        #[cfg(unix)]
        if self.file.is_some() && self.file == other.file {
            return true;
        }
        self.path == other.path
    }
}

/// Writes a file through `fill`; after an error the target is as it was.
pub fn write(path: &Path, overwrite: Overwrite, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    check(path, overwrite)?;
    let failed = |e: std::io::Error| Error::io(format!("cannot write `{}`", path.display()), e);
    let mut temporary = temporary_in(folder(path)).map_err(failed)?;
    let mut buffered = BufWriter::new(temporary.as_file_mut());
    fill(&mut buffered)?;
    buffered.flush().map_err(failed)?;
    drop(buffered);
    temporary.as_file().sync_all().map_err(failed)?;
    match overwrite {
        Overwrite::Replace => temporary.persist(path).map_err(|e| failed(e.error))?,
        // Another process may have made the file since the check.
        Overwrite::Refuse => temporary.persist_noclobber(path).map_err(|e| failed(e.error))?,
    };
    // The new name is on the disk when the folder is. Windows cannot open folders and does not need it.
    #[cfg(unix)]
    File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(())
}

/// Writes `bytes` as a file.
pub fn write_bytes(path: &Path, overwrite: Overwrite, bytes: &[u8]) -> Result<()> {
    write(path, overwrite, |out| {
        out.write_all(bytes).map_err(|e| Error::io(format!("cannot write `{}`", path.display()), e))
    })
}

/// Writes `value` as an indented JSON file.
pub fn write_json(path: &Path, overwrite: Overwrite, value: &impl Serialize) -> Result<()> {
    write(path, overwrite, |out| {
        serde_json::to_writer_pretty(out, value)
            .map_err(|e| Error::new(ErrorKind::Io, format!("cannot write `{}`", path.display())).with_source(e))
    })
}

/// Makes a folder and those above it; one that exists is kept.
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io(format!("cannot make the folder `{}`", path.display()), e))
}

fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".promem-").suffix(".part");
    // A temporary file is private by default; this one becomes an ordinary file. The umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.nii");
        std::fs::write(&path, "old").unwrap();
        let outcome = write(&path, Overwrite::Replace, |out| {
            out.write_all(b"half").unwrap();
            Err(Error::invalid("stop"))
        });
        assert!(outcome.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["mask.nii"]);
    }

    #[test]
    fn existing_file_is_kept_unless_replacing_is_requested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.nii");
        let new = |out: &mut dyn Write| out.write_all(b"new").map_err(|e| Error::io("write", e));
        write(&path, Overwrite::Refuse, new).unwrap();
        let error = write(&path, Overwrite::Refuse, new).unwrap_err();
        assert!(error.to_string().contains("exists already; --force"), "{error}");
        write(&path, Overwrite::Replace, new).unwrap();
    }

    #[test]
    fn an_output_is_never_an_input_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("scan.nii"), "scan").unwrap();
        std::fs::hard_link(at("scan.nii"), at("hard.nii")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(at("scan.nii"), at("soft.nii")).unwrap();
        let inputs = [at("scan.nii")];
        for name in ["scan.nii", "sub/../scan.nii", "./scan.nii", "hard.nii", "soft.nii"] {
            if at(name).exists() {
                let error = check_distinct(&[&at(name)], &inputs).unwrap_err().to_string();
                assert!(error.contains("it is the input") && error.contains(name), "{error}");
            }
        }
        assert!(check_distinct(&[&at("other.nii"), &at("sub/scan.nii")], &inputs).is_ok());
        let twice = check_distinct(&[&at("a.png"), &at("sub/../a.png")], &inputs).unwrap_err().to_string();
        assert!(twice.contains("named twice"), "{twice}");
    }

    #[test]
    fn missing_folder_is_named_in_the_error() {
        let error = check(Path::new("no/such/folder/mask.nii"), Overwrite::Refuse).unwrap_err();
        assert!(error.to_string().contains("there is no folder `no/such/folder`"), "{error}");
    }
}
