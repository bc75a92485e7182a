//! Which series of a folder is read, and what else is there.
//!
//! In: a folder or a file. Out: the slices of one series. Files that hold no slices are set aside by name; where more
//! than one series is left, the user must choose.

use super::attributes::is_dicom;
use super::header::{self, Contents, ImageFile, Slice};
use super::stack;
use crate::error::{Error, ErrorKind, Result};
use crate::volume::encoding::Frames;
use crate::volume::scan::{ReadOptions, SeriesInfo, Uneven};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A folder's content.
pub(super) struct Folder {
    /// Image series, by number and UID.
    series: Vec<(SeriesInfo, Vec<ImageFile>)>,
    pub notes: Vec<String>,
    /// What was set aside, with its name.
    others: Vec<(PathBuf, String)>,
}

/// The series that was chosen.
pub(super) struct Chosen {
    pub slices: Vec<Slice>,
    pub modality: String,
    pub files: Vec<PathBuf>,
    /// All series of the folder.
    pub table: Vec<SeriesInfo>,
    pub notes: Vec<String>,
}

/// The series that `path` and the options name.
pub(super) fn choose(path: &Path, options: &ReadOptions) -> Result<Chosen> {
    if path.is_dir() {
        return Folder::read(path, Depth::SubFolders)?.choose(options);
    }
    let own = match header::read(path)? {
        Contents::Image(file) => file,
        Contents::Other(what) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("`{}`: {what}; expected an image of a CT, MR or PET series", path.display()),
            ));
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = Folder::read(folder, Depth::ThisFolder)?;
    match &options.series {
        Some(_) => folder.choose(options),
        None => folder.take(|info| info.uid == own.series.uid),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    ThisFolder,
    SubFolders,
}

impl Folder {
    fn read(folder: &Path, depth: Depth) -> Result<Self> {
        let mut by_uid: BTreeMap<String, Vec<ImageFile>> = BTreeMap::new();
        let mut others = Vec::new();
        for path in files(folder, depth)? {
            match header::read(&path) {
                Ok(Contents::Image(file)) => by_uid.entry(file.series.uid.clone()).or_default().push(file),
                Ok(Contents::Other(what)) => others.push((path, what)),
                Err(_) => others.push((path, "file that is no readable DICOM file".into())),
            }
        }
        // Overviews are set aside beside other images; alone they are what there is.
        if by_uid.values().flatten().any(|file| !file.localizer) {
            for files in by_uid.values_mut() {
                let (overviews, rest) = std::mem::take(files).into_iter().partition(|file| file.localizer);
                *files = rest;
                others.extend(overviews.into_iter().map(|file: ImageFile| (file.path, "localizer".to_string())));
            }
            by_uid.retain(|_, files| !files.is_empty());
        }
        let notes = tally(&others).map(|tally| format!("set aside {tally}")).into_iter().collect();
        Ok(Self { series: numbered(by_uid), notes, others })
    }

    fn choose(self, options: &ReadOptions) -> Result<Chosen> {
        if let Some(wanted) = &options.series {
            let found = |info: &SeriesInfo| info.uid == *wanted || info.number.to_string() == *wanted;
            if !self.series.iter().any(|(info, _)| found(info)) {
                let listed = self.listed();
                return Err(Error::invalid(format!("there is no series {wanted}; there are:\n{listed}")));
            }
            return self.take(found);
        }
        match self.series.len() {
            1 => self.take(|_| true),
            0 => Err(Error::new(ErrorKind::Unsupported, self.nothing())),
            count => Err(Error::invalid(format!(
                "{count} DICOM series, expected one; --series NUMBER or UID takes one, or name a file of it:\n{}",
                self.listed()
            ))),
        }
    }

    fn take(self, wanted: impl Fn(&SeriesInfo) -> bool) -> Result<Chosen> {
        let table: Vec<SeriesInfo> = self.series.iter().map(|(info, _)| info.clone()).collect();
        let Some((info, files)) = self.series.into_iter().find(|(info, _)| wanted(info)) else {
            return Err(Error::new(ErrorKind::Unsupported, "the folder has no image of the series"));
        };
        let mut notes = self.notes;
        if files.iter().any(|file| file.mosaic) {
            notes.push("its images are mosaics of slices side by side; dcm2niix separates them".into());
        }
        let paths = files.iter().map(|file| file.path.clone()).collect();
        let slices = files.into_iter().flat_map(|file| file.slices).collect();
        Ok(Chosen { slices, modality: info.modality, files: paths, table, notes })
    }

    fn nothing(&self) -> String {
        let expected = "expected a DICOM series, or a NIfTI, NRRD, MetaImage or MGH file";
        match self.others.first() {
            None => format!("a folder without DICOM files; {expected}"),
            Some((path, what)) => {
                let more =
                    if self.others.len() > 1 { format!(", and {} others", self.others.len() - 1) } else { "".into() };
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!("no image series: `{name}` is a {what}{more}; {expected}")
            }
        }
    }

    fn listed(&self) -> String {
        self.series.iter().map(|(info, _)| info.line()).collect::<Vec<_>>().join("\n")
    }
}

/// Series by their own numbers where these tell them apart, else by 1, 2, 3 ...
fn numbered(by_uid: BTreeMap<String, Vec<ImageFile>>) -> Vec<(SeriesInfo, Vec<ImageFile>)> {
    let mut series: Vec<(SeriesInfo, Vec<ImageFile>)> = by_uid
        .into_iter()
        .map(|(uid, files)| {
            let own = files[0].series.clone();
            let slices: Vec<Slice> = files.iter().flat_map(|file| file.slices.iter().cloned()).collect();
            let first = slices[0].clone();
            let (mut size, mut spacing, mut frames) =
                ([first.size[0], first.size[1], slices.len()], first.spacing.to_vec(), 1);
            // The pixels are not read for the table: duplicates count as frames there.
            let normal = first.normal();
            let mut at: Vec<f64> = slices.iter().map(|slice| stack::dot(slice.position, normal)).collect();
            at.sort_by(f64::total_cmp);
            at.dedup_by(|a, b| (*a - *b).abs() < 0.01);
            if slices.len() % at.len() == 0 {
                (size[2], frames) = (at.len(), slices.len() / at.len());
            }
            if let [first, .., last] = at[..] {
                spacing.push((last - first) / (at.len() - 1) as f64);
            }
            let (modality, description) = (own.modality, own.description);
            let number = own.number.unwrap_or(-1);
            let files_count = files.len();
            let info = SeriesInfo {
                number,
                uid,
                modality,
                description,
                size,
                spacing_mm: spacing,
                frames,
                files: files_count,
            };
            (info, files)
        })
        .collect();
    series.sort_by(|(a, _), (b, _)| (a.number, &a.uid).cmp(&(b.number, &b.uid)));
    let apart = series.windows(2).all(|pair| pair[0].0.number != pair[1].0.number);
    if !apart || series.iter().any(|(info, _)| info.number < 0) {
        for (n, (info, _)) in series.iter_mut().enumerate() {
            info.number = n as i64 + 1;
        }
    }
    series
}

/// How many of each kind.
fn tally(others: &[(PathBuf, String)]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, what) in others.iter().filter(|(_, what)| what != "DICOMDIR") {
        *counts.entry(what).or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    Some(words.join(", ")).filter(|words| !words.is_empty())
}

fn files(folder: &Path, depth: Depth) -> Result<Vec<PathBuf>> {
    /// Deeper than archives nest; links to a folder above end here.
    const DEEPEST: usize = 16;
    let (mut found, mut open) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, level)) = open.pop() {
        let failed = |e| Error::io(format!("cannot list the folder `{}`", folder.display()), e);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                if depth == Depth::SubFolders && level < DEEPEST && !path.is_symlink() {
                    open.push((path, level + 1));
                }
            } else if is_dicom(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// All series of a folder.
pub(super) fn table(folder: &Path) -> Result<(Vec<SeriesInfo>, Vec<String>)> {
    let folder = Folder::read(folder, Depth::SubFolders)?;
    if folder.series.is_empty() {
        return Err(Error::new(ErrorKind::Unsupported, folder.nothing()));
    }
    Ok((folder.series.into_iter().map(|(info, _)| info).collect(), folder.notes))
}

/// The slices of just these files.
pub(super) fn of_files(files: &[PathBuf]) -> Result<stack::Stack> {
    let mut slices = Vec::new();
    for path in files {
        match header::read(path)? {
            Contents::Image(file) => slices.extend(file.slices),
            Contents::Other(what) => {
                let what = format!("`{}`: {what}; expected a grey image", path.display());
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
        }
    }
    stack::places(slices, Frames::Only, Uneven::Refuse)?.read()
}
