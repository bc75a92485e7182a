//! The formats of data sets, and their names on the command line.

use crate::error::Error;

/// The folder layouts that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetFormat {
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

impl DatasetFormat {
    pub(super) const NAMES: [(&'static str, Self, &'static str); 8] = [
        ("m3d", Self::M3d, "m3d:NNNN or m3d:NNNN/train"),
        ("totalsegmentator", Self::TotalSegmentator, "totalsegmentator or totalsegmentator:test"),
        ("btcv", Self::Btcv, "btcv, btcv:monai-val or btcv:transunet-test"),
        ("chaos", Self::Chaos, "chaos:ct, chaos:t1-in, chaos:t1-out or chaos:t2"),
        ("uls23", Self::Uls23, "uls23:deeplesion3d, uls23:bone or uls23:pancreas"),
        ("decathlon", Self::Decathlon, "decathlon or decathlon:CHANNEL"),
        ("plain", Self::Plain, "plain"),
        ("pairs", Self::Pairs, "pairs:FILE.json"),
    ];

    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format, _)| *format == self).map_or("", |(name, _, _)| name)
    }

    /// The format with its parts, as written on the command line.
    fn usage(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format, _)| *format == self).map_or("", |(_, _, usage)| usage)
    }
}

/// The error for a part that the format does not have.
pub(super) fn unknown_part(format: DatasetFormat, part: Option<&str>) -> Error {
    let found = part.map_or("no part".into(), |part| format!("part `{part}`"));
    Error::invalid(format!("data set `{}`: {found}, expected {}", format.name(), format.usage()))
}
