//! The line that the simulated user draws: along the core of the largest error.
//!
//! In: masks of a slice. Out: the pixels of a line. Knows nothing of sessions.

use super::user::{innermost, largest_error, squared_depths};
use crate::prompt::PointLabel;
use ndarray::Array2;
use std::collections::{BTreeMap, VecDeque};

/// A line on a slice, pixel by pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scribble {
    pub pixels: Vec<(usize, usize)>,
    pub label: PointLabel,
}

/// The next line: the longest of the shortest paths through the core of the largest error, which are its pixels at
/// least half as far from its border as the innermost one. `None` without an error.
///
/// "Longest" by two sweeps: the pixel farthest from the innermost one, and the one farthest from that; at a tie the
/// first, row by row.
pub fn next_scribble(truth: &Array2<bool>, found: &Array2<bool>) -> Option<Scribble> {
    let (error, label) = largest_error(truth, found)?;
    let depths = squared_depths(&error, truth.dim());
    let half = depths.iter().copied().fold(0.0, f64::max) / 4.0; // depths are squared
    let core: Vec<_> = error.iter().zip(&depths).filter(|(_, &depth)| depth >= half).map(|(&at, _)| at).collect();
    let (one_end, _) = sweep(&core, innermost(&error, truth.dim()));
    let (other_end, before) = sweep(&core, one_end);
    let mut pixels = vec![other_end];
    while let Some(&at) = before.get(&pixels[pixels.len() - 1]) {
        pixels.push(at);
    }
    Some(Scribble { pixels, label })
}

/// Row and column.
type Pixel = (usize, usize);

/// From `start` through the core, pixels that touch at a corner being neighbours: the farthest pixel, and the pixel
/// before each one on a shortest path.
fn sweep(core: &[Pixel], start: Pixel) -> (Pixel, BTreeMap<Pixel, Pixel>) {
    let inside: std::collections::HashSet<_> = core.iter().copied().collect();
    let mut before = BTreeMap::new();
    let mut steps = BTreeMap::from([(start, 0usize)]);
    let mut open = VecDeque::from([start]);
    while let Some((row, column)) = open.pop_front() {
        let away = steps[&(row, column)];
        for at in
            (row.saturating_sub(1)..=row + 1).flat_map(|r| (column.saturating_sub(1)..=column + 1).map(move |c| (r, c)))
        {
            if inside.contains(&at) && !steps.contains_key(&at) {
                steps.insert(at, away + 1);
                before.insert(at, (row, column));
                open.push_back(at);
            }
        }
    }
    let farthest = steps.iter().max_by_key(|(&at, &away)| (away, std::cmp::Reverse(at)));
    (farthest.map_or(start, |(&at, _)| at), before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_runs_along_the_middle_of_the_error_and_stays_inside() {
        // A bar of 5 rows and 21 columns.
        let truth = Array2::from_shape_fn((11, 30), |(r, c)| (3..8).contains(&r) && (4..25).contains(&c));
        let nothing = Array2::from_elem((11, 30), false);
        let scribble = next_scribble(&truth, &nothing).unwrap();
        assert_eq!(scribble.label, PointLabel::Foreground);
        assert!(scribble.pixels.iter().all(|&at| truth[at]));
        assert!(scribble.pixels.iter().all(|&(row, _)| (4..=6).contains(&row)), "{:?}", scribble.pixels);
        assert!(scribble.pixels.len() >= 17, "it reaches from end to end: {:?}", scribble.pixels);
        for pair in scribble.pixels.windows(2) {
            assert!(pair[0].0.abs_diff(pair[1].0) <= 1 && pair[0].1.abs_diff(pair[1].1) <= 1);
        }
    }

    #[test]
    fn line_excludes_what_was_added_and_a_single_pixel_is_a_point() {
        let truth = Array2::from_elem((6, 6), false);
        let mut found = truth.clone();
        found[(2, 4)] = true;
        let scribble = next_scribble(&truth, &found).unwrap();
        assert_eq!(scribble, Scribble { pixels: vec![(2, 4)], label: PointLabel::Background });
        assert_eq!(next_scribble(&truth, &truth), None);
    }
}
