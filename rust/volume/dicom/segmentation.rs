//! DICOM SEG: a multi-frame image of segments, each frame a slice of one segment.
//!
//! In: a file. Out: label maps on the smallest grid that holds all frames, with names and colours.

use super::attributes::*;
use super::colour::cielab_to_rgb;
use super::header;
use super::stack::dot;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use crate::volume::voxels::{check_affine, LabelMap, Segment, Volume};
use crate::volume::Segmentation;
use dicom_object::{InMemDicomObject, Tag};
use dicom_pixeldata::PixelDecoder;
use ndarray::Array3;
use std::collections::BTreeMap;
use std::path::Path;

const SEGMENTS: Tag = Tag(0x0062, 0x0002);
const SEGMENT_NUMBER: Tag = Tag(0x0062, 0x0004);
const SEGMENT_LABEL: Tag = Tag(0x0062, 0x0005);
const SEGMENT_COLOUR: Tag = Tag(0x0062, 0x000D);
const IDENTIFICATION: Tag = Tag(0x0062, 0x000A);
const REFERENCED_SEGMENT: Tag = Tag(0x0062, 0x000B);
const SEGMENTATION_TYPE: Tag = Tag(0x0062, 0x0001);
const LARGEST_FRACTION: Tag = Tag(0x0062, 0x000E);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);

/// Whether a DICOM file holds segments.
pub(in crate::volume) fn is_segmentation(path: &Path) -> bool {
    let class = open(path, Part::Header).ok().and_then(|object| text(&object, SOP_CLASS));
    class.is_some_and(|class| header::other_kind(&class) == Some("segmentation"))
}

/// Where a frame lies, and whose it is; 0 where its pixels are segment numbers.
struct Frame {
    segment: u16,
    /// Number of the slice.
    k: usize,
}

pub(in crate::volume) fn read(path: &Path) -> Result<Segmentation> {
    let object = open(path, Part::Everything)?;
    let kind = text(&object, SEGMENTATION_TYPE).unwrap_or_default();
    let (geometry, frames) = frames(&object, kind == "LABELMAP")?;
    let Dims([columns, rows, count]) = geometry.dims;
    let pixels = columns * rows;
    let values = values(&object, frames.len() * pixels)?;
    let half = number(&object, LARGEST_FRACTION).unwrap_or(255.0) / 2.0;
    let least = if kind == "FRACTIONAL" { half.ceil().max(1.0) as u16 } else { 1 };
    let mut by_segment: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (n, frame) in frames.iter().enumerate() {
        by_segment.entry(frame.segment).or_default().push(n);
    }
    let mut layers: Vec<LabelMap> = Vec::new();
    for (segment, own) in by_segment {
        let marked = |n: &usize| {
            let (frame, value) = (*n, &values[n * pixels..(n + 1) * pixels]);
            let start = frames[frame].k * pixels;
            value
                .iter()
                .enumerate()
                .filter(|(_, &value)| value >= least)
                .map(move |(at, &value)| (start + at, if segment == 0 { value } else { segment }))
        };
        let free = |layer: &LabelMap| {
            let view = layer.voxels();
            let held = view.as_slice().expect("volumes are in memory order");
            own.iter().flat_map(marked).all(|(at, _)| held[at] == 0)
        };
        let layer = match layers.iter().position(free) {
            Some(layer) => layer,
            None => {
                layers.push(Volume::new(geometry.clone(), Array3::zeros((count, rows, columns)))?);
                layers.len() - 1
            }
        };
        let mut view = layers[layer].voxels_mut();
        let held = view.as_slice_mut().expect("volumes are in memory order");
        own.iter().flat_map(marked).for_each(|(at, label)| held[at] = label);
    }
    Ok(Segmentation { layers, segments: segments(&object) })
}

fn segments(object: &InMemDicomObject) -> Vec<Segment> {
    let described = items(object, SEGMENTS).iter().filter_map(|item| {
        let label = number(item, SEGMENT_NUMBER).filter(|n| (1.0..=65535.0).contains(n))? as u16;
        let colour = numbers(item, SEGMENT_COLOUR);
        let colour = <[f64; 3]>::try_from(colour).ok().map(cielab_to_rgb);
        Some(Segment { label, name: text(item, SEGMENT_LABEL).unwrap_or_default(), colour })
    });
    let mut segments: Vec<Segment> = described.filter(|segment| !segment.name.is_empty()).collect();
    segments.sort_by_key(|segment| segment.label);
    segments
}

/// The pixels of all frames; single bits are packed without gaps between frames.
fn values(object: &dicom_object::DefaultDicomObject, count: usize) -> Result<Vec<u16>> {
    let short = |found: usize| format(format!("{found} pixels, expected {count}"));
    match number(object, BITS_ALLOCATED).unwrap_or(1.0) as u32 {
        1 => {
            let bytes = object.element(PIXEL_DATA).map_err(|e| format("it has no pixels").with_source(e))?;
            let bytes = bytes.to_bytes().map_err(|e| format("cannot read the pixels").with_source(e))?;
            if bytes.len() * 8 < count {
                return Err(short(bytes.len() * 8));
            }
            Ok((0..count).map(|n| u16::from(bytes[n / 8] >> (n % 8) & 1)).collect())
        }
        bits => {
            let decoded = object.decode_pixel_data();
            let bytes = decoded.map_err(|e| format("cannot decode the pixels").with_source(e))?.into_data();
            let size = (bits / 8) as usize;
            if ![1, 2].contains(&size) || bytes.len() < count * size {
                return Err(short(bytes.len() / size.max(1)));
            }
            let value = |pixel: &[u8]| pixel.iter().rev().fold(0u16, |word, &byte| word << 8 | u16::from(byte));
            Ok(bytes.chunks_exact(size).take(count).map(value).collect())
        }
    }
}

/// The grid of all frames; slices without a frame are empty.
fn frames(object: &InMemDicomObject, labels: bool) -> Result<(Geometry, Vec<Frame>)> {
    /// How far a frame may lie from its slice, as a share of the step.
    const UNEVEN: f64 = 0.1;
    let slices = match header::slices_of(object) {
        Ok(slices) if !slices.is_empty() => slices,
        Ok(_) => return Err(format("it has no frame")),
        Err(lacking) => return Err(format(format!("frames without a place in the patient ({lacking})"))),
    };
    let (first, normal) = (&slices[0], slices[0].normal());
    let at: Vec<f64> = slices.iter().map(|slice| dot(slice.position, normal)).collect();
    let mut places = at.clone();
    places.sort_by(f64::total_cmp);
    places.dedup_by(|a, b| (*a - *b).abs() < 0.01);
    let gap = places.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let step = if gap.is_finite() { gap } else { first.thickness };
    let index = |place: f64| (place - places[0]) / step;
    let lowest = at.iter().position(|&a| a <= places[0] + 0.01).unwrap_or(0);
    let (origin, count) = (slices[lowest].position, index(places[places.len() - 1]).round() as usize + 1);
    if let Some(place) = places.iter().find(|&&place| (index(place) - index(place).round()).abs() > UNEVEN) {
        return Err(format(format!("a frame {:.3} mm from the first, in steps of {step:.3} mm", place - places[0])));
    }
    let axes = [
        first.directions[0].map(|d| d * first.spacing[0]),
        first.directions[1].map(|d| d * first.spacing[1]),
        normal.map(|d| d * step),
    ];
    let sign = [-1.0, -1.0, 1.0];
    let row = |r: usize| [axes[0][r], axes[1][r], axes[2][r], origin[r]].map(|v| v * sign[r]);
    let dims = Dims([first.size[0], first.size[1], count]);
    let geometry = Geometry { dims, ijk_to_ras: IjkToRas([row(0), row(1), row(2)]) };
    check_affine(&geometry)?;
    dims.checked_len()?;
    let (shared, each) = (items(object, SHARED_GROUPS).first(), items(object, FRAME_GROUPS));
    let segment = |frame: usize| {
        let own = each.get(frame).and_then(|groups| items(groups, IDENTIFICATION).first());
        let group = own.or_else(|| shared.and_then(|groups| items(groups, IDENTIFICATION).first()));
        group.and_then(|group| number(group, REFERENCED_SEGMENT)).map(|n| n as u16)
    };
    let frames = (0..slices.len()).map(|n| {
        let segment = if labels { Some(0) } else { segment(n).filter(|&segment| segment > 0) };
        let segment = segment.ok_or_else(|| format(format!("frame {n} names no segment")))?;
        Ok(Frame { segment, k: index(at[n]).round() as usize })
    });
    Ok((geometry, frames.collect::<Result<Vec<_>>>()?))
}

fn format(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}
