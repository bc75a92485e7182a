//! Stochastic propagation (section 2.1): of a class that is discontinuous along a sequence, one coherent piece is kept.
//!
//! In: masks of one class on T slices, in the order in which they will be propagated. Out: the masks to learn from. A
//! piece that appears
//! without touching anything of the slice before cannot be predicted from it; asking for it would teach the network to
//! jump to look-alikes.

use crate::train::Rng;
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use rand::Rng as _;

/// Neighbouring pixels of one row, `start..end`, and the component that they belong to, counted from 0.
#[derive(Debug, Clone, Copy)]
struct Span {
    row: usize,
    start: usize,
    end: usize,
    component: usize,
}

impl Span {
    /// Whether the two share a column or have neighbouring ones.
    fn meets(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// A mask as spans in reading order; anatomy has some hundred where it has a hundred thousand pixels.
#[derive(Debug, Clone)]
struct Spans {
    all: Vec<Span>,
    /// Where each row begins in `all`, and the end of the last.
    rows: Vec<usize>,
    /// Number of 8-connected components, numbered in the order of their first pixel.
    components: usize,
}

impl Spans {
    fn of(mask: ArrayView2<bool>) -> Self {
        let mut all = Vec::new();
        let mut rows = vec![0];
        for (row, pixels) in mask.rows().into_iter().enumerate() {
            let owned;
            let pixels = match pixels.to_slice() {
                Some(pixels) => pixels,
                None => {
                    owned = pixels.to_vec();
                    &owned
                }
            };
            let mut end = 0;
            while let Some(gap) = pixels[end..].iter().position(|&inside| inside) {
                let start = end + gap;
                end = pixels[start..].iter().position(|&inside| !inside).map_or(pixels.len(), |length| start + length);
                all.push(Span { row, start, end, component: 0 });
            }
            rows.push(all.len());
        }
        let mut spans = Self { all, rows, components: 0 };
        spans.connect();
        spans
    }

    fn row(&self, row: usize) -> &[Span] {
        &self.all[self.rows[row]..self.rows[row + 1]]
    }

    /// Finds the components: spans of neighbouring rows that meet are one.
    fn connect(&mut self) {
        let mut parent: Vec<usize> = (0..self.all.len()).collect();
        fn root(parent: &mut [usize], mut at: usize) -> usize {
            while parent[at] != at {
                parent[at] = parent[parent[at]];
                at = parent[at];
            }
            at
        }
        for row in 1..self.rows.len() - 1 {
            let (above, first) = (self.rows[row - 1], self.rows[row]);
            for_meeting(self.row(row - 1), self.row(row), |upper, lower| {
                let (a, b) = (root(&mut parent, above + upper), root(&mut parent, first + lower));
                // The earlier span is the root: roots come in the order of first pixels.
                parent[a.max(b)] = a.min(b);
            });
        }
        let mut number = vec![usize::MAX; self.all.len()];
        for at in 0..self.all.len() {
            let root = root(&mut parent, at);
            if root == at {
                number[at] = self.components;
                self.components += 1;
            }
            self.all[at].component = number[root];
        }
    }

    /// For each component whether it touches `previous`: shares a pixel with it or has it as a neighbour.
    fn touching(&self, previous: &Self) -> Vec<bool> {
        let mut touches = vec![false; self.components];
        let rows = self.rows.len() - 1;
        for row in 0..rows {
            for beside in row.saturating_sub(1)..(row + 2).min(rows) {
                let own = self.row(row);
                for_meeting(previous.row(beside), own, |_, at| touches[own[at].component] = true);
            }
        }
        touches
    }

    /// The components that are kept; their numbers stay.
    fn select(&self, kept: &[bool]) -> Self {
        let mut rows = vec![0];
        let mut all = Vec::new();
        for row in 0..self.rows.len() - 1 {
            all.extend(self.row(row).iter().filter(|span| kept[span.component]));
            rows.push(all.len());
        }
        Self { all, rows, components: self.components }
    }

    fn paint(&self, mut mask: ArrayViewMut2<bool>) {
        for span in &self.all {
            mask.slice_mut(ndarray::s![span.row, span.start..span.end]).fill(true);
        }
    }
}

/// Calls `pair` with the indices of all spans of two rows that meet.
fn for_meeting(one: &[Span], other: &[Span], mut pair: impl FnMut(usize, usize)) {
    let mut first = 0;
    for (n, span) in one.iter().enumerate() {
        // What ends before this span ends before all later ones.
        while other.get(first).is_some_and(|o| o.end < span.start) {
            first += 1;
        }
        for (at, _) in other.iter().enumerate().skip(first).take_while(|(_, o)| o.start <= span.end) {
            debug_assert!(span.meets(&other[at]));
            pair(n, at);
        }
    }
}

/// The slices of a sequence taken apart.
struct Pieces {
    slices: Vec<Spans>,
    plane: (usize, usize),
}

impl Pieces {
    fn of(masks: ArrayView3<bool>) -> Self {
        let (_, rows, columns) = masks.dim();
        Self { slices: masks.outer_iter().map(Spans::of).collect(), plane: (rows, columns) }
    }

    /// The track of some components of slice `first` through the slices after it: [T - first, H, W].
    fn follow(&self, first: usize, start: Spans) -> Array3<bool> {
        let (rows, columns) = self.plane;
        let mut track = Array3::from_elem((self.slices.len() - first, rows, columns), false);
        let mut previous = start;
        for (n, out) in track.outer_iter_mut().enumerate() {
            if n > 0 {
                let slice = &self.slices[first + n];
                previous = slice.select(&slice.touching(&previous));
            }
            previous.paint(out);
        }
        track
    }

    /// The track of one component.
    fn follow_one(&self, first: usize, component: usize) -> Array3<bool> {
        let slice = &self.slices[first];
        let kept: Vec<bool> = (0..slice.components).map(|n| n == component).collect();
        self.follow(first, slice.select(&kept))
    }

    /// Where tracks begin: (slice, component) for every component of slice 0, and for each later one that touches
    /// nothing of the class on
    /// the slice before it. The latter are the discontinuities; which they are depends on the order of the slices.
    fn seeds(&self) -> Vec<(usize, usize)> {
        let Some(start) = self.slices.first() else { return Vec::new() };
        let mut found: Vec<(usize, usize)> = (0..start.components).map(|component| (0, component)).collect();
        for (t, pair) in self.slices.windows(2).enumerate() {
            let touches = pair[1].touching(&pair[0]);
            found.extend((0..pair[1].components).filter(|&component| !touches[component]).map(|c| (t + 1, c)));
        }
        found
    }
}

/// Whether a piece appears in the sequence that touches nothing of the class on the slice before.
pub fn is_discontinuous(masks: ArrayView3<bool>) -> bool {
    Pieces::of(masks).seeds().iter().any(|(slice, _)| *slice > 0)
}

/// Step 3: the first slice and the masks from there on, [T - first, H, W]. Without a discontinuity the masks come back
/// as they are.
///
/// A sequence that begins later than its first slice is to be extended with the slices that follow it, and judged anew.
fn retain(masks: &Array3<bool>, rng: &mut Rng) -> (usize, Array3<bool>) {
    let pieces = Pieces::of(masks.view());
    let seeds = pieces.seeds();
    if !seeds.iter().any(|(slice, _)| *slice > 0) {
        return (0, masks.clone());
    }
    let (first, component) = seeds[rng.random_range(0..seeds.len())];
    (first, pieces.follow_one(first, component))
}

/// One of the tracks that begin on slice 0, for a sequence that cannot be extended.
fn retain_from_start(masks: &Array3<bool>, rng: &mut Rng) -> Array3<bool> {
    let pieces = Pieces::of(masks.view());
    match pieces.slices.first().map_or(0, |slice| slice.components) {
        0 => masks.clone(),
        count => pieces.follow_one(0, rng.random_range(0..count)),
    }
}

/// The track of a piece of slice 0 through a sequence [T, H, W] whose masks hold it.
fn follow(piece: ArrayView2<bool>, masks: &Array3<bool>) -> Array3<bool> {
    Pieces::of(masks.view()).follow(0, Spans::of(piece))
}

/// The masks from slice `from` on, [length, H, W]; `None` where there are fewer.
pub fn stack(masks: &[Array2<bool>], from: usize, length: usize) -> Option<Array3<bool>> {
    let views: Vec<ArrayView2<bool>> = masks.get(from..from + length)?.iter().map(|mask| mask.view()).collect();
    ndarray::stack(Axis(0), &views).ok()
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
    if rng.random_bool(one_of_several) && Spans::of(sequence.index_axis(Axis(0), 0)).components > 1 {
        return Some((0, retain_from_start(&sequence, rng)));
    }
    let (first, kept) = retain(&sequence, rng);
    if first == 0 {
        return Some((0, kept));
    }
    // The sequence begins where the piece does, and goes on with the slices behind it.
    match stack(masks, first, length) {
        Some(extended) => Some((first, follow(kept.index_axis(Axis(0), 0), &extended))),
        None => Some((0, retain_from_start(&sequence, rng))),
    }
}

/// All tracks as (first slice, masks padded to T slices), for tests against the reference.
pub fn tracks(masks: &Array3<bool>) -> Vec<(usize, Array3<bool>)> {
    let pieces = Pieces::of(masks.view());
    (pieces.seeds().into_iter())
        .map(|(first, component)| {
            let mut whole = Array3::from_elem(masks.dim(), false);
            whole.slice_mut(ndarray::s![first.., .., ..]).assign(&pieces.follow_one(first, component));
            (first, whole)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{rng, Purpose};
    use ndarray::s;
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
        assert_eq!(Spans::of(mask.view()).components, 1);
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
