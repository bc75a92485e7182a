//! Label maps with the names and colours of their segments; segments may overlap, in layers.
//!
//! In: layers of values, and which value of which layer is which segment. Out: label maps, as few as hold all segments.

use super::encoding::StoredSegment;
use super::voxels::{LabelMap, Segment};
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// The segments of a file.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// One label map, or several where segments overlap; a label is in one of them only.
    pub layers: Vec<LabelMap>,
    /// Names and colours that the file gives, by rising label; empty for plain label maps.
    pub segments: Vec<Segment>,
}

impl Segmentation {
    /// A label map without names.
    pub fn plain(labels: LabelMap) -> Self {
        Self { layers: vec![labels], segments: Vec::new() }
    }

    /// A segment keeps its value as label where no other has the same; else segments are numbered in their order.
    pub(super) fn new(layers: Vec<LabelMap>, mut stored: Vec<StoredSegment>) -> Result<Self> {
        for (layer, labels) in layers.iter().enumerate() {
            let mut present = vec![false; usize::from(u16::MAX) + 1];
            labels.voxels().iter().for_each(|&value| present[usize::from(value)] = true);
            let described: Vec<u16> = stored.iter().filter(|s| s.layer == layer).map(|s| s.value).collect();
            let unknown = (1..=u16::MAX).filter(|value| present[usize::from(*value)] && !described.contains(value));
            stored.extend(unknown.map(|value| StoredSegment { name: None, colour: None, value, layer }));
        }
        let mut values: Vec<u16> = stored.iter().map(|segment| segment.value).collect();
        values.sort_unstable();
        let distinct = values.windows(2).all(|pair| pair[0] != pair[1]) && values.first() != Some(&0);
        let mut segments = Vec::new();
        let mut labels_of: Vec<BTreeMap<u16, u16>> = vec![BTreeMap::new(); layers.len()];
        for (n, segment) in stored.iter().enumerate() {
            let numbered = u16::try_from(n + 1)
                .map_err(|_| Error::new(ErrorKind::Unsupported, "more than 65535 segments; expected fewer"))?;
            let label = if distinct { segment.value } else { numbered };
            labels_of[segment.layer].insert(segment.value, label);
            if let Some(name) = &segment.name {
                segments.push(Segment { label, name: name.clone(), colour: segment.colour });
            }
        }
        segments.sort_by_key(|segment| segment.label);
        let mut merged: Vec<LabelMap> = Vec::new();
        for (mut labels, label_of) in layers.into_iter().zip(labels_of) {
            labels.voxels_mut().mapv_inplace(|value| if value == 0 { 0 } else { label_of[&value] });
            let free =
                |other: &&mut LabelMap| other.voxels().iter().zip(labels.voxels()).all(|(&a, &b)| a == 0 || b == 0);
            match merged.iter_mut().find(free) {
                Some(other) => other.voxels_mut().zip_mut_with(&labels.voxels(), |a, &b| *a = (*a).max(b)),
                None => merged.push(labels),
            }
        }
        Ok(Self { layers: merged, segments })
    }

    /// All segments in one label map.
    ///
    /// # Errors
    /// `Unsupported` where segments overlap.
    pub fn into_label_map(mut self) -> Result<LabelMap> {
        match self.layers.len() {
            1 => Ok(self.layers.remove(0)),
            _ => Err(Error::new(ErrorKind::Unsupported, "its segments overlap; expected one label a voxel")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Dims, Geometry, IjkToRas, Spacing};
    use crate::volume::Volume;
    use ndarray::Array3;

    fn layer(values: [u16; 4]) -> LabelMap {
        let geometry = Geometry { dims: Dims([4, 1, 1]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0; 3])) };
        Volume::new(geometry, Array3::from_shape_vec((1, 1, 4), values.to_vec()).unwrap()).unwrap()
    }

    fn stored(name: &str, value: u16, layer: usize) -> StoredSegment {
        StoredSegment { name: Some(name.into()), colour: None, value, layer }
    }

    fn voxels(labels: &LabelMap) -> Vec<u16> {
        labels.voxels().iter().copied().collect()
    }

    #[test]
    fn segments_of_equal_value_are_numbered_and_overlaps_stay_apart() {
        let layers = vec![layer([1, 1, 0, 0]), layer([0, 1, 1, 0]), layer([0, 0, 0, 1])];
        let found = Segmentation::new(layers, vec![stored("a", 1, 0), stored("b", 1, 1), stored("c", 1, 2)]).unwrap();
        let names: Vec<(u16, &str)> = found.segments.iter().map(|s| (s.label, s.name.as_str())).collect();
        assert_eq!(names, [(1, "a"), (2, "b"), (3, "c")]);
        let maps: Vec<Vec<u16>> = found.layers.iter().map(voxels).collect();
        assert_eq!(maps, [[1, 1, 0, 3], [0, 2, 2, 0]]);
        assert!(found.into_label_map().unwrap_err().to_string().contains("overlap"));
    }

    #[test]
    fn distinct_values_are_kept_and_undescribed_ones_stay() {
        let found = Segmentation::new(vec![layer([7, 0, 4, 9])], vec![stored("b", 9, 0), stored("a", 4, 0)]).unwrap();
        assert_eq!(found.segments.iter().map(|s| s.label).collect::<Vec<_>>(), [4, 9]);
        assert_eq!(voxels(&found.into_label_map().unwrap()), [7, 0, 4, 9]);
    }
}
