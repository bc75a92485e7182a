//! Memories and object pointers as the tokens that a slice attends to, with their encodings. Source:
//! `_prepare_memory_conditioned_features` of `sam2_base.py`.

use super::attended::{Attending, Block, CandidateLayout};
use super::config::{Config, MAX_OBJ_PTRS};
use super::linear::Linear;
use super::memory_attention::{MemoryAttention, MemoryTokens};
use super::position::{sine_1d, sine_2d};
use tch::{Device, Kind, Tensor};

/// Makes tokens of memories. Keys: `maskmem_tpos_enc`, `obj_ptr_tpos_proj.*`.
#[derive(Debug)]
pub struct MemoryTokenizer {
    /// [7, 1, 1, mem_dim]
    maskmem_tpos_enc: Tensor,
    /// [hidden] -> [mem_dim]; none before 2.1 (`add_tpos_enc_to_obj_ptrs`).
    obj_ptr_tpos_proj: Option<Linear>,
    /// Position encoding of a memory map, [1, mem_dim, h, w]; computed, not in the checkpoint.
    position: Tensor,
    hidden_dim: i64,
    mem_dim: i64,
}

impl MemoryTokenizer {
    /// With these parameters, for the sizes of `config`, on `device`.
    pub fn new(config: &Config, maskmem_tpos_enc: Tensor, obj_ptr_tpos_proj: Option<Linear>, device: Device) -> Self {
        let (side, mem_dim) = (config.feature_size(), config.mem_dim);
        let position = sine_2d(mem_dim, side, side, device);
        Self { maskmem_tpos_enc, obj_ptr_tpos_proj, position, hidden_dim: config.hidden_dim, mem_dim }
    }

    /// See [`Linear::prepare_for_inference`].
    pub fn prepare_for_inference(&mut self) {
        if let Some(projection) = &mut self.obj_ptr_tpos_proj {
            projection.prepare_for_inference(Kind::Float);
        }
    }

    /// The tokens of all candidates of a slice, for `attention` in the number format `kind`.
    pub fn tokens(&self, candidates: &[Attending], attention: &MemoryAttention, kind: Kind) -> MemoryTokens {
        let layout = CandidateLayout::new(candidates);
        let flat = |x: &Tensor| x.flatten(2, 3).transpose(1, 2); // [B, C, h, w] -> [B, h*w, C]
        let spatial = flat(&self.position);
        // A pointer is split into hidden / mem_dim tokens, which share its encoding and have no position on the map.
        let parts = self.hidden_dim / self.mem_dim;
        let no_position = attention.rotary().positions() as u32;
        let (slots, distances) = layout.slots_and_distances();
        let mut maps = self.map_encodings(&spatial, &slots).into_iter();
        let mut pointers = self.pointer_encodings(&distances).into_iter();
        let next = |of: &mut dyn Iterator<Item = Tensor>| of.next().expect("as many encodings as blocks");
        let (mut tokens, mut encodings, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        for block in &layout.blocks {
            let (token, encoding) = match *block {
                Block::Map(attended) => {
                    positions.extend(0..no_position);
                    (flat(&attended.memory.features), next(&mut maps))
                }
                Block::Pointer { memory, .. } => {
                    positions.extend(std::iter::repeat_n(no_position, parts as usize));
                    let token = memory.pointer.reshape([-1, parts, self.mem_dim]); // [B, hidden] -> [B, parts, mem_dim]
                    (token, next(&mut pointers).expand([1, parts, -1], false))
                }
            };
            tokens.push(token);
            encodings.push(encoding);
        }
        let lengths: Vec<i64> = tokens.iter().map(|t| t.size()[1]).collect();
        let ranges = layout.token_ranges(&lengths);
        let [tokens, encodings] = [tokens, encodings].map(|parts| Tensor::cat(&parts, 1));
        let queries = spatial.size()[1];
        MemoryTokens::new([&tokens, &encodings], attention.positions(Some(positions), kind), ranges, queries, kind)
    }

    /// Encodings of memory maps in these `slots`, [1, N, mem_dim] each, of the position encoding `spatial` [1, N,
    /// mem_dim]. Computed together: on a GPU the time depends on the number of operations.
    fn map_encodings(&self, spatial: &Tensor, slots: &[i64]) -> Vec<Tensor> {
        if slots.is_empty() {
            return Vec::new();
        }
        let of_slots: Vec<Tensor> = slots.iter().map(|&slot| self.maskmem_tpos_enc.get(slot)).collect();
        (spatial + Tensor::stack(&of_slots, 0).squeeze_dim(1)).split(1, 0)
    }

    /// Temporal encodings of object pointers, for each its distance in slices and the largest possible number of
    /// pointers: [1, 1, mem_dim] each; zero before 2.1.
    fn pointer_encodings(&self, distances: &[(usize, usize)]) -> Vec<Tensor> {
        let (Some(projection), false) = (&self.obj_ptr_tpos_proj, distances.is_empty()) else {
            let none = || Tensor::zeros([1, 1, self.mem_dim], (Kind::Float, self.position.device()));
            return distances.iter().map(|_| none()).collect();
        };
        let scaled = |&(away, span): &(usize, usize)| away as f32 / (span.min(MAX_OBJ_PTRS as usize) as f32 - 1.0);
        let scaled: Vec<f32> = distances.iter().map(scaled).collect();
        let scaled = Tensor::from_slice(&scaled).to_device(self.position.device());
        projection.forward(&sine_1d(&scaled, self.hidden_dim)).unsqueeze(1).split(1, 0)
    }
}
