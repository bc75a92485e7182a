//! Slices as the network gets them: resampled, in 0..1, and encoded; each of these once.

use crate::error::Result;
use crate::geometry::Axis;
use crate::model::ImageEmbedding;
use crate::session::embedding_cache::{EmbeddingCache, SliceKey};
use crate::session::guard::SharedModel;
use crate::slices::resize::{resize, NetworkFrame};
use crate::slices::roi::{Roi, SlicePlane};
use crate::slices::{self, Scan};
use crate::tracking::tensors;
use ndarray::Array2;
use std::sync::Arc;
use std::time::Instant;

/// Resampled slices that are kept: a slice and the one before it, with room for another view of each.
const RECENT: usize = 4;

/// One slice in one view.
#[derive(Debug)]
pub struct SliceInput {
    pub frame: NetworkFrame,
    /// The valid part of the network's square, 0..1.
    pub pixels: Arc<Array2<f32>>,
}

/// A scan seen along one axis, with what was computed of its slices.
#[derive(Debug)]
pub struct SliceInputs {
    scan: Box<dyn Scan>,
    axis: Axis,
    plane: SlicePlane,
    /// Side of the network's square.
    side: i64,
    pub cache: EmbeddingCache,
    recent: Vec<(SliceKey, Arc<Array2<f32>>)>,
}

impl SliceInputs {
    /// `cache_bytes` bounds the embeddings that are kept.
    pub fn new(scan: Box<dyn Scan>, axis: Axis, side: i64, cache_bytes: usize) -> Self {
        let plane = slices::plane(scan.geometry(), axis);
        Self { scan, axis, plane, side, cache: EmbeddingCache::new(cache_bytes), recent: Vec::new() }
    }

    pub fn scan(&self) -> &dyn Scan {
        &*self.scan
    }

    pub fn axis(&self) -> Axis {
        self.axis
    }

    pub fn plane(&self) -> SlicePlane {
        self.plane
    }

    /// Number of slices.
    pub fn count(&self) -> usize {
        self.scan.geometry().dims.along(self.axis)
    }

    /// Slices across another axis.
    pub fn set_axis(&mut self, axis: Axis) {
        self.axis = axis;
        self.plane = slices::plane(self.scan.geometry(), axis);
        self.clear();
    }

    /// Forgets what was computed.
    pub fn clear(&mut self) {
        self.recent.clear();
        self.cache.clear();
    }

    pub fn frame(&self, roi: Roi) -> NetworkFrame {
        NetworkFrame::new(roi, self.plane.spacing, self.side as usize)
    }

    /// A slice's pixels, resampled now unless they were just asked for.
    pub fn pixels(&mut self, key: SliceKey) -> SliceInput {
        let (slice, view) = key;
        let frame = self.frame(view.roi);
        if let Some((_, pixels)) = self.recent.iter().find(|(known, _)| *known == key) {
            return SliceInput { frame, pixels: pixels.clone() };
        }
        let values = self.scan.slice(self.axis, slice);
        let in_range = frame.crop(values.view()).mapv(|value| view.range.apply(value));
        let pixels = Arc::new(resize(in_range.view(), frame.valid()));
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push((key, pixels.clone()));
        SliceInput { frame, pixels }
    }

    /// A slice's embedding, and the milliseconds that it took; 0 where it was known.
    ///
    /// # Errors
    /// `Compute` where the network fails.
    pub fn embedding(&mut self, model: &SharedModel, key: SliceKey) -> Result<(ImageEmbedding, f64)> {
        if let Some(embedding) = self.cache.known(key) {
            return Ok((embedding, 0.0));
        }
        let begin = Instant::now();
        let input = self.pixels(key);
        let side = self.side;
        let embedding = model.compute(|network| network.encode_image(&tensors::image(&input.pixels, side)))?;
        let elapsed = begin.elapsed().as_secs_f64() * 1e3;
        Ok((self.cache.keep(key, embedding), elapsed))
    }
}
