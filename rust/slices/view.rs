//! How slices are presented to the network.

use crate::slices::intensity::IntensityRange;
use crate::slices::roi::Roi;

/// Which part of slices, in which intensities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SliceView {
    pub roi: Roi,
    /// Intensities that become 0 and 1.
    pub range: IntensityRange,
}

impl SliceView {
    /// Whole slices of `size` rows and columns whose values are 0..1 already.
    pub fn plain(size: [usize; 2]) -> Self {
        Self { roi: Roi { first: [0, 0], size }, range: IntensityRange { low: 0.0, high: 1.0 } }
    }
}
