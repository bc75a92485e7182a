//! Stochastic propagation (section 2.1): of a class that is discontinuous along a sequence, one coherent piece is kept.
//!
//! In: masks of one class on T slices, in the order in which they will be propagated. Out: the masks to learn from. A piece that appears
//! without touching anything of the slice before cannot be predicted from it; asking for it would teach the network to jump to look-alikes.

use crate::train::Rng;
use ndarray::{s, Array2, Array3, ArrayView2, ArrayView3};
use rand::Rng as _;

/// 8-connected components of a mask: labels from 1, in the order of their first pixel, and their number.
pub fn components(mask: ArrayView2<bool>) -> (Array2<u32>, u32) {
    let (rows, columns) = mask.dim();
    let mut labels = Array2::zeros((rows, columns));
    let mut count = 0;
    let mut open: Vec<(usize, usize)> = Vec::new();
    for ((row, column), &inside) in mask.indexed_iter() {
        if !inside || labels[(row, column)] > 0 {
            continue;
        }
        count += 1;
        labels[(row, column)] = count;
        open.push((row, column));
        while let Some((r, c)) = open.pop() {
            for r in r.saturating_sub(1)..(r + 2).min(rows) {
                for c in c.saturating_sub(1)..(c + 2).min(columns) {
                    if mask[(r, c)] && labels[(r, c)] == 0 {
                        labels[(r, c)] = count;
                        open.push((r, c));
                    }
                }
            }
        }
    }
    (labels, count)
}

/// The slices of a sequence taken apart.
struct Pieces(Vec<(Array2<u32>, u32)>);

impl Pieces {
    fn of(masks: ArrayView3<bool>) -> Self {
        Self(masks.outer_iter().map(components).collect())
    }

    /// For each component of slice `t` whether it touches `previous`: shares a pixel with it or has it as a neighbour.
    fn touching(&self, t: usize, previous: ArrayView2<bool>) -> Vec<bool> {
        let (labels, count) = &self.0[t];
        let (rows, columns) = labels.dim();
        let mut touches = vec![false; *count as usize + 1];
        for ((row, column), _) in previous.indexed_iter().filter(|(_, &inside)| inside) {
            for r in row.saturating_sub(1)..(row + 2).min(rows) {
                for c in column.saturating_sub(1)..(column + 2).min(columns) {
                    touches[labels[(r, c)] as usize] = true;
                }
            }
        }
        touches[0] = false;
        touches
    }

    fn select(&self, t: usize, kept: &[bool]) -> Array2<bool> {
        self.0[t].0.mapv(|label| kept[label as usize])
    }

    /// The track of one component of slice `first` through the slices after it: [T - first, H, W].
    fn follow(&self, first: usize, component: u32) -> Array3<bool> {
        let length = self.0.len() - first;
        let (rows, columns) = self.0[first].0.dim();
        let mut track = Array3::from_elem((length, rows, columns), false);
        let mut previous = self.0[first].0.mapv(|label| label == component);
        track.index_axis_mut(ndarray::Axis(0), 0).assign(&previous);
        for n in 1..length {
            previous = self.select(first + n, &self.touching(first + n, previous.view()));
            track.index_axis_mut(ndarray::Axis(0), n).assign(&previous);
        }
        track
    }
}

/// Where tracks begin: (slice, component) for every component of slice 0, and for each later one that touches nothing of the class on the
/// slice before it. The latter are the discontinuities; which they are depends on the order of the slices.
fn seeds(masks: ArrayView3<bool>, pieces: &Pieces) -> Vec<(usize, u32)> {
    let mut found: Vec<(usize, u32)> = (1..=pieces.0[0].1).map(|component| (0, component)).collect();
    for t in 1..pieces.0.len() {
        let touches = pieces.touching(t, masks.slice(s![t - 1, .., ..]));
        found.extend((1..=pieces.0[t].1).filter(|&component| !touches[component as usize]).map(|c| (t, c)));
    }
    found
}

/// Whether a piece appears in the sequence that touches nothing of the class on the slice before.
pub fn is_discontinuous(masks: ArrayView3<bool>) -> bool {
    !masks.is_empty() && seeds(masks, &Pieces::of(masks)).iter().any(|(slice, _)| *slice > 0)
}

/// Step 3: the first slice and the masks from there on, [T - first, H, W]. Without a discontinuity the masks come back as they are.
///
/// A sequence that begins later than its first slice is to be extended with the slices that follow it, and judged anew.
fn retain(masks: &Array3<bool>, rng: &mut Rng) -> (usize, Array3<bool>) {
    if masks.is_empty() {
        return (0, masks.clone());
    }
    let pieces = Pieces::of(masks.view());
    let seeds = seeds(masks.view(), &pieces);
    if !seeds.iter().any(|(slice, _)| *slice > 0) {
        return (0, masks.clone());
    }
    let (first, component) = seeds[rng.random_range(0..seeds.len())];
    (first, pieces.follow(first, component))
}

/// One of the tracks that begin on slice 0, for a sequence that cannot be extended.
fn retain_from_start(masks: &Array3<bool>, rng: &mut Rng) -> Array3<bool> {
    let pieces = Pieces::of(masks.view());
    match pieces.0[0].1 {
        0 => masks.clone(),
        count => pieces.follow(0, rng.random_range(1..=count)),
    }
}

/// The track of a piece of slice 0 through a sequence [T, H, W] whose masks hold it.
fn follow(piece: ArrayView2<bool>, masks: &Array3<bool>) -> Array3<bool> {
    let pieces = Pieces::of(masks.view());
    let mut track = Array3::from_elem(masks.dim(), false);
    let mut previous = piece.to_owned();
    track.index_axis_mut(ndarray::Axis(0), 0).assign(&previous);
    for t in 1..masks.dim().0 {
        previous = pieces.select(t, &pieces.touching(t, previous.view()));
        track.index_axis_mut(ndarray::Axis(0), t).assign(&previous);
    }
    track
}

/// The masks from slice `from` on, [length, H, W]; `None` where there are fewer.
pub fn stack(masks: &[Array2<bool>], from: usize, length: usize) -> Option<Array3<bool>> {
    let views: Vec<ArrayView2<bool>> = masks.get(from..from + length)?.iter().map(|mask| mask.view()).collect();
    ndarray::stack(ndarray::Axis(0), &views).ok()
}

/// Step 3 over a sequence that goes on beyond `length` slices: where the kept piece begins, and its masks.
///
/// `one_of_several`: how often one of several pieces on the first slice is taken although nothing is discontinuous; 0 in the paper.
pub fn coherent(
    masks: &[Array2<bool>],
    length: usize,
    one_of_several: f64,
    rng: &mut Rng,
) -> Option<(usize, Array3<bool>)> {
    let sequence = stack(masks, 0, length)?;
    if rng.random_bool(one_of_several) && components(sequence.index_axis(ndarray::Axis(0), 0)).1 > 1 {
        return Some((0, retain_from_start(&sequence, rng)));
    }
    let (first, kept) = retain(&sequence, rng);
    if first == 0 {
        return Some((0, kept));
    }
    // The sequence begins where the piece does, and goes on with the slices behind it.
    match stack(masks, first, length) {
        Some(extended) => Some((first, follow(kept.index_axis(ndarray::Axis(0), 0), &extended))),
        None => Some((0, retain_from_start(&sequence, rng))),
    }
}

/// All tracks as (first slice, masks padded to T slices), for tests against the reference.
pub fn tracks(masks: &Array3<bool>) -> Vec<(usize, Array3<bool>)> {
    let pieces = Pieces::of(masks.view());
    (seeds(masks.view(), &pieces).into_iter())
        .map(|(first, component)| {
            let mut whole = Array3::from_elem(masks.dim(), false);
            whole.slice_mut(s![first.., .., ..]).assign(&pieces.follow(first, component));
            (first, whole)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{rng, Purpose};
    use std::collections::BTreeSet;

    /// Two lobes that join only further up.
    fn stomach() -> Array3<bool> {
        let mut m = Array3::from_elem((6, 12, 24), false);
        m.slice_mut(s![.., 4..8, 2..8]).fill(true);
        m.slice_mut(s![2.., 4..8, 14..20]).fill(true);
        m.slice_mut(s![4.., 4..8, 8..14]).fill(true);
        m
    }

    #[test]
    fn a_lobe_that_appears_apart_is_a_discontinuity_one_way_only() {
        let up = stomach();
        assert!(is_discontinuous(up.view()));
        let found = tracks(&up);
        assert_eq!(found.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [0, 2]);
        assert!(!found[0].1[[3, 5, 16]] && found[0].1[[4, 5, 16]], "the lobe is not ours until it touches us");
        let down = up.slice(s![..;-1, .., ..]).to_owned();
        assert!(!is_discontinuous(down.view()));
        assert_eq!(retain(&down, &mut rng(0, Purpose::Clip, 0)), (0, down));
    }

    #[test]
    fn every_piece_is_kept_in_some_draw_and_begins_where_it_appears() {
        let starts: BTreeSet<usize> = (0..20).map(|n| retain(&stomach(), &mut rng(0, Purpose::Clip, n)).0).collect();
        assert_eq!(starts, BTreeSet::from([0, 2]));
        for n in 0..20 {
            let (first, kept) = retain(&stomach(), &mut rng(0, Purpose::Clip, n));
            assert_eq!(kept.dim().0, 6 - first);
            assert!(!is_discontinuous(kept.view()), "what is kept is coherent");
        }
    }

    #[test]
    fn corners_join_pixels_and_neighbours_across_slices_touch() {
        let mask = ndarray::arr2(&[[true, false, false], [false, true, false], [false, false, false]]);
        assert_eq!(components(mask.view()).1, 1);
        let mut pair = Array3::from_elem((2, 3, 6), false);
        pair[[0, 1, 1]] = true;
        pair[[1, 1, 2]] = true; // beside it
        assert!(!is_discontinuous(pair.view()));
        pair[[1, 1, 2]] = false;
        pair[[1, 1, 3]] = true; // two pixels away
        assert!(is_discontinuous(pair.view()));
    }

    #[test]
    fn an_empty_sequence_stays_empty() {
        let empty = Array3::from_elem((3, 4, 4), false);
        assert_eq!(retain(&empty, &mut rng(0, Purpose::Clip, 0)), (0, empty.clone()));
        assert_eq!(retain_from_start(&empty, &mut rng(0, Purpose::Clip, 0)), empty);
    }
}
