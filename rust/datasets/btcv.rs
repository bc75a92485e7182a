//! BTCV, "Beyond the Cranial Vault": `RawData/Training/{img/img0001.nii.gz,label/label0001.nii.gz}`.

use super::case::{CaseEntry, Dataset};
use super::classes::Classes;
use super::files;
use super::format::{unknown_part, DatasetFormat};
use super::paired::Paired;
use crate::error::{Error, Result};
use std::path::Path;

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
/// Validation cases of MONAI, and test cases of TransUNet.
const MONAI: [u16; 6] = [35, 36, 37, 38, 39, 40];
const TRANSUNET: [u16; 12] = [8, 22, 38, 36, 32, 2, 29, 3, 1, 4, 25, 35];

/// `folder` is the release's, or one that contains `img` and `label`.
pub fn open(part: Option<&str>, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let chosen = |number: u16| match part {
        None | Some("all") => true,
        Some("monai-val") => MONAI.contains(&number),
        _ => TRANSUNET.contains(&number),
    };
    if part.is_some_and(|part| !["all", "monai-val", "transunet-test"].contains(&part)) {
        return Err(unknown_part(DatasetFormat::Btcv, part));
    }
    let places = ["RawData/Training", "Training", "."].map(|place| folder.join(place));
    let folder = places
        .into_iter()
        .find(|place| place.join("label").is_dir())
        .ok_or_else(|| Error::invalid(format!("there is no `RawData/Training/label` in `{}`", folder.display())))?;
    let number = |path: &Path| files::stem(path).strip_prefix("label").and_then(|digits| digits.parse::<u16>().ok());
    let numbers = files::list(&folder.join("label"))?.iter().filter_map(|path| number(path)).collect::<Vec<_>>();
    let (mut cases, mut pairs) = (Vec::new(), Vec::new());
    for number in numbers.into_iter().filter(|&n| chosen(n)).map(|n| format!("{n:04}")) {
        let [image, labels] = ["img/img", "label/label"].map(|path| folder.join(format!("{path}{number}.nii.gz")));
        pairs.push((image, labels));
        cases.push(CaseEntry::new(number.clone(), number));
    }
    let names = NAMES.iter().zip(1..).map(|(name, label)| (label, (*name).to_owned())).collect();
    Ok(Box::new(Paired { cases, files: pairs, names, classes }))
}
