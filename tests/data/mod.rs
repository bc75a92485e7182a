//! The real scans that verify the program; they are not part of the repository.

use std::path::{Path, PathBuf};

/// `PROMEM_DATA`, else `../shared/data`; `None` with a message where it is absent.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("PROMEM_DATA").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no folder {} with real scans (set PROMEM_DATA)", folder.display());
    None
}

/// Scans and their label maps.
#[allow(dead_code)]
pub fn scans(data: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for case in [1, 2, 3, 5, 8, 10, 13, 15] {
        pairs.push((format!("mr_chaos_t2/image_{case}.nii.gz"), format!("mr_chaos_t2/label_{case}.nii.gz")));
    }
    for folder in ["ct_spleen_msd_crop", "ct_totalseg_torso", "mr_totalseg_torso_small"] {
        pairs.push((format!("{folder}/image.nii.gz"), format!("{folder}/label.nii.gz")));
    }
    for case in ["brain1", "brain2", "breast1"] {
        let at = |kind: &str| format!("mr_tumour_pyradiomics/{case}_{kind}.nrrd");
        pairs.push((at("image"), at("label")));
    }
    for (image, label) in [
        ("mr_spinalcord_sct/t1w.nii.gz", "mr_spinalcord_sct/t1w_seg-manual.nii.gz"),
        ("mr_spinalcord_sct/t2.nii.gz", "mr_spinalcord_sct/t2_seg-manual.nii.gz"),
        ("mr_spinalcord_sct/t2s_uncropped.nii.gz", "mr_spinalcord_sct/t2s_uncropped_gmseg_manual.nii.gz"),
        ("mr_brain_itksnap/MRIcrop-orig.converted.nii.gz", "mr_brain_itksnap/MRIcrop-seg.converted.nii.gz"),
        ("slicer_ctchest_segnrrd/CTChest4.nrrd", "slicer_ctchest_segnrrd/Segmentation.seg.nrrd"),
    ] {
        pairs.push((image.into(), label.into()));
    }
    let hippocampus = data.join("mr_hippocampus");
    if let Ok(images) = std::fs::read_dir(hippocampus.join("images")) {
        let mut names: Vec<String> = images.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        for name in names.iter().filter(|name| hippocampus.join("labels").join(name).exists()) {
            pairs.push((format!("mr_hippocampus/images/{name}"), format!("mr_hippocampus/labels/{name}")));
        }
    }
    pairs.into_iter().map(|(image, label)| (data.join(image), data.join(label))).collect()
}
