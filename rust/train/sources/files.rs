//! Which files of a folder are scans, which are masks of which scan, and what labels are called.
//!
//! `NAME_mask`, `NAME_label`, `NAME_seg`, `NAME_lesion` and `NAME_brain` hold the masks of the scan `NAME`, or of all
//! scans `NAME_...` where no scan has that name.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ENDINGS: [&str; 3] = [".nii.gz", ".nii", ".nrrd"];
const MASKS: [&str; 5] = ["_mask", "_label", "_seg", "_lesion", "_brain"];

/// A scan, and the files with its masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanFiles {
    pub image: PathBuf,
    pub masks: Vec<PathBuf>,
}

/// A volume's name without its folder and ending.
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).map_or(name.clone(), str::to_owned)
}

/// The volumes of folders, by name.
///
/// # Errors
/// `Io` for a folder that cannot be read, `InvalidInput` for one without a volume.
pub fn volumes(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in folders {
        let found = with_ending(folder, &ENDINGS)?;
        if found.is_empty() {
            return Err(Error::invalid(format!(
                "`{}`: no volume, expected files *.nii.gz, *.nii or *.nrrd",
                folder.display()
            )));
        }
        all.extend(found);
    }
    Ok(all)
}

/// The scans of folders, with their masks.
pub fn scans(folders: &[PathBuf]) -> Result<Vec<ScanFiles>> {
    let mut all = Vec::new();
    for folder in folders {
        let (masks, images): (Vec<PathBuf>, Vec<PathBuf>) =
            volumes(std::slice::from_ref(folder))?.into_iter().partition(|path| scan_of(&stem(path)).is_some());
        let names: Vec<String> = images.iter().map(|path| stem(path)).collect();
        let of_image = |name: &str| {
            let belongs = |mask: &&PathBuf| {
                let own = stem(mask);
                let of = scan_of(&own).unwrap_or_default();
                of == name || !names.iter().any(|n| n == of) && name.starts_with(&format!("{of}_"))
            };
            masks.iter().filter(belongs).cloned().collect()
        };
        all.extend(images.iter().map(|image| ScanFiles { masks: of_image(&stem(image)), image: image.clone() }));
    }
    Ok(all)
}

fn scan_of(mask: &str) -> Option<&str> {
    MASKS.iter().find_map(|ending| mask.strip_suffix(ending))
}

/// What the labels of a label map are called: `"labels": {"1": "liver"}` of the JSON file beside it whose name begins
/// the label map's. Without such a file labels have no names.
pub fn label_names(path: &Path) -> Result<BTreeMap<u16, String>> {
    let (own, folder) = (stem(path), path.parent().unwrap_or(Path::new(".")));
    let named = |file: &PathBuf| file.file_stem().is_some_and(|name| own.starts_with(&*name.to_string_lossy()));
    let lists = with_ending(folder, &[".json"])?;
    let Some(list) = lists.into_iter().filter(named).max_by_key(|file| file.as_os_str().len()) else {
        return Ok(BTreeMap::new());
    };
    #[derive(serde::Deserialize)]
    struct List {
        labels: BTreeMap<u16, String>,
    }
    let shown = list.display();
    let text = std::fs::read_to_string(&list).map_err(|e| Error::io(format!("cannot read `{shown}`"), e))?;
    let list: List = serde_json::from_str(&text).map_err(|e| {
        Error::invalid(format!("`{shown}`: expected {{\"labels\": {{\"1\": \"name\"}}}}")).with_source(e)
    })?;
    Ok(list.labels)
}

fn with_ending(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(format!("cannot read the folder `{}`", folder.display()), e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files
            .iter()
            .for_each(|name| std::fs::write(folder.path().join(name), b"{\"labels\": {\"1\": \"liver\"}}").unwrap());
        folder
    }

    #[test]
    fn masks_belong_to_the_scan_of_their_name_or_to_all_scans_that_begin_so() {
        let folder = folder(&[
            "a_ct.nii.gz",
            "a_ct_mask.nii.gz",
            "a_pet.nii.gz",
            "b_t1.nrrd",
            "b_flair.nii",
            "b_lesion.nii.gz",
            "c.nii",
            "x.txt",
        ]);
        let names: Vec<(String, Vec<String>)> = (scans(&[folder.path().to_owned()]).unwrap().iter())
            .map(|scan| (stem(&scan.image), scan.masks.iter().map(|mask| stem(mask)).collect()))
            .collect();
        let expected = [
            ("a_ct", vec!["a_ct_mask"]),
            ("a_pet", vec![]),
            ("b_flair", vec!["b_lesion"]),
            ("b_t1", vec!["b_lesion"]),
            ("c", vec![]),
        ];
        let expected: Vec<(String, Vec<String>)> =
            expected.iter().map(|(n, m)| (n.to_string(), m.iter().map(|m| m.to_string()).collect())).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn labels_have_the_names_of_the_list_beside_them_and_a_folder_without_volumes_is_refused() {
        let folder = folder(&["map_01.nii.gz", "map.json", "other.nii.gz"]);
        let names = |name: &str| label_names(&folder.path().join(name)).unwrap();
        assert_eq!(names("map_01.nii.gz").get(&1).map(String::as_str), Some("liver"));
        assert!(names("other.nii.gz").is_empty());
        let empty = tempfile::tempdir().unwrap();
        let error = volumes(&[empty.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no volume, expected files *.nii.gz"), "{error}");
        assert!(volumes(&["/nowhere".into()]).unwrap_err().to_string().contains("/nowhere"));
    }
}
