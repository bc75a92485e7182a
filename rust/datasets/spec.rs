//! Which data set, which part of it, and where: `KIND[:PART]=FOLDER`.

use super::{btcv, chaos, decathlon, m3d, pairs, plain, totalsegmentator, uls23, Dataset};
use crate::error::{Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The layouts that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    M3d,
    TotalSegmentator,
    Btcv,
    Chaos,
    Uls23,
    Decathlon,
    /// `images/` and `labels/`.
    Plain,
    /// A JSON file that lists scans and label maps.
    Pairs,
}

impl Kind {
    const NAMES: [(&'static str, Self, &'static str); 8] = [
        ("m3d", Self::M3d, "m3d:NNNN or m3d:NNNN/train"),
        ("totalsegmentator", Self::TotalSegmentator, "totalsegmentator or totalsegmentator:test"),
        ("btcv", Self::Btcv, "btcv, btcv:monai-val or btcv:transunet-test"),
        ("chaos", Self::Chaos, "chaos:ct, chaos:t1-in, chaos:t1-out or chaos:t2"),
        ("uls23", Self::Uls23, "uls23:deeplesion3d, uls23:bone or uls23:pancreas"),
        ("decathlon", Self::Decathlon, "decathlon or decathlon:CHANNEL"),
        ("plain", Self::Plain, "plain"),
        ("pairs", Self::Pairs, "pairs:FILE.json"),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind, _)| *kind == self).map_or("", |(name, _, _)| name)
    }

    /// How it is written.
    fn usage(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind, _)| *kind == self).map_or("", |(_, _, usage)| usage)
    }
}

/// A data set on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub kind: Kind,
    pub part: Option<String>,
    pub folder: PathBuf,
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(format!("data set `{text}`: {what}"));
        let (name, folder) =
            text.split_once('=').filter(|(_, f)| !f.is_empty()).ok_or_else(|| wrong("expected KIND[:PART]=FOLDER"))?;
        let (kind, part) = match name.split_once(':') {
            Some((kind, part)) if !part.is_empty() => (kind, Some(part.to_owned())),
            Some((kind, _)) => (kind, None),
            None => (name, None),
        };
        let kind =
            Kind::NAMES.iter().find(|(known, _, _)| *known == kind).map(|(_, kind, _)| *kind).ok_or_else(|| {
                let names: Vec<&str> = Kind::NAMES.iter().map(|(name, _, _)| *name).collect();
                wrong(&format!("unknown kind `{kind}`, expected one of {}", names.join(", ")))
            })?;
        Ok(Self { kind, part, folder: folder.into() })
    }
}

impl fmt::Display for Spec {
    /// The name in reports: kind and part; of a list, the list's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.part) {
            (Kind::Pairs, Some(file)) => {
                let stem = PathBuf::from(file).file_stem().map(|s| s.to_string_lossy().into_owned());
                f.write_str(&stem.unwrap_or_default())
            }
            // One command may look at several folders of these kinds.
            (Kind::Plain | Kind::Decathlon, part) => {
                let folder = self.folder.file_name().map_or("plain".into(), |name| name.to_string_lossy().into_owned());
                f.write_str(&folder)?;
                part.iter().try_for_each(|part| write!(f, "-{part}"))
            }
            (kind, Some(part)) => write!(f, "{}-{}", kind.name(), part.replace('/', "-")),
            (kind, None) => f.write_str(kind.name()),
        }
    }
}

/// Which structures count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes(Option<Vec<String>>);

impl Classes {
    /// Every structure.
    pub fn all() -> Self {
        Self(None)
    }

    /// Those named; capitals, `_` and the order of the words do not matter: `left kidney`, `kidney_left`.
    pub fn named<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(Some(names.into_iter().map(|name| normalised(name.as_ref())).collect()))
    }

    /// One class a line; `#` begins a comment.
    pub fn from_list(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
        Self::named(lines.filter(|line| !line.is_empty()))
    }

    pub fn hold(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(&normalised(name)))
    }

    /// How many are named; `None` where all count.
    pub fn count(&self) -> Option<usize> {
        self.0.as_ref().map(Vec::len)
    }
}

fn normalised(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut words: Vec<&str> = lower.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.join(" ")
}

/// Opens a data set: lists its cases.
///
/// # Errors
/// `InvalidInput` where the folder is not one of this kind, with what was looked for.
pub fn open(spec: &Spec, classes: &Classes) -> Result<Box<dyn Dataset>> {
    if !spec.folder.is_dir() {
        return Err(Error::invalid(format!(
            "data set `{}`: there is no folder `{}`",
            spec.kind.name(),
            spec.folder.display()
        )));
    }
    let (folder, classes) = (spec.folder.as_path(), classes.clone());
    let part = spec.part.as_deref();
    let dataset: Result<Box<dyn Dataset>> = match spec.kind {
        Kind::M3d => m3d::open(needed(spec)?, folder, classes),
        Kind::TotalSegmentator => totalsegmentator::open(part, folder, classes),
        Kind::Btcv => btcv::open(part, folder, classes),
        Kind::Chaos => chaos::open(needed(spec)?, folder, classes),
        Kind::Uls23 => uls23::open(needed(spec)?, folder, classes),
        Kind::Decathlon => decathlon::open(part, folder, classes),
        Kind::Plain => plain::open(folder, classes),
        Kind::Pairs => pairs::open(needed(spec)?.as_ref(), folder, classes),
    };
    let dataset = dataset.map_err(|e| e.context(format!("data set `{spec}`")))?;
    if dataset.cases().is_empty() {
        return Err(Error::invalid(format!("data set `{spec}`: no case in `{}`", spec.folder.display())));
    }
    Ok(dataset)
}

fn needed(spec: &Spec) -> Result<&str> {
    spec.part.as_deref().ok_or_else(|| unknown_part(spec.kind, None))
}

/// The message of a part that the kind does not have.
pub(super) fn unknown_part(kind: Kind, part: Option<&str>) -> Error {
    let found = part.map_or("no part".into(), |part| format!("part `{part}`"));
    Error::invalid(format!("data set `{}`: {found}, expected {}", kind.name(), kind.usage()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_kind_part_and_folder() {
        let spec: Spec = "m3d:0011=/data/M3D_Seg".parse().unwrap();
        assert_eq!((spec.kind, spec.part.as_deref()), (Kind::M3d, Some("0011")));
        assert_eq!(spec.to_string(), "m3d-0011");
        let spec: Spec = "pairs:lists/chaos_t2.json=/a=b".parse().unwrap();
        assert_eq!((spec.to_string().as_str(), spec.folder), ("chaos_t2", PathBuf::from("/a=b")));
        assert_eq!("plain=/data/knees".parse::<Spec>().unwrap().to_string(), "knees");
        for (text, message) in [
            ("chaos", "expected KIND[:PART]=FOLDER"),
            ("btcv=", "expected KIND[:PART]=FOLDER"),
            ("choas:t2=/x", "unknown kind `choas`, expected one of m3d"),
        ] {
            let error = text.parse::<Spec>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn class_names_match_in_any_order_and_spelling() {
        let classes = Classes::from_list("kidney_left # v1\n\n# none\nLiver\n");
        assert!(classes.hold("left kidney") && classes.hold("Kidney Left") && classes.hold("liver"));
        assert!(!classes.hold("right kidney"));
        assert_eq!(classes.count(), Some(2));
        assert!(Classes::all().hold("anything"));
    }
}
