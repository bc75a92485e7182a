//! Image embeddings of slices, or of regions of them, each computed once, as many kept as fit a bound in bytes.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::model::ImageEmbedding;
use crate::slices::intensity::IntensityRange;
use crate::slices::region::Region;
use std::collections::HashMap;

/// How slices are shown to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// What of them.
    pub region: Region,
    /// In which intensities.
    pub range: IntensityRange,
}

impl View {
    /// Slices of `size` rows and columns as they are, with values of 0..1.
    pub fn plain(size: [usize; 2]) -> Self {
        Self { region: Region { first: [0, 0], size }, range: IntensityRange { low: 0.0, high: 1.0 } }
    }
}

/// What was encoded: a slice in a view.
pub type Shown = (SliceIndex, View);

/// Least recently used embeddings are dropped first.
#[derive(Debug)]
pub struct EmbeddingCache {
    limit: usize,
    used: usize,
    clock: u64,
    encoded: usize,
    kept: HashMap<Shown, (u64, ImageEmbedding)>,
}

impl EmbeddingCache {
    /// A cache of at most `limit` bytes; the newest embedding is kept even if it alone is larger.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0, clock: 0, encoded: 0, kept: HashMap::new() }
    }

    /// How many embeddings were computed so far.
    pub fn encoded(&self) -> usize {
        self.encoded
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.used
    }

    /// The embedding of what is `shown`, computed by `encode` if it is not there.
    pub fn get(&mut self, shown: Shown, encode: impl FnOnce() -> Result<ImageEmbedding>) -> Result<ImageEmbedding> {
        self.clock += 1;
        if let Some((last_used, embedding)) = self.kept.get_mut(&shown) {
            *last_used = self.clock;
            return Ok(embedding.shallow_clone());
        }
        // Where the encoder wrote it, it lies among what the encoder has freed by now, and would keep those gaps apart for as long as it lives.
        let embedding = encode()?.copy();
        self.encoded += 1;
        self.make_room(embedding.bytes());
        self.used += embedding.bytes();
        self.kept.insert(shown, (self.clock, embedding.shallow_clone()));
        Ok(embedding)
    }

    /// The bound in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Another bound; what does not fit is dropped.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.make_room(0);
    }

    /// Forgets everything; for a change of axis or intensity.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.used = 0;
    }

    fn make_room(&mut self, bytes: usize) {
        while self.used + bytes > self.limit {
            let Some(oldest) = self.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(&shown, _)| shown) else {
                return;
            };
            if let Some((_, dropped)) = self.kept.remove(&oldest) {
                self.used -= dropped.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    fn shown(slice: usize) -> Shown {
        (SliceIndex(slice), View::plain([9, 9]))
    }

    /// 48 bytes.
    fn embedding() -> ImageEmbedding {
        let four = || Tensor::zeros([4], (Kind::Float, Device::Cpu));
        ImageEmbedding { features: four(), high_resolution: [four(), four()] }
    }

    #[test]
    fn each_slice_is_encoded_once_while_it_fits() {
        let mut cache = EmbeddingCache::new(100);
        for slice in [1, 2, 1, 2, 1] {
            cache.get(shown(slice), || Ok(embedding())).unwrap();
        }
        assert_eq!((cache.encoded(), cache.bytes()), (2, 96));
    }

    #[test]
    fn what_is_kept_lies_where_the_encoder_did_not_write() {
        let written = embedding();
        let kept = EmbeddingCache::new(100).get(shown(1), || Ok(written.shallow_clone())).unwrap();
        assert_ne!(kept.features.data_ptr(), written.features.data_ptr());
        assert!(kept.high_resolution.iter().zip(&written.high_resolution).all(|(a, b)| a.data_ptr() != b.data_ptr()));
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_holds() {
        let mut cache = EmbeddingCache::new(100);
        for slice in [1, 2, 1, 3, 1, 2] {
            cache.get(shown(slice), || Ok(embedding())).unwrap();
            assert!(cache.bytes() <= 100);
        }
        assert_eq!(cache.encoded(), 4); // 1, 2, 3 and 2 again
    }

    #[test]
    fn an_embedding_larger_than_the_bound_is_still_served() {
        let mut cache = EmbeddingCache::new(10);
        cache.get(shown(1), || Ok(embedding())).unwrap();
        cache.get(shown(2), || Ok(embedding())).unwrap();
        assert_eq!(cache.bytes(), 48);
    }
}
