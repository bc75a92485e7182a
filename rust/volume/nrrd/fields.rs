//! The fields of a NRRD header, and what they say of axes, places, files and segments.

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, IjkToRas, Spacing};
use crate::volume::data_files;
use crate::volume::encoding::{ByteOrder, Encoding, Scalar, StoredSegment};
use std::collections::BTreeMap;
use std::io::{BufRead, Read};

/// A header beyond this is no header.
pub(super) const LONGEST_HEADER: u64 = 16 << 20;

/// The header's fields by their lower-case names.
pub(super) struct Fields {
    values: BTreeMap<String, String>,
    /// The names after `data file: LIST`.
    listed: Vec<String>,
}

/// The axes of the data: three of space, and others that hold frames.
pub(super) struct Axes {
    pub dims: Dims,
    /// Which axes are those of space.
    space: Vec<usize>,
    pub frames: usize,
    /// Frames vary faster than space: components of each voxel.
    interleaved: bool,
    /// The sizes in words.
    pub shown: String,
}

impl Fields {
    /// Leaves the reader at the first byte after the blank line (or at the end of a detached header).
    pub(super) fn parse(reader: &mut impl BufRead) -> Result<Self> {
        let broken = |e| Error::new(ErrorKind::Format, "cannot read the header").with_source(e);
        let mut header = reader.by_ref().take(LONGEST_HEADER);
        let (mut fields, mut listed) = (BTreeMap::<String, String>::new(), Vec::new());
        let mut line = Vec::new();
        loop {
            line.clear();
            header.read_until(b'\n', &mut line).map_err(broken)?;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                break; // the blank line, or the end of the file
            }
            if text.starts_with('#') || text.starts_with("NRRD") {
                continue;
            }
            if fields.get("data file").is_some_and(|value| value.starts_with("LIST")) {
                listed.push(text.to_string());
                continue;
            }
            // `key:=value` is the writer's own; some writers put a field of the format that way.
            if let Some((name, value)) = text.split_once(":=").or_else(|| text.split_once(':')) {
                let name = match name.trim().to_lowercase().as_str() {
                    "datafile" => "data file".into(),
                    "byteskip" => "byte skip".into(),
                    "lineskip" => "line skip".into(),
                    other => other.to_string(),
                };
                fields.insert(name, value.trim().to_string());
            } else {
                return Err(format(format!("header line `{}` is no field", text.chars().take(60).collect::<String>())));
            }
        }
        Ok(Self { values: fields, listed })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn need(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| format(format!("the header has no field `{name}`")))
    }

    pub(super) fn number(&self, name: &str) -> Result<i64> {
        let Some(text) = self.get(name) else { return Ok(0) };
        text.parse().map_err(|_| format(format!("field `{name}`: `{text}` is no whole number")))
    }

    /// The axes of space are those with a direction, else those whose kind is one of space, else the first three.
    pub(super) fn axes(&self) -> Result<Axes> {
        let text = self.need("sizes")?;
        let sizes: Option<Vec<usize>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
        let sizes = sizes.filter(|s| !s.is_empty() && s.iter().all(|&n| n > 0));
        let sizes = sizes.ok_or_else(|| format(format!("field `sizes`: `{text}`; expected positive whole numbers")))?;
        let shown = format!("{}-D data of {sizes:?} voxels", sizes.len());
        let is_space: Vec<bool> = if let Some(text) = self.get("space directions") {
            vectors(text).ok_or_else(|| self.bad_directions(text))?.iter().map(Option::is_some).collect()
        } else if let Some(kinds) = self.get("kinds").filter(|_| sizes.len() > 3) {
            kinds.split_whitespace().map(|kind| matches!(kind, "domain" | "space" | "???" | "none")).collect()
        } else {
            (0..sizes.len()).map(|axis| axis < 3).collect()
        };
        let space: Vec<usize> = (0..sizes.len()).filter(|&n| is_space.get(n).copied().unwrap_or(false)).collect();
        let [i, j, k] = space[..] else {
            return Err(unsupported(format!("{shown}, {} axes of space; expected one 3-D volume", space.len())));
        };
        let other: Vec<usize> = (0..sizes.len()).filter(|n| !space.contains(n)).collect();
        let several = other.iter().filter(|&&n| sizes[n] > 1);
        let (before, behind) = (several.clone().all(|&n| n < i), several.clone().all(|&n| n > k));
        if !before && !behind {
            return Err(unsupported(format!("{shown}; expected frames before or behind the axes of space")));
        }
        let frames = other.iter().try_fold(1usize, |all, &n| all.checked_mul(sizes[n]));
        let frames = frames.ok_or_else(|| format(format!("{shown}: more than can be counted")))?;
        let dims = Dims([sizes[i], sizes[j], sizes[k]]);
        Ok(Axes { dims, space, frames, interleaved: !behind, shown })
    }

    fn bad_directions(&self, text: &str) -> Error {
        format(format!("field `space directions`: `{text}`; expected three 3-D vectors, and `none` for other axes"))
    }

    /// The data files beside the header; none where the data is behind it.
    pub(super) fn data_files(&self) -> Result<Vec<String>> {
        self.get("data file").map_or(Ok(Vec::new()), |value| data_files::names(value, &self.listed))
    }

    /// The segments of a `.seg.nrrd`. Files of before 2020 say neither layer nor value: each segment is a layer of ones.
    pub(super) fn segments(&self, layers: usize) -> Result<Vec<StoredSegment>> {
        let mut segments = Vec::new();
        while let Some(id) = self.get(&format!("segment{}_id", segments.len())) {
            let n = segments.len();
            let field = |name: &str| self.get(&format!("segment{n}_{name}"));
            let number = |name: &str, absent: usize| match field(name).filter(|text| !text.is_empty()) {
                None => Ok(absent),
                Some(text) => text
                    .parse::<usize>()
                    .map_err(|_| self::format(format!("field `Segment{n}_{name}`: `{text}` is no whole number"))),
            };
            let (layer, value) = (number("layer", n.min(layers - 1))?, number("labelvalue", 1)?);
            let value = u16::try_from(value)
                .map_err(|_| self::format(format!("field `Segment{n}_LabelValue`: {value}, expected at most 65535")))?;
            if layer >= layers {
                return Err(self::format(format!("segment {n} lies in layer {layer}; the file has {layers}")));
            }
            let colour: Option<Vec<f64>> =
                field("color").and_then(|text| text.split_whitespace().map(|v| v.parse().ok()).collect());
            let colour = colour.and_then(|c| <[f64; 3]>::try_from(c).ok());
            let name = field("name").filter(|name| !name.is_empty()).unwrap_or(id);
            segments.push(StoredSegment { name: Some(name.to_string()), colour, value, layer });
        }
        Ok(segments)
    }

    pub(super) fn encoding(&self) -> Result<Encoding> {
        let name = self.need("type")?;
        let scalar = Scalar::from_nrrd(name)
            .ok_or_else(|| unsupported(format!("voxels of type `{name}`; expected whole or floating-point numbers")))?;
        let order = match self.get("endian").map(str::to_lowercase).as_deref() {
            Some("little") => ByteOrder::Little,
            Some("big") => ByteOrder::Big,
            Some(other) => return Err(format(format!("field `endian`: `{other}`; expected little or big"))),
            None if scalar.bytes() == 1 || self.is_text() => ByteOrder::Little,
            None => return Err(format(format!("the header has no field `endian`, which type `{name}` needs"))),
        };
        Ok(Encoding { scalar, order, slope: 1.0, intercept: 0.0 })
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.get("encoding").map(str::to_lowercase).as_deref(), Some("ascii" | "text" | "txt"))
    }

    /// Directions and origin, turned to RAS. Without a space the axes are taken as RAS.
    pub(super) fn spatial_map(&self, axes: &Axes) -> Result<IjkToRas> {
        let signs = match self.get("space").map(str::to_lowercase).as_deref() {
            Some("left-posterior-superior" | "lps") => [-1.0, -1.0, 1.0],
            Some("left-anterior-superior" | "las") => [-1.0, 1.0, 1.0],
            Some("right-anterior-superior" | "ras") => [1.0; 3],
            Some("scanner-xyz" | "3d-right-handed" | "3d-left-handed") | None => [1.0; 3],
            Some(other) => return Err(unsupported(format!("space `{other}`; expected LPS, LAS or RAS"))),
        };
        let directions = match self.get("space directions") {
            Some(text) => {
                let vectors: Vec<[f64; 3]> =
                    vectors(text).ok_or_else(|| self.bad_directions(text))?.into_iter().flatten().collect();
                <[[f64; 3]; 3]>::try_from(vectors).map_err(|_| self.bad_directions(text))?
            }
            None => {
                let spacing = match self.get("spacings") {
                    None => [1.0; 3],
                    Some(text) => {
                        let words: Vec<&str> = text.split_whitespace().collect();
                        let along = |axis: &usize| words.get(*axis).and_then(|n| n.parse::<f64>().ok());
                        let numbers: Option<Vec<f64>> = axes.space.iter().map(along).collect();
                        numbers
                            .and_then(|n| <[f64; 3]>::try_from(n).ok())
                            .ok_or_else(|| format(format!("field `spacings`: `{text}`; expected three numbers")))?
                    }
                };
                let IjkToRas(m) = IjkToRas::from_spacing(Spacing(spacing));
                [0, 1, 2].map(|axis| [0, 1, 2].map(|row| m[row][axis]))
            }
        };
        let origin = match self.get("space origin") {
            None => [0.0; 3],
            Some(text) => vectors(text)
                .and_then(|v| v.first().copied().flatten())
                .ok_or_else(|| format(format!("field `space origin`: `{text}`; expected one 3-D vector")))?,
        };
        let unit = match self.get("space units").and_then(|text| text.split('"').nth(1)) {
            Some("m" | "meter" | "metre") => 1e3,
            Some("um" | "micron" | "micrometer" | "\u{b5}m" | "\u{3bc}m") => 1e-3,
            Some("cm") => 10.0,
            _ => 1.0,
        };
        Ok(IjkToRas([0, 1, 2].map(|row| {
            let along = |axis: usize| unit * signs[row] * directions[axis][row];
            [along(0), along(1), along(2), unit * signs[row] * origin[row]]
        })))
    }
}

impl Axes {
    /// The bytes of one frame.
    pub(super) fn frame(&self, all: Vec<u8>, frame: usize, size: usize) -> Vec<u8> {
        if self.frames == 1 {
            return all;
        }
        if !self.interleaved {
            let length = all.len() / self.frames;
            return all[frame * length..(frame + 1) * length].to_vec();
        }
        all.chunks_exact(size * self.frames)
            .flat_map(|voxel| &voxel[frame * size..(frame + 1) * size])
            .copied()
            .collect()
    }
}

pub(super) fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

pub(super) fn format(message: String) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// `none (a,b,c) (d,e,f) ...`; `None` for the axes that are not of space.
fn vectors(text: &str) -> Option<Vec<Option<[f64; 3]>>> {
    let mut vectors = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("none").or_else(|| rest.strip_prefix("???")) {
            vectors.push(None);
            rest = behind.trim_start();
            continue;
        }
        let (inside, behind) = rest.strip_prefix('(')?.split_once(')')?;
        let numbers: Option<Vec<f64>> = inside.split(',').map(|n| n.trim().parse().ok()).collect();
        vectors.push(Some(numbers?.try_into().ok()?));
        rest = behind.trim_start();
    }
    Some(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_without_a_direction_is_not_of_space() {
        assert_eq!(vectors("none (1,0,0) (0, 2,0)").unwrap(), [None, Some([1., 0., 0.]), Some([0., 2., 0.])]);
        assert_eq!(vectors("(1,0) (0,1)"), None);
    }
}
