//! The zip directory of a PyTorch file, and the bytes of its entries.
//!
//! In: a file. Out: entries by name. Knows nothing of pickles or tensors.
//!
//! PyTorch stores its entries without compression, so this reads nothing else. That is the whole defence against zip
//! bombs: an entry is as large as its bytes in the file, and [`Archive::read`] gives out no more bytes than the file
//! has.

use crate::error::{Error, ErrorKind, Result};
use crate::model::weights::is_printable;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// A zip comment has at most 65,535 bytes, the end record 22.
const END_SEARCH: u64 = 65_535 + 22;
/// The directory of the largest published file has 80 kB; a training checkpoint three times that.
const DIRECTORY_LIMIT: u64 = 16 << 20;

struct Entry {
    header: u64,
    size: u64,
    crc: u32,
    /// Why the bytes cannot be taken as they are, if so.
    obstacle: Option<&'static str>,
}

/// An open archive; offsets are checked against the length the file had when it was opened.
pub(super) struct Archive {
    file: File,
    length: u64,
    entries: BTreeMap<String, Entry>,
    unread: u64,
}

impl Archive {
    /// Reads the directory at the end of `file`.
    pub(super) fn open(mut file: File, length: u64) -> Result<Self> {
        let tail_start = length.saturating_sub(END_SEARCH);
        let tail = read_at(&mut file, tail_start, length - tail_start)?;
        let end = tail
            .windows(4)
            .rposition(|w| w == b"PK\x05\x06")
            .filter(|&at| at + 22 <= tail.len())
            .ok_or_else(|| format("no zip directory at the end; the file breaks off"))?;
        let mut count = u64::from(le16(&tail, end + 10)?);
        let mut size = u64::from(le32(&tail, end + 12)?);
        let mut start = u64::from(le32(&tail, end + 16)?);
        if end >= 20 && tail[end - 20..].starts_with(b"PK\x06\x07") {
            let record = read_at(&mut file, le64(&tail, end - 12)?, 56).map_err(|_| broken_directory())?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(broken_directory());
            }
            (count, size, start) = (le64(&record, 32)?, le64(&record, 40)?, le64(&record, 48)?);
        }
        if start.checked_add(size).is_none_or(|stop| stop > length) {
            return Err(format("the zip directory lies outside the file"));
        }
        if size > DIRECTORY_LIMIT {
            return Err(format(format!("the zip directory has {size} bytes, expected at most {DIRECTORY_LIMIT}")));
        }
        let directory = read_at(&mut file, start, size)?;
        let entries = parse_directory(&directory, count)?;
        Ok(Self { file, length, entries, unread: length })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Size of an entry in bytes, or `None` if there is no such entry.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.size)
    }

    /// The bytes of one entry, compared with its checksum.
    ///
    /// PyTorch can be told to write no checksums (`set_crc32_options(False)`) and never compares them. Here a damaged
    /// download is the likelier reason, and it must not become a network that is slightly wrong.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        let entry = self.entries.get(name).ok_or_else(|| format(format!("no entry `{name}`")))?;
        if let Some(obstacle) = entry.obstacle {
            return Err(format(format!("entry `{name}` is {obstacle}, expected plain bytes as PyTorch stores them")));
        }
        let header = read_at(&mut self.file, entry.header, 30).map_err(|_| broken_entry(name))?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(broken_entry(name));
        }
        let start = entry.header + 30 + u64::from(le16(&header, 26)?) + u64::from(le16(&header, 28)?);
        if start.checked_add(entry.size).is_none_or(|stop| stop > self.length) {
            return Err(format(format!("entry `{name}` lies outside the file; the file breaks off")));
        }
        self.unread = self
            .unread
            .checked_sub(entry.size)
            .ok_or_else(|| format("entries overlap: they have more bytes together than the file"))?;
        let bytes = read_at(&mut self.file, start, entry.size)?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        if crc.sum() != entry.crc {
            return Err(format(format!("entry `{name}` is damaged: its checksum differs")));
        }
        Ok(bytes)
    }
}

fn parse_directory(directory: &[u8], count: u64) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    let mut at = 0;
    for _ in 0..count {
        if !directory.get(at..).is_some_and(|rest| rest.starts_with(b"PK\x01\x02")) {
            return Err(broken_directory());
        }
        let (flags, method, crc) = (le16(directory, at + 8)?, le16(directory, at + 10)?, le32(directory, at + 16)?);
        let mut packed = u64::from(le32(directory, at + 20)?);
        let mut size = u64::from(le32(directory, at + 24)?);
        let mut header = u64::from(le32(directory, at + 42)?);
        let name_stop = at + 46 + usize::from(le16(directory, at + 28)?);
        let extra_stop = name_stop + usize::from(le16(directory, at + 30)?);
        let name = directory.get(at + 46..name_stop).ok_or_else(broken_directory)?;
        let extra = directory.get(name_stop..extra_stop).ok_or_else(broken_directory)?;
        wide_fields(extra, [&mut size, &mut packed, &mut header])?;
        let obstacle = match (flags & 1, method) {
            (1, _) => Some("encrypted"),
            (_, 0) if packed == size => None,
            _ => Some("compressed"),
        };
        let name =
            std::str::from_utf8(name).ok().filter(|name| is_printable(name)).ok_or_else(broken_directory)?.to_owned();
        if let Some(_earlier) = entries.insert(name.clone(), Entry { header, size, crc, obstacle }) {
            return Err(format(format!("two entries `{name}`")));
        }
        at = extra_stop + usize::from(le16(directory, at + 32)?);
    }
    Ok(entries)
}

/// Zip64: a field of all ones has its value in extra field 1, in this order.
fn wide_fields(extra: &[u8], fields: [&mut u64; 3]) -> Result<()> {
    let mut wide: &[u8] = &[];
    let mut at = 0;
    while at + 4 <= extra.len() {
        let stop = at + 4 + usize::from(le16(extra, at + 2)?);
        if le16(extra, at)? == 1 {
            wide = extra.get(at + 4..stop).ok_or_else(broken_directory)?;
        }
        at = stop;
    }
    for field in fields {
        if *field == u64::from(u32::MAX) {
            *field = le64(wide, 0)?;
            wide = &wide[8..];
        }
    }
    Ok(())
}

fn read_at(file: &mut File, start: u64, size: u64) -> Result<Vec<u8>> {
    let failed = |source: std::io::Error| Error::new(ErrorKind::Io, "cannot read").with_source(source);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    file.take(size).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != size {
        return Err(format("the file breaks off"));
    }
    Ok(bytes)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let stop = at.checked_add(N).ok_or_else(broken_directory)?;
    bytes.get(at..stop).and_then(|b| b.try_into().ok()).ok_or_else(broken_directory)
}

fn le16(bytes: &[u8], at: usize) -> Result<u16> {
    field(bytes, at).map(u16::from_le_bytes)
}

fn le32(bytes: &[u8], at: usize) -> Result<u32> {
    field(bytes, at).map(u32::from_le_bytes)
}

fn le64(bytes: &[u8], at: usize) -> Result<u64> {
    field(bytes, at).map(u64::from_le_bytes)
}

fn format(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn broken_directory() -> Error {
    format("the zip directory is damaged")
}

fn broken_entry(name: &str) -> Error {
    format(format!("entry `{name}` is not where the zip directory says"))
}
