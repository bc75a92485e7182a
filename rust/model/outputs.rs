//! What the network makes of a slice, and which of the decoder's masks it is asked for.

use tch::Tensor;

/// What images leave for prompts and memories to work on; B is 1 but in training.
#[derive(Debug)]
pub struct ImageEmbedding {
    /// At the stride that memory works on, [B, hidden, h, w], without memory, in fp32.
    pub features: Tensor,
    /// At the two finer strides, already reduced for the mask decoder; networks that refine keep them as the encoder computed them.
    pub high_resolution: [Tensor; 2],
}

impl ImageEmbedding {
    /// Another handle on the same tensors.
    pub fn shallow_clone(&self) -> Self {
        Self {
            features: self.features.shallow_clone(),
            high_resolution: self.high_resolution.each_ref().map(Tensor::shallow_clone),
        }
    }

    /// In memory of its own.
    pub fn copy(&self) -> Self {
        Self { features: self.features.copy(), high_resolution: self.high_resolution.each_ref().map(Tensor::copy) }
    }

    /// Bytes of its tensors.
    pub fn bytes(&self) -> usize {
        [&self.features, &self.high_resolution[0], &self.high_resolution[1]]
            .iter()
            .map(|t| t.numel() * t.kind().elt_size_in_bytes())
            .sum()
    }
}

/// What one segmented slice leaves behind; it never changes once made, so banks share it.
#[derive(Debug)]
pub struct Memory {
    /// [B, mem_dim, h, w]; B is 1 but in training.
    pub features: Tensor,
    /// Object pointer, [B, hidden].
    pub pointer: Tensor,
}

/// Shares the tensors, which never change.
impl Clone for Memory {
    fn clone(&self) -> Self {
        Self { features: self.features.shallow_clone(), pointer: self.pointer.shallow_clone() }
    }
}

/// Whether the decoder's object score is asked if there is a mask at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// SAM 2's rule: no mask where the score says that the object is absent.
    Judged,
    /// The object is known to be there: it has been prompted on this slice, or its ends are given. Published networks are judged all the same.
    Certain,
}

/// Which of the decoder's masks to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskChoice {
    /// Best predicted IoU of three (`multimask_output=True`): at most one point, and all tracked slices.
    BestOfThree,
    /// The first mask, if it is stable.
    Single,
}

impl MaskChoice {
    /// `_use_multimask` with `multimask_min_pt_num: 0`, `multimask_max_pt_num: 1`.
    pub fn for_points(count: usize) -> Self {
        match count {
            0 | 1 => MaskChoice::BestOfThree,
            _ => MaskChoice::Single,
        }
    }
}
