//! The memories and object pointers that the candidates of a slice attend to, each one once: what several candidates
//! share is projected once, and the blocks are sorted so that each candidate's own are a contiguous range of the
//! tokens, wherever that is possible.

use super::outputs::{Memory, MemoryId};
use std::ops::Range;

/// One memory that a slice attends to.
#[derive(Debug, Clone, Copy)]
pub struct Attended<'a> {
    /// Whose features are attended to.
    pub memory: &'a Memory,
    /// Row of `maskmem_tpos_enc`: 0 is the previous slice, 6 the pinned prompt.
    pub slot: i64,
}

/// What one candidate attends to.
#[derive(Debug, Clone)]
pub struct Attending<'a> {
    /// Memories, oldest first.
    pub memories: Vec<Attended<'a>>,
    /// Memories whose object pointers are attended to, with their distance in slices.
    pub pointers: Vec<(&'a Memory, usize)>,
    /// The largest possible number of pointers, by which their distances are scaled.
    pub pointer_span: usize,
}

/// What becomes a contiguous range of tokens.
#[derive(Debug, Clone, Copy)]
pub enum Block<'a> {
    Map(Attended<'a>),
    Pointer { memory: &'a Memory, away: usize, span: usize },
}

impl Block<'_> {
    /// Equal for blocks of the same tokens: those of the same memory, with the same encoding.
    fn identity(&self) -> (bool, MemoryId, usize, usize) {
        match self {
            Block::Map(a) => (false, a.memory.id(), a.slot as usize, 0),
            Block::Pointer { memory, away, span } => (true, memory.id(), *away, *span),
        }
    }
}

/// Distinct blocks in the order of their tokens, and which of them each candidate attends to.
#[derive(Debug)]
pub struct CandidateLayout<'a> {
    pub blocks: Vec<Block<'a>>,
    /// Indices of `blocks`, ascending.
    pub chosen: Vec<Vec<usize>>,
}

impl<'a> CandidateLayout<'a> {
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
        // What two candidates share lies between what each has alone: a stable sort by the mean number of the
        // candidates.
        let mean = |by: &[usize]| by.iter().sum::<usize>() as f64 / by.len() as f64;
        blocks.sort_by(|(_, a), (_, b)| mean(a).total_cmp(&mean(b)));
        let chosen = (0..candidates.len())
            .map(|number| (0..blocks.len()).filter(|&block| blocks[block].1.contains(&number)).collect())
            .collect();
        Self { blocks: blocks.into_iter().map(|(block, _)| block).collect(), chosen }
    }

    /// Slots of the maps, and distances and spans of the pointers, both in the order of the blocks.
    pub fn slots_and_distances(&self) -> (Vec<i64>, Vec<(usize, usize)>) {
        let (mut slots, mut pointers) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            match *block {
                Block::Map(attended) => slots.push(attended.slot),
                Block::Pointer { away, span, .. } => pointers.push((away, span)),
            }
        }
        (slots, pointers)
    }

    /// The ranges of tokens that each candidate attends to; `lengths`: tokens of each block.
    pub fn token_ranges(&self, lengths: &[i64]) -> Vec<Vec<Range<i64>>> {
        let ends: Vec<i64> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        let ranges = |chosen: &Vec<usize>| {
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
        self.chosen.iter().map(ranges).collect()
    }
}

/// A candidate's blocks, each memory's pointer next to its map: a shorter window is then a contiguous range of a longer
/// one.
fn in_order<'a>(candidate: &Attending<'a>) -> Vec<Block<'a>> {
    let pointer = |&(memory, away): &(&'a Memory, usize)| Block::Pointer { memory, away, span: candidate.pointer_span };
    let same = |a: &Memory, b: &Memory| a.id() == b.id();
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
        (0..count).map(|_| Memory::new(one(), one())).collect()
    }

    /// `chosen`: indices of `memories`, farthest first, as the search chooses; the last is one slice away.
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
    fn candidates_share_blocks_and_each_attends_to_one_contiguous_range() {
        let memories = memories(8);
        // Two banks with a common past that part in the last two slices; windows 1 and 4 of each.
        let chosen: [&[usize]; 4] = [&[3], &[0, 1, 2, 3], &[5], &[0, 1, 4, 5]];
        let layout = CandidateLayout::new(&chosen.map(|chosen| attending(&memories, chosen)));
        assert_eq!(layout.blocks.len(), 2 * 6);
        let lengths: Vec<i64> =
            layout.blocks.iter().map(|b| if matches!(b, Block::Map(_)) { 100 } else { 4 }).collect();
        let ranges = layout.token_ranges(&lengths);
        assert_eq!(ranges.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
        let tokens: Vec<i64> = ranges.iter().flatten().map(|range| range.end - range.start).collect();
        assert_eq!(tokens, [104, 416, 104, 416]);
    }

    #[test]
    fn absent_objects_of_two_slices_are_two_pointers_although_they_share_a_tensor() {
        let absent = Tensor::zeros([1, 4], (Kind::Float, Device::Cpu));
        let memories: Vec<Memory> =
            memories(2).into_iter().map(|m| Memory::new(m.features, absent.shallow_clone())).collect();
        let pointers = memories.iter().map(|memory| (memory, 3)).collect();
        let layout = CandidateLayout::new(&[Attending { memories: Vec::new(), pointers, pointer_span: 16 }]);
        assert_eq!(layout.blocks.len(), 2);
        assert_eq!(layout.chosen, [[0, 1]]);
    }

    #[test]
    fn clones_of_a_memory_are_one_block() {
        let memory = memories(1).remove(0);
        let clone = memory.clone();
        let layout = CandidateLayout::new(&[&memory, &clone].map(|memory| Attending {
            memories: vec![Attended { memory, slot: 0 }],
            pointers: vec![(memory, 1)],
            pointer_span: 16,
        }));
        assert_eq!(layout.blocks.len(), 2);
    }

    #[test]
    fn one_memory_in_two_slots_is_two_blocks() {
        let memories = memories(2);
        let with = |slot| Attending {
            memories: vec![Attended { memory: &memories[0], slot }],
            pointers: vec![(&memories[1], 3)],
            pointer_span: 16,
        };
        let layout = CandidateLayout::new(&[with(0), with(6)]);
        assert_eq!(layout.blocks.len(), 3);
        assert_eq!(layout.chosen.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    }
}
