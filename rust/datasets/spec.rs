//! Which data set, which part of it, and its folder: `FORMAT[:PART]=FOLDER`.

use super::format::DatasetFormat;
use crate::error::{Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A data set as it is named on the command line: `FORMAT[:PART]=FOLDER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub format: DatasetFormat,
    pub part: Option<String>,
    pub folder: PathBuf,
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(format!("data set `{text}`: {what}"));
        let (name, folder) = text
            .split_once('=')
            .filter(|(_, f)| !f.is_empty())
            .ok_or_else(|| wrong("expected FORMAT[:PART]=FOLDER"))?;
        let (format, part) = match name.split_once(':') {
            Some((format, part)) if !part.is_empty() => (format, Some(part.to_owned())),
            Some((format, _)) => (format, None),
            None => (name, None),
        };
        let format = DatasetFormat::NAMES
            .iter()
            .find(|(known, _, _)| *known == format)
            .map(|(_, format, _)| *format)
            .ok_or_else(|| {
            let names: Vec<&str> = DatasetFormat::NAMES.iter().map(|(name, _, _)| *name).collect();
            wrong(&format!("unknown format `{format}`, expected one of {}", names.join(", ")))
        })?;
        Ok(Self { format, part, folder: folder.into() })
    }
}

impl fmt::Display for Spec {
    /// The name in reports: format and part; the file's name of a JSON list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.format, &self.part) {
            (DatasetFormat::Pairs, Some(file)) => {
                let stem = PathBuf::from(file).file_stem().map(|s| s.to_string_lossy().into_owned());
                f.write_str(&stem.unwrap_or_default())
            }
            // One command may read several folders of these formats.
            (DatasetFormat::Plain | DatasetFormat::Decathlon, part) => {
                let folder = self.folder.file_name().map_or("plain".into(), |name| name.to_string_lossy().into_owned());
                f.write_str(&folder)?;
                part.iter().try_for_each(|part| write!(f, "-{part}"))
            }
            (format, Some(part)) => write!(f, "{}-{}", format.name(), part.replace('/', "-")),
            (format, None) => f.write_str(format.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_is_format_part_and_folder() {
        let spec: Spec = "m3d:0011=/data/M3D_Seg".parse().unwrap();
        assert_eq!((spec.format, spec.part.as_deref()), (DatasetFormat::M3d, Some("0011")));
        assert_eq!(spec.to_string(), "m3d-0011");
        let spec: Spec = "pairs:lists/chaos_t2.json=/a=b".parse().unwrap();
        assert_eq!((spec.to_string().as_str(), spec.folder), ("chaos_t2", PathBuf::from("/a=b")));
        assert_eq!("plain=/data/knees".parse::<Spec>().unwrap().to_string(), "knees");
        for (text, message) in [
            ("chaos", "expected FORMAT[:PART]=FOLDER"),
            ("btcv=", "expected FORMAT[:PART]=FOLDER"),
            ("choas:t2=/x", "unknown format `choas`, expected one of m3d"),
        ] {
            let error = text.parse::<Spec>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
