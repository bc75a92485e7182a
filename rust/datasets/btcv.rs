//! BTCV, "Beyond the Cranial Vault": `RawData/Training/{img/img0001.nii.gz,label/label0001.nii.gz}`.

use super::files::{self, Names};
use super::spec::{unknown_part, Classes, Kind};
use super::{Case, CaseEntry, Dataset};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

const NAMES: [&str; 13] = [
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic vein",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
];
/// MONAI's validation cases, and TransUNet's test cases.
const MONAI: [u16; 6] = [35, 36, 37, 38, 39, 40];
const TRANSUNET: [u16; 12] = [8, 22, 38, 36, 32, 2, 29, 3, 1, 4, 25, 35];

struct Btcv {
    cases: Vec<CaseEntry>,
    folder: PathBuf,
    names: Names,
    classes: Classes,
}

pub fn open(part: Option<&str>, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let chosen = |number: u16| match part {
        None | Some("all") => true,
        Some("monai-val") => MONAI.contains(&number),
        _ => TRANSUNET.contains(&number),
    };
    if part.is_some_and(|part| !["all", "monai-val", "transunet-test"].contains(&part)) {
        return Err(unknown_part(Kind::Btcv, part));
    }
    let places = ["RawData/Training", "Training", "."].map(|place| folder.join(place));
    let folder = places
        .into_iter()
        .find(|place| place.join("label").is_dir())
        .ok_or_else(|| Error::invalid(format!("there is no `RawData/Training/label` in `{}`", folder.display())))?;
    let number = |path: &Path| files::stem(path).strip_prefix("label").and_then(|digits| digits.parse::<u16>().ok());
    let numbers = files::list(&folder.join("label"))?.iter().filter_map(|path| number(path)).collect::<Vec<_>>();
    let cases = (numbers.into_iter().filter(|&n| chosen(n)))
        .map(|n| CaseEntry::new(format!("{n:04}"), format!("{n:04}")))
        .collect();
    let names = NAMES.iter().zip(1..).map(|(name, label)| (label, (*name).to_owned())).collect();
    Ok(Box::new(Btcv { cases, folder, names, classes }))
}

impl Dataset for Btcv {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let number = &self.cases[index].name;
        let image = self.folder.join(format!("img/img{number}.nii.gz"));
        let labels = self.folder.join(format!("label/label{number}.nii.gz"));
        files::read_pair(&image, &labels, &self.names, &self.classes)
    }
}
