//! The outputs of the network's parts for one slice, and the choice among the decoder's masks.

use std::sync::atomic::{AtomicU64, Ordering};
use tch::{Kind, Tensor};

/// `num_multimask_outputs` + 1: token 0 is for unambiguous prompts, 1 to 3 for ambiguous ones.
pub(super) const MASK_TOKENS: i64 = 4;
/// `dynamic_multimask_stability_delta` and `_thresh` of `build_sam.py`.
const STABILITY_DELTA: f64 = 0.05;
const STABILITY_THRESHOLD: f64 = 0.98;

/// The image encoder's output, as memory attention and mask decoder read it; B is 1 except in training.
#[derive(Debug)]
pub struct ImageEmbedding {
    /// Features at the stride of the memories, [B, hidden, h, w], before memory attention, in fp32.
    pub features: Tensor,
    /// Features at the two finer strides with the mask decoder's channels, [B, channels, m, m] and [B, channels, m / 2,
    /// m / 2]; in fp32, unless [`Config::reduced_precision_decoder`](super::Config::reduced_precision_decoder) keeps
    /// the encoder's format.
    pub high_resolution: [Tensor; 2],
}

impl ImageEmbedding {
    /// Another reference to the same tensors.
    pub fn shallow_clone(&self) -> Self {
        Self {
            features: self.features.shallow_clone(),
            high_resolution: self.high_resolution.each_ref().map(Tensor::shallow_clone),
        }
    }

    /// A deep copy.
    pub fn copy(&self) -> Self {
        Self { features: self.features.copy(), high_resolution: self.high_resolution.each_ref().map(Tensor::copy) }
    }

    /// Size of its tensors in bytes.
    pub fn bytes(&self) -> usize {
        [&self.features, &self.high_resolution[0], &self.high_resolution[1]]
            .iter()
            .map(|t| t.numel() * t.kind().elt_size_in_bytes())
            .sum()
    }
}

/// Tells memories apart; a clone is the same memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemoryId(u64);

/// The memory of one segmented slice. It never changes, so memory banks share it.
#[derive(Debug)]
pub struct Memory {
    /// [B, mem_dim, h, w]; B is 1 except in training.
    pub features: Tensor,
    /// Object pointer, [B, hidden].
    pub pointer: Tensor,
    id: MemoryId,
}

impl Memory {
    /// A new memory of `features` [B, mem_dim, h, w] and object `pointer` [B, hidden].
    pub fn new(features: Tensor, pointer: Tensor) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { features, pointer, id: MemoryId(NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// The same for all clones of this memory, and for no other.
    pub fn id(&self) -> MemoryId {
        self.id
    }
}

/// Shares the tensors, which never change.
impl Clone for Memory {
    fn clone(&self) -> Self {
        Self { features: self.features.shallow_clone(), pointer: self.pointer.shallow_clone(), id: self.id }
    }
}

/// Whether the object score decides if a slice has a mask at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// SAM 2's rule: no mask where the score says that the object is absent.
    Judged,
    /// The object is known to be present: it has been prompted on this slice, or its range is given. Only networks with
    /// [`Config::trusts_known_presence`](super::Config::trusts_known_presence) then ignore the score.
    Certain,
}

/// Which of the decoder's masks is the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskChoice {
    /// Best predicted IoU of three (`multimask_output=True`): at most one point, and all tracked slices.
    BestOfThree,
    /// The first mask (`multimask_output=False`), unless it is unstable.
    Single,
}

impl MaskChoice {
    /// The choice for a slice with `count` points: `_use_multimask` with `multimask_min_pt_num: 0`,
    /// `multimask_max_pt_num: 1`.
    pub fn for_points(count: usize) -> Self {
        match count {
            0 | 1 => MaskChoice::BestOfThree,
            _ => MaskChoice::Single,
        }
    }
}

/// All outputs of the mask decoder for a batch of prompts; M = 4 masks.
#[derive(Debug)]
pub struct DecoderOutput {
    /// Mask logits, [B, M, m, m].
    pub masks: Tensor,
    /// Predicted IoU, [B, M]
    pub ious: Tensor,
    /// Mask tokens after the transformer, [B, M, hidden].
    pub tokens: Tensor,
    /// [B, 1]; positive where the object is present.
    pub object_logit: Tensor,
}

impl DecoderOutput {
    /// The mask of the highest predicted IoU among the three for ambiguous prompts, with its own token.
    ///
    /// Returns mask [B, 1, m, m], IoU [B, 1], token [B, hidden], as the other choices do.
    pub fn best_of_three(&self) -> (Tensor, Tensor, Tensor) {
        let ious = self.ious.narrow(1, 1, MASK_TOKENS - 1);
        let best = ious.argmax(1, true) + 1; // [B, 1], an index into all four
        (self.mask_at(&best), self.ious.gather(1, &best, false), self.token_at(&best))
    }

    /// The mask for unambiguous prompts, unless it is unstable and one of the other three takes its place
    /// (`_dynamic_multimask_via_stability`). The token is always the first.
    pub fn single(&self) -> (Tensor, Tensor, Tensor) {
        let first = self.masks.narrow(1, 0, 1);
        let area =
            |threshold: f64| first.gt(threshold).flatten(1, 3).sum_dim_intlist([1].as_slice(), true, Kind::Float);
        let (inner, outer) = (area(STABILITY_DELTA), area(-STABILITY_DELTA));
        let stability = (&inner / &outer).where_self(&outer.gt(0.0), &inner.ones_like());
        let stable = stability.ge(STABILITY_THRESHOLD); // [B, 1]
        let (mask, iou, _) = self.best_of_three();
        (
            first.where_self(&stable.unsqueeze(-1).unsqueeze(-1), &mask),
            self.ious.narrow(1, 0, 1).where_self(&stable, &iou),
            self.tokens.select(1, 0),
        )
    }

    /// The mask for unambiguous prompts even if it is unstable, as in training (`not self.training` guards the fallback
    /// upstream).
    pub fn first(&self) -> (Tensor, Tensor, Tensor) {
        (self.masks.narrow(1, 0, 1), self.ious.narrow(1, 0, 1), self.tokens.select(1, 0))
    }

    fn mask_at(&self, index: &Tensor) -> Tensor {
        let (b, _, h, w) = self.masks.size4().expect("masks are [B, M, h, w]");
        self.masks.gather(1, &index.reshape([b, 1, 1, 1]).expand([b, 1, h, w], false), false)
    }

    fn token_at(&self, index: &Tensor) -> Tensor {
        let (b, _, c) = self.tokens.size3().expect("tokens are [B, M, C]");
        self.tokens.gather(1, &index.reshape([b, 1, 1]).expand([b, 1, c], false), false).squeeze_dim(1)
    }
}
