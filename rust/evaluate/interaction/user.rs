//! What the simulated user does next.
//!
//! In: masks of a slice, or scores of slices. Out: a click, or the slice to repaint. Knows nothing of sessions.

use crate::evaluate::statistics::SplitMix;
use crate::evaluate::surface;
use crate::geometry::SliceIndex;
use crate::prompt::PointLabel;
use ndarray::Array2;
use serde::Serialize;

/// Where in an error the user clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum ClickPlace {
    /// The pixel farthest from the error's border
    Center,
    /// Any pixel of the error
    Random,
    /// Any pixel on the error's border
    Border,
}

/// Which slice the user repaints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Repaint {
    /// The slice with the lowest Dice
    Worst,
    /// The slice that the program doubts most: the lowest predicted IoU
    Doubtful,
}

/// A click on a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Click {
    pub row: usize,
    pub column: usize,
    pub label: PointLabel,
}

/// The next click: in the largest connected error, foreground where the object was missed, background where something
/// else was segmented. `None` without an error.
///
/// Pixels that touch at a corner are connected. Of two errors of one size, and of two pixels as far from the border,
/// the one with the lower index, row by row, is taken.
pub fn next_click(
    truth: &Array2<bool>,
    found: &Array2<bool>,
    place: ClickPlace,
    random: &mut SplitMix,
) -> Option<Click> {
    let (error, label) = largest_error(truth, found)?;
    let (row, column) = chosen(&error, truth.dim(), place, random);
    Some(Click { row, column, label })
}

/// The pixels of the largest connected error, row by row, and what a click there says: the object was missed
/// (foreground) or something else was segmented (background). Of two of one size the one with the lower index.
pub fn largest_error(truth: &Array2<bool>, found: &Array2<bool>) -> Option<(Vec<(usize, usize)>, PointLabel)> {
    let errors = |label: PointLabel| {
        let wanted = label == PointLabel::Foreground;
        let mut wrong = truth.clone();
        wrong.zip_mut_with(found, |truth, &found| *truth = *truth != found && *truth == wanted);
        largest_component(&wrong).map(|error| (error, label))
    };
    let all = [PointLabel::Foreground, PointLabel::Background].into_iter().filter_map(errors);
    all.min_by_key(|(error, _)| (std::cmp::Reverse(error.len()), error[0]))
}

/// The pixels of the largest connected part of a mask, row by row; of several of one size the first. `None` if empty.
fn largest_component(mask: &Array2<bool>) -> Option<Vec<(usize, usize)>> {
    let (rows, columns) = mask.dim();
    let mut left = mask.clone();
    let mut largest: Vec<(usize, usize)> = Vec::new();
    for start in mask.indexed_iter().filter(|(_, &inside)| inside).map(|(at, _)| at) {
        if !std::mem::take(&mut left[start]) {
            continue;
        }
        let mut component = vec![start];
        let mut next = 0;
        while next < component.len() {
            let (row, column) = component[next];
            next += 1;
            for r in row.saturating_sub(1)..(row + 2).min(rows) {
                for c in column.saturating_sub(1)..(column + 2).min(columns) {
                    if std::mem::take(&mut left[(r, c)]) {
                        component.push((r, c));
                    }
                }
            }
        }
        if component.len() > largest.len() {
            largest = component;
        }
    }
    largest.sort_unstable();
    (!largest.is_empty()).then_some(largest)
}

fn chosen(error: &[(usize, usize)], size: (usize, usize), place: ClickPlace, random: &mut SplitMix) -> (usize, usize) {
    match place {
        ClickPlace::Center => innermost(error, size),
        ClickPlace::Random => error[random.below(error.len())],
        ClickPlace::Border => {
            let inside: std::collections::HashSet<_> = error.iter().copied().collect();
            let beside =
                |(r, c): (usize, usize)| [(r.wrapping_sub(1), c), (r + 1, c), (r, c.wrapping_sub(1)), (r, c + 1)];
            let border: Vec<_> = error.iter().filter(|&&at| !beside(at).iter().all(|at| inside.contains(at))).collect();
            *border[random.below(border.len())]
        }
    }
}

/// The pixel of a component with the largest distance to the pixels outside of it, the first at a tie; beyond the
/// slice is outside.
pub fn innermost(component: &[(usize, usize)], size: (usize, usize)) -> (usize, usize) {
    let inside = squared_depths(component, size);
    let deepest = inside.iter().copied().fold(0.0, f64::max);
    component[inside.iter().position(|&depth| depth == deepest).unwrap_or(0)]
}

/// The squared distance of each pixel of a component to the pixels outside of it; beyond the slice is outside.
pub fn squared_depths(component: &[(usize, usize)], (rows, columns): (usize, usize)) -> Vec<f64> {
    let mut outside = ndarray::Array3::from_elem((1, rows + 2, columns + 2), true);
    component.iter().for_each(|&(row, column)| outside[(0, row + 1, column + 1)] = false);
    let distance = surface::squared_distance(outside.view(), [1.0; 3]);
    component.iter().map(|&(row, column)| distance[(0, row + 1, column + 1)]).collect()
}

/// What the user and the program know of a slice of a result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SliceState {
    pub slice: SliceIndex,
    /// The slice's true Dice.
    pub dice: f64,
    /// Predicted IoU; `None` where the program found nothing.
    pub score: Option<f64>,
    /// It has a prompt already.
    pub prompted: bool,
}

/// The slice to repaint: without a prompt, wrong (`Worst`) or segmented at all (`Doubtful`). At a tie the lowest slice.
pub fn slice_to_repaint(slices: &[SliceState], rule: Repaint) -> Option<SliceIndex> {
    let of_rule = |state: &&SliceState| match rule {
        Repaint::Worst => Some(state.dice).filter(|&dice| dice < 1.0),
        Repaint::Doubtful => state.score,
    };
    let open = slices.iter().filter(|state| !state.prompted);
    let ranked = open.filter_map(|state| of_rule(&state).map(|value| (value, state.slice)));
    ranked.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, slice)| slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `#` is inside.
    fn mask(rows: &[&str]) -> Array2<bool> {
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(r, c)| rows[r].as_bytes()[c] == b'#')
    }

    fn click(truth: &[&str], found: &[&str], place: ClickPlace) -> Option<(usize, usize, PointLabel)> {
        let click = next_click(&mask(truth), &mask(found), place, &mut SplitMix::new(3))?;
        Some((click.row, click.column, click.label))
    }

    const NOTHING: [&str; 5] = ["........."; 5];

    #[test]
    fn first_click_lies_in_the_middle_of_the_largest_part_of_the_object() {
        let truth = ["#........", "....#####", "....#####", "....#####", "........."];
        assert_eq!(click(&truth, &NOTHING, ClickPlace::Center), Some((2, 5, PointLabel::Foreground)));
    }

    #[test]
    fn click_is_negative_where_more_was_added_than_missed() {
        let truth = [".........", "###......", "###......", "###......", "........."];
        let found = [".........", ".##..####", ".##..####", ".##..####", "........."];
        assert_eq!(click(&truth, &found, ClickPlace::Center), Some((2, 6, PointLabel::Background)));
        assert_eq!(click(&truth, &truth, ClickPlace::Center), None);
    }

    #[test]
    fn parts_that_touch_at_a_corner_are_one_error() {
        let truth = ["##.......", "##.......", "..##.....", "..##.....", ".....####"];
        // Eight pixels in two squares, although the bar alone is longer than each of them.
        let clicked = click(&truth, &NOTHING, ClickPlace::Center).unwrap();
        assert_eq!((clicked.0, clicked.1), (0, 0), "all pixels are as near to the border: the first counts");
    }

    #[test]
    fn ties_between_errors_go_to_the_lower_index() {
        let truth = [".........", "......###", ".........", ".........", "........."];
        let found = ["###......", ".........", ".........", ".........", "........."];
        assert_eq!(click(&truth, &found, ClickPlace::Center), Some((0, 0, PointLabel::Background)));
        assert_eq!(click(&found, &truth, ClickPlace::Center), Some((0, 0, PointLabel::Foreground)));
    }

    #[test]
    fn pixels_beyond_the_slice_are_outside_the_error() {
        let truth = ["#####....", "#####....", "#####....", "#####....", "#####...."];
        assert_eq!(click(&truth, &NOTHING, ClickPlace::Center), Some((2, 2, PointLabel::Foreground)));
    }

    #[test]
    fn random_and_border_clicks_lie_where_they_should_and_depend_on_the_seed_alone() {
        let truth = mask(&[".........", ".#######.", ".#######.", ".#######.", "........."]);
        let nothing = mask(&NOTHING);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let at = |place| {
                let click = next_click(&truth, &nothing, place, &mut SplitMix::new(seed)).unwrap();
                (click.row, click.column)
            };
            assert!(truth[at(ClickPlace::Random)]);
            let (row, column) = at(ClickPlace::Border);
            assert!(truth[(row, column)] && (row != 2 || column == 1 || column == 7), "{row} {column}");
            assert_eq!(at(ClickPlace::Random), at(ClickPlace::Random));
            seen.insert(at(ClickPlace::Random));
        }
        assert!(seen.len() > 10, "{seen:?}");
    }

    #[test]
    fn user_repaints_the_worst_slice_or_the_most_doubtful_one_once() {
        let state = |slice, dice, score, prompted| SliceState { slice: SliceIndex(slice), dice, score, prompted };
        let slices = [
            state(3, 0.5, Some(0.9), false),
            state(4, 0.2, Some(0.1), true),
            state(5, 0.5, Some(0.7), false),
            state(6, 1.0, Some(0.4), false),
            state(7, 0.6, None, false),
        ];
        assert_eq!(slice_to_repaint(&slices, Repaint::Worst), Some(SliceIndex(3)), "of two, the lower one");
        assert_eq!(slice_to_repaint(&slices, Repaint::Doubtful), Some(SliceIndex(6)));
        let done = [state(3, 1.0, None, false), state(4, 0.0, Some(0.2), true)];
        assert_eq!(slice_to_repaint(&done, Repaint::Worst), None);
        assert_eq!(slice_to_repaint(&done, Repaint::Doubtful), None);
    }
}
