//! What a slice attends to as tokens: memory maps and object pointers with their encodings. Source: `_prepare_memory_conditioned_features` of
//! `sam2_base.py`.

use super::attended::{Attending, Block, Layout};
use super::config::MAX_OBJ_PTRS;
use super::memory_attention::MemoryTokens;
use super::position::sine_1d;
use super::rotary::Placed;
use super::sam2::Sam2;
use tch::{Kind, Tensor};

impl Sam2 {
    pub(super) fn memory_tokens(&self, candidates: &[Attending]) -> MemoryTokens {
        let layout = Layout::new(candidates);
        let flat = |x: &Tensor| x.flatten(2, 3).transpose(1, 2);
        let spatial = flat(&self.memory_position);
        // A pointer is cut into hidden / mem_dim tokens, which share its encoding and have no place.
        let parts = self.config.hidden_dim / self.config.mem_dim;
        let nowhere = self.memory_attention.rotary().places() as u32;
        let (slots, places) = layout.places();
        let mut maps = self.map_encodings(&spatial, &slots).into_iter();
        let mut pointers = self.pointer_encodings(&places).into_iter();
        let next = |of: &mut dyn Iterator<Item = Tensor>| of.next().expect("as many encodings as blocks");
        let (mut tokens, mut encodings, mut at) = (Vec::new(), Vec::new(), Vec::new());
        for block in &layout.blocks {
            let (token, encoding) = match *block {
                Block::Map(attended) => {
                    at.extend(0..nowhere);
                    (flat(&attended.memory.features), next(&mut maps))
                }
                Block::Pointer { memory, .. } => {
                    at.extend(std::iter::repeat_n(nowhere, parts as usize));
                    let token = memory.pointer.reshape([-1, parts, self.config.mem_dim]);
                    (token, next(&mut pointers).expand([1, parts, -1], false))
                }
            };
            tokens.push(token);
            encodings.push(encoding);
        }
        let lengths: Vec<i64> = tokens.iter().map(|t| t.size()[1]).collect();
        let stretches = layout.stretches(&lengths);
        let [tokens, encodings] = [tokens, encodings].map(|parts| Tensor::cat(&parts, 1));
        let queries = spatial.size()[1];
        MemoryTokens::new([&tokens, &encodings], Placed::at(at), stretches, queries, self.kind)
    }

    /// Encodings of memory maps in these slots: [1, N, mem_dim] each, of `spatial` [1, N, mem_dim]. Made together, as a GPU waits for the number of
    /// operations.
    fn map_encodings(&self, spatial: &Tensor, slots: &[i64]) -> Vec<Tensor> {
        if slots.is_empty() {
            return Vec::new();
        }
        let of_slots: Vec<Tensor> = slots.iter().map(|&slot| self.maskmem_tpos_enc.get(slot)).collect();
        (spatial + Tensor::stack(&of_slots, 0).squeeze_dim(1)).split(1, 0)
    }

    /// Temporal encodings of object pointers so many slices away, of so many that there may be: [1, 1, mem_dim] each; zero before 2.1
    /// (`add_tpos_enc_to_obj_ptrs`).
    fn pointer_encodings(&self, places: &[(usize, usize)]) -> Vec<Tensor> {
        let (Some(projection), false) = (&self.obj_ptr_tpos_proj, places.is_empty()) else {
            let none = || Tensor::zeros([1, 1, self.config.mem_dim], (Kind::Float, self.device));
            return places.iter().map(|_| none()).collect();
        };
        let share = |&(away, span): &(usize, usize)| away as f32 / (span.min(MAX_OBJ_PTRS as usize) as f32 - 1.0);
        let away: Vec<f32> = places.iter().map(share).collect();
        let away = Tensor::from_slice(&away).to_device(self.device);
        projection.forward(&sine_1d(&away, self.config.hidden_dim)).unsqueeze(1).split(1, 0)
    }
}
