//! Image embeddings of slices, or of rois of them, each computed once, as many kept as fit a bound in bytes.

use crate::geometry::SliceIndex;
use crate::model::ImageEmbedding;
use crate::slices::SliceView;
use std::collections::HashMap;

/// What is encoded: a slice in a view.
pub type SliceKey = (SliceIndex, SliceView);

/// Least recently used embeddings are dropped first.
#[derive(Debug)]
pub struct EmbeddingCache {
    limit: usize,
    used: usize,
    clock: u64,
    encoded: usize,
    kept: HashMap<SliceKey, (u64, ImageEmbedding)>,
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

    /// An embedding that is kept, which counts as used now.
    pub fn known(&mut self, key: SliceKey) -> Option<ImageEmbedding> {
        self.clock += 1;
        let (last_used, embedding) = self.kept.get_mut(&key)?;
        *last_used = self.clock;
        Some(embedding.shallow_clone())
    }

    /// Keeps a copy of an embedding that was just made, and gives it back.
    pub fn keep(&mut self, key: SliceKey, embedding: ImageEmbedding) -> ImageEmbedding {
        // Where the encoder wrote it, it lies among what the encoder has freed by now, and would keep those gaps apart for as long as it lives.
        let embedding = embedding.copy();
        self.encoded += 1;
        self.make_room(embedding.bytes());
        self.used += embedding.bytes();
        self.kept.insert(key, (self.clock, embedding.shallow_clone()));
        embedding
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
            let Some(oldest) = self.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(&key, _)| key) else {
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

    fn key(slice: usize) -> SliceKey {
        (SliceIndex(slice), SliceView::plain([9, 9]))
    }

    /// 48 bytes.
    fn embedding() -> ImageEmbedding {
        let four = || Tensor::zeros([4], (Kind::Float, Device::Cpu));
        ImageEmbedding { features: four(), high_resolution: [four(), four()] }
    }

    fn ask(cache: &mut EmbeddingCache, slice: usize) {
        if cache.known(key(slice)).is_none() {
            cache.keep(key(slice), embedding());
        }
    }

    #[test]
    fn each_slice_is_encoded_once_while_it_fits() {
        let mut cache = EmbeddingCache::new(100);
        for slice in [1, 2, 1, 2, 1] {
            ask(&mut cache, slice);
        }
        assert_eq!((cache.encoded(), cache.bytes()), (2, 96));
    }

    #[test]
    fn what_is_kept_lies_where_the_encoder_did_not_write() {
        let written = embedding();
        let kept = EmbeddingCache::new(100).keep(key(1), written.shallow_clone());
        assert_ne!(kept.features.data_ptr(), written.features.data_ptr());
        assert!(kept.high_resolution.iter().zip(&written.high_resolution).all(|(a, b)| a.data_ptr() != b.data_ptr()));
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_holds() {
        let mut cache = EmbeddingCache::new(100);
        for slice in [1, 2, 1, 3, 1, 2] {
            ask(&mut cache, slice);
            assert!(cache.bytes() <= 100);
        }
        assert_eq!(cache.encoded(), 4); // 1, 2, 3 and 2 again
    }

    #[test]
    fn an_embedding_larger_than_the_bound_is_still_served() {
        let mut cache = EmbeddingCache::new(10);
        ask(&mut cache, 1);
        ask(&mut cache, 2);
        assert_eq!(cache.bytes(), 48);
    }
}
