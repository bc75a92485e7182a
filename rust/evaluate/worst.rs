//! Overlays of the objects with the lowest Dice, for each method on one data set.
//!
//! In: a case's masks and scores. Out: `FOLDER/overlays/DATASET/METHOD/CASE--TARGET.png`.

use crate::datasets::{BinaryMask, Case};
use crate::error::{Error, Result};
use crate::evaluate::method::Method;
use crate::evaluate::store::{file_name, ObjectResult, Store};
use crate::geometry::{Axis, SliceIndex};
use crate::output::{make_folder, Overwrite};
use crate::picture::comparison::comparison;
use crate::slices::intensity::Window;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The worst objects of each method on one data set.
pub struct WorstObjects<'a> {
    folder: PathBuf,
    /// Objects of each method.
    count: usize,
    window: Window,
    /// Dice and file name by method, the lowest first.
    ranked: BTreeMap<&'a str, Vec<(f64, String)>>,
}

/// The folder of a method's overlays on a data set.
pub fn overlay_folder(folder: &Path, dataset: &str, method: &str) -> PathBuf {
    folder.join("overlays").join(file_name(dataset)).join(file_name(method))
}

/// The file name of an object's overlay.
pub fn overlay_name(case: &str, target: &str) -> String {
    format!("{}--{}.png", file_name(case), file_name(target))
}

impl<'a> WorstObjects<'a> {
    /// Starts from the results that the store holds.
    pub fn open(store: &Store, dataset: &str, methods: &'a [Method], count: usize, window: Window) -> Result<Self> {
        let mut ranked: BTreeMap<&str, Vec<(f64, String)>> =
            methods.iter().map(|method| (method.name.as_str(), Vec::new())).collect();
        for result in store.all()?.iter().filter(|result| result.dataset == dataset) {
            if let Some(list) = ranked.get_mut(result.method.as_str()) {
                for object in &result.objects {
                    list.push((object.ranking_dice(), overlay_name(&result.case, &object.target)));
                }
            }
        }
        let folder = store.folder().join("overlays").join(file_name(dataset));
        let mut worst = Self { folder, count, window, ranked };
        worst.truncate();
        Ok(worst)
    }

    fn truncate(&mut self) {
        for list in self.ranked.values_mut() {
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            list.truncate(self.count);
        }
    }

    /// Writes overlays of a case's objects that are among the worst.
    pub fn offer(
        &mut self,
        method: &str,
        case_name: &str,
        case: &Case,
        axis: Axis,
        objects: &[ObjectResult],
        masks: &[BinaryMask],
    ) -> Result<()> {
        let Some(list) = self.ranked.get_mut(method) else { return Ok(()) };
        for object in objects {
            list.push((object.ranking_dice(), overlay_name(case_name, &object.target)));
        }
        self.truncate();
        let list = &self.ranked[method];
        let folder = self.folder.join(file_name(method));
        let range = self.window.resolve(&case.image);
        for ((object, target), mask) in objects.iter().zip(&case.targets).zip(masks) {
            let name = overlay_name(case_name, &object.target);
            if list.iter().any(|(_, kept)| *kept == name) {
                make_folder(&folder)?;
                let prompt = SliceIndex(object.task.prompt_slice);
                comparison(&case.image, &target.mask, mask, axis, range, prompt)
                    .write(&folder.join(name), Overwrite::Replace)?;
            }
        }
        Ok(())
    }

    /// Removes overlays of objects that are no longer among the worst.
    pub fn remove_others(&self) -> Result<()> {
        for (method, list) in &self.ranked {
            let folder = self.folder.join(file_name(method));
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                if name.ends_with(".png") && !list.iter().any(|(_, kept)| *kept == name) {
                    std::fs::remove_file(&path)
                        .map_err(|e| Error::io(format!("cannot remove `{}`", path.display()), e))?;
                }
            }
        }
        Ok(())
    }
}
