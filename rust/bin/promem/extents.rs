//! Where each label of a label map lies along an axis.

use promem::geometry::{Axis, SliceIndex};
use promem::slices;
use promem::volume::LabelMap;
use std::collections::BTreeMap;

/// Voxels of one label.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LabelExtent {
    pub voxels: usize,
    /// The slices on which the label occurs, rising.
    pub slices: Vec<SliceIndex>,
}

impl LabelExtent {
    /// First and last slice; `None` for an absent label.
    pub fn ends(&self) -> Option<(SliceIndex, SliceIndex)> {
        self.slices.first().copied().zip(self.slices.last().copied())
    }
}

/// The extent of every label except the background.
pub fn extents(labels: &LabelMap, axis: Axis) -> BTreeMap<u16, LabelExtent> {
    let mut found: BTreeMap<u16, LabelExtent> = BTreeMap::new();
    for slice in (0..labels.geometry().dims.along(axis)).map(SliceIndex) {
        for &label in slices::extract(labels.voxels(), axis, slice).iter().filter(|&&label| label > 0) {
            let extent = found.entry(label).or_default();
            extent.voxels += 1;
            if extent.slices.last() != Some(&slice) {
                extent.slices.push(slice);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use promem::geometry::{Dims, Geometry, IjkToRas, Spacing};
    use promem::volume::Volume;

    #[test]
    fn extents_count_voxels_and_list_slices_with_gaps() {
        let geometry = Geometry { dims: Dims([4, 3, 2]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0; 3])) };
        let mut voxels = Array3::zeros((2, 3, 4));
        for (index, label) in [((0, 0, 0), 5u16), ((1, 0, 0), 5), ((0, 2, 3), 5), ((1, 1, 1), 2)] {
            voxels[index] = label;
        }
        let labels = Volume::new(geometry, voxels).unwrap();
        let found = extents(&labels, Axis::J);
        assert_eq!(found[&5], LabelExtent { voxels: 3, slices: vec![SliceIndex(0), SliceIndex(2)] });
        assert_eq!(found[&2].ends(), Some((SliceIndex(1), SliceIndex(1))));
        assert_eq!(found.len(), 2);
    }
}
