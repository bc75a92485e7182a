//! What the candidates of a slice attend to, each thing once: memories and pointers that several candidates share are projected together and
//! stand beside each other, so that a candidate's own are a stretch of the whole.

use super::outputs::Memory;
use std::ops::Range;

/// One memory that a slice attends to.
#[derive(Debug, Clone, Copy)]
pub struct Attended<'a> {
    pub memory: &'a Memory,
    /// Row of `maskmem_tpos_enc`: 0 is the slice just before, 6 the pinned prompt.
    pub slot: i64,
}

/// What one candidate attends to.
#[derive(Debug, Clone)]
pub struct Attending<'a> {
    pub memories: Vec<Attended<'a>>,
    /// Memories whose object pointers are attended to, and how many slices away they are.
    pub pointers: Vec<(&'a Memory, usize)>,
    /// How many pointers there may be; it scales their distances.
    pub pointer_span: usize,
}

/// What becomes a stretch of tokens.
#[derive(Debug, Clone, Copy)]
pub enum Block<'a> {
    Map(Attended<'a>),
    Pointer { memory: &'a Memory, away: usize, span: usize },
}

impl Block<'_> {
    /// Banks share entries' tensors, which never change: the same tensor in the same place is the same block.
    fn identity(&self) -> (bool, usize, usize, usize) {
        match self {
            Block::Map(a) => (false, a.memory.features.data_ptr() as usize, a.slot as usize, 0),
            Block::Pointer { memory, away, span } => (true, memory.pointer.data_ptr() as usize, *away, *span),
        }
    }
}

/// Distinct blocks in the order of their tokens, and which of them each candidate attends to.
#[derive(Debug)]
pub struct Layout<'a> {
    pub blocks: Vec<Block<'a>>,
    /// Indices of `blocks`, rising.
    pub chosen: Vec<Vec<usize>>,
}

impl<'a> Layout<'a> {
    pub fn new(candidates: &[Attending<'a>]) -> Self {
        let mut blocks: Vec<(Block<'a>, Vec<usize>)> = Vec::new(); // and the candidates that attend to it
        for (number, candidate) in candidates.iter().enumerate() {
            for block in in_order(candidate) {
                let identity = block.identity();
                match blocks.iter_mut().find(|(known, _)| known.identity() == identity) {
                    Some((_, by)) => by.push(number),
                    None => blocks.push((block, vec![number])),
                }
            }
        }
        // What two candidates share lies between what each has alone: a stable sort by the middle of those who attend to it.
        let middle = |by: &[usize]| by.iter().sum::<usize>() as f64 / by.len() as f64;
        blocks.sort_by(|(_, a), (_, b)| middle(a).total_cmp(&middle(b)));
        let chosen = (0..candidates.len())
            .map(|number| (0..blocks.len()).filter(|&block| blocks[block].1.contains(&number)).collect())
            .collect();
        Self { blocks: blocks.into_iter().map(|(block, _)| block).collect(), chosen }
    }

    /// Slots of the maps, and distances and spans of the pointers, both in the order of the blocks.
    pub fn places(&self) -> (Vec<i64>, Vec<(usize, usize)>) {
        let (mut slots, mut pointers) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            match *block {
                Block::Map(attended) => slots.push(attended.slot),
                Block::Pointer { away, span, .. } => pointers.push((away, span)),
            }
        }
        (slots, pointers)
    }

    /// The stretches of tokens that each candidate attends to; `lengths`: of the blocks.
    pub fn stretches(&self, lengths: &[i64]) -> Vec<Vec<Range<i64>>> {
        let ends: Vec<i64> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        let stretches = |chosen: &Vec<usize>| {
            let mut found: Vec<Range<i64>> = Vec::new();
            for &block in chosen {
                let begin = ends[block] - lengths[block];
                match found.last_mut() {
                    Some(last) if last.end == begin => last.end = ends[block],
                    _ => found.push(begin..ends[block]),
                }
            }
            found
        };
        self.chosen.iter().map(stretches).collect()
    }
}

/// A candidate's blocks, each memory's pointer beside its map: what reaches less far back is then a stretch of what reaches farther.
fn in_order<'a>(candidate: &Attending<'a>) -> Vec<Block<'a>> {
    let pointer = |&(memory, away): &(&'a Memory, usize)| Block::Pointer { memory, away, span: candidate.pointer_span };
    let same = |a: &Memory, b: &Memory| a.features.data_ptr() == b.features.data_ptr();
    let mut blocks = Vec::new();
    for &attended in &candidate.memories {
        blocks.push(Block::Map(attended));
        blocks.extend(candidate.pointers.iter().filter(|(memory, _)| same(memory, attended.memory)).map(pointer));
    }
    let alone = |(memory, _): &&(&Memory, usize)| !candidate.memories.iter().any(|a| same(a.memory, memory));
    blocks.extend(candidate.pointers.iter().filter(alone).map(pointer));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    fn memories(count: usize) -> Vec<Memory> {
        let one = || Tensor::zeros([1], (Kind::Float, Device::Cpu));
        (0..count).map(|_| Memory { features: one(), pointer: one() }).collect()
    }

    /// Farthest first, as the search chooses; numbers are of memories, the last is one slice away.
    fn attending<'a>(memories: &'a [Memory], chosen: &[usize]) -> Attending<'a> {
        let away = |n: usize| chosen.len() - n;
        let enumerated = || chosen.iter().enumerate();
        Attending {
            memories: enumerated().map(|(n, &m)| Attended { memory: &memories[m], slot: away(n) as i64 - 1 }).collect(),
            pointers: enumerated().map(|(n, &m)| (&memories[m], away(n))).collect(),
            pointer_span: 16,
        }
    }

    #[test]
    fn what_two_banks_share_is_there_once_and_every_candidate_is_one_stretch() {
        let memories = memories(8);
        // Two banks with a common past that part in the last two slices; windows 1 and 4 of each.
        let chosen: [&[usize]; 4] = [&[3], &[0, 1, 2, 3], &[5], &[0, 1, 4, 5]];
        let layout = Layout::new(&chosen.map(|chosen| attending(&memories, chosen)));
        assert_eq!(layout.blocks.len(), 2 * 6);
        let lengths: Vec<i64> =
            layout.blocks.iter().map(|b| if matches!(b, Block::Map(_)) { 100 } else { 4 }).collect();
        let stretches = layout.stretches(&lengths);
        assert_eq!(stretches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
        let tokens: Vec<i64> = stretches.iter().flatten().map(|stretch| stretch.end - stretch.start).collect();
        assert_eq!(tokens, [104, 416, 104, 416]);
    }

    #[test]
    fn one_memory_in_two_slots_is_two_blocks() {
        let memories = memories(2);
        let with = |slot| Attending {
            memories: vec![Attended { memory: &memories[0], slot }],
            pointers: vec![(&memories[1], 3)],
            pointer_span: 16,
        };
        let layout = Layout::new(&[with(0), with(6)]);
        assert_eq!(layout.blocks.len(), 3);
        assert_eq!(layout.chosen.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    }
}
