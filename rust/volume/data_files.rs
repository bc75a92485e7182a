//! The data files that a detached header names, in NRRD's and MetaImage's common ways.
//!
//! In: the value of the header's field, and the lines behind it. Out: file names as seen from the header's folder.

use crate::error::{Error, ErrorKind, Result};

/// More files than any scan has.
const MOST: i64 = 1 << 20;

/// One name; `LIST` with a name a line behind it; or a pattern such as `%03d.raw` with first, last and step.
pub(super) fn names(value: &str, listed: &[String]) -> Result<Vec<String>> {
    let bad = |expected: &str| Err(Error::new(ErrorKind::Format, format!("data file `{value}`; expected {expected}")));
    if value == "LIST" || value.starts_with("LIST ") {
        return match listed.is_empty() {
            true => bad("a file name a line behind it"),
            false => Ok(listed.to_vec()),
        };
    }
    let words: Vec<&str> = value.split_whitespace().collect();
    let numbers: Vec<i64> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
    if words.len() < 4 || !words[0].contains('%') || numbers.len() + 1 != words.len() {
        return Ok(vec![value.to_string()]);
    }
    let (first, last, step) = (numbers[0], numbers[1], numbers[2]);
    let count = if step == 0 { 0 } else { (last.saturating_sub(first) / step).saturating_add(1) };
    if !(1..=MOST).contains(&count) {
        return bad("first, last and step of file numbers");
    }
    let names = (0..count).map(|n| numbered(words[0], first + n * step)).collect::<Option<Vec<_>>>();
    names.map_or_else(|| bad("a pattern with one number, as in %03d"), Ok)
}

/// `%d` or `%03d` replaced by a number.
fn numbered(pattern: &str, number: i64) -> Option<String> {
    let (before, rest) = pattern.split_once('%')?;
    let (width, after) = rest.split_once('d')?;
    let zeros = width.starts_with('0');
    let width: usize = if width.is_empty() { 0 } else { width.parse().ok().filter(|&w| w < 20)? };
    Some(match zeros {
        true => format!("{before}{number:0width$}{after}"),
        false => format!("{before}{number:width$}{after}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_a_pattern_as_printf_does() {
        assert_eq!(names("s%03d.raw 8 12 2", &[]).unwrap(), ["s008.raw", "s010.raw", "s012.raw"]);
        assert_eq!(names("s%d.raw 3 1 -1 2", &[]).unwrap(), ["s3.raw", "s2.raw", "s1.raw"]);
        assert!(names("s%d.raw 1 3 0", &[]).is_err());
    }

    #[test]
    fn a_name_may_have_spaces_and_a_list_needs_names() {
        assert_eq!(names("my scan.raw", &[]).unwrap(), ["my scan.raw"]);
        assert_eq!(names("LIST 2", &["a".into(), "b".into()]).unwrap(), ["a", "b"]);
        assert!(names("LIST", &[]).is_err());
    }
}
