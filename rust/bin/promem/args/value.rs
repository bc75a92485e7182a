//! Values of options that are lists of numbers.

use promem::geometry::{SliceIndex, SliceRange};
use promem::{Error, Result};
use std::str::FromStr;

/// Whole numbers separated by commas; `counts` are the allowed numbers of them, any for an empty slice.
pub fn whole_numbers(text: &str, counts: &[usize]) -> Result<Vec<usize>> {
    let parsed: std::result::Result<Vec<usize>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let counted = |list: &Vec<usize>| counts.is_empty() || counts.contains(&list.len());
    parsed.ok().filter(counted).ok_or_else(|| {
        let mut words: Vec<String> = vec![counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")];
        words.retain(|word| !word.is_empty());
        words.push("whole numbers separated by commas".into());
        Error::invalid(format!("expected {}", words.join(" ")))
    })
}

/// `--windows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows(pub Vec<usize>);

impl FromStr for Windows {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        whole_numbers(text, &[]).map(Self)
    }
}

/// `--range`: first and last slice, both included.
pub fn slice_range(text: &str) -> Result<SliceRange> {
    let ends = whole_numbers(text, &[2])?;
    SliceRange::new(SliceIndex(ends[0]), SliceIndex(ends[1]))
}

/// `--name`: an object and its name.
pub fn object_name(text: &str) -> Result<(u16, String)> {
    let parsed = text.split_once('=').and_then(|(label, name)| Some((label.trim().parse::<u16>().ok()?, name.trim())));
    match parsed {
        Some((label, name)) if label > 0 && !name.is_empty() => Ok((label, name.to_string())),
        _ => Err(Error::invalid("expected an object's number, `=` and its name, as in 1=liver")),
    }
}
