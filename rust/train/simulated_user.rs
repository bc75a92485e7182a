//! The prompts of a simulated user: points in a mask, points where prediction and ground truth differ, boxes, scribbles
//! and rough masks.
//!
//! In: the true mask, and what was found. Out: points in pixels. [`ClickStyle::Random`] is SAM 2's user (`sam2_utils.py`
//! of `sam2==1.1.0`); the mixed one clicks in the middle, anywhere or near the border, as people do.

mod regions;

use crate::model::prompt_encoder::{Point, PointKind};
use crate::train::config::ClickStyle;
use crate::train::phantom::field::{blur, smooth};
use crate::train::Rng;
use ndarray::{Array2, ArrayView2};
use rand::seq::IndexedRandom;
use rand::Rng as _;
use regions::{depth, largest_component};

/// A random pixel of a mask.
pub fn random_point(mask: &ArrayView2<bool>, kind: PointKind, rng: &mut Rng) -> Option<Point> {
    let inside: Vec<(usize, usize)> = mask.indexed_iter().filter(|(_, &v)| v).map(|(at, _)| at).collect();
    inside.choose(rng).map(|&(row, column)| Point { x: column as f32, y: row as f32, kind })
}

/// A pixel where prediction and truth differ, or of the background where they do not
/// (`sample_random_points_from_errors`).
pub fn correction(found: &ArrayView2<bool>, truth: &ArrayView2<bool>, rng: &mut Rng) -> Point {
    let wrong: Vec<((usize, usize), bool)> = (truth.indexed_iter().zip(found))
        .filter(|((_, truth), found)| truth != found)
        .map(|((at, &truth), _)| (at, truth))
        .collect();
    match wrong.choose(rng) {
        Some(&((row, column), missing)) => {
            let kind = if missing { PointKind::Foreground } else { PointKind::Background };
            Point { x: column as f32, y: row as f32, kind }
        }
        None => {
            let outside = truth.mapv(|v| !v);
            random_point(&outside.view(), PointKind::Background, rng).unwrap_or(Point {
                x: 0.0,
                y: 0.0,
                kind: PointKind::Foreground,
            })
        }
    }
}

/// How often the mixed user clicks in the middle and near the border; else anywhere.
const MIDDLE: f64 = 0.5;
const BORDER: f64 = 0.2;
/// What counts as the middle and as near the border, as shares of the greatest depth; and the border's least width.
const MIDDLE_DEPTH: f32 = 0.8;
const BORDER_DEPTH: f32 = 0.3;
const BORDER_WIDTH: f32 = 1.5;

/// A pixel of a mask in the middle, near the border, or anywhere.
fn mixed_point(mask: &ArrayView2<bool>, kind: PointKind, rng: &mut Rng) -> Option<Point> {
    let drawn = rng.random::<f64>();
    if drawn >= MIDDLE + BORDER {
        return random_point(mask, kind, rng);
    }
    let depth = depth(*mask);
    let greatest = depth.iter().copied().fold(0.0, f32::max);
    let fits = |value: f32| match drawn < MIDDLE {
        true => value >= MIDDLE_DEPTH * greatest,
        false => value <= (BORDER_DEPTH * greatest).max(BORDER_WIDTH),
    };
    random_point(&depth.mapv(|value| value > 0.0 && fits(value)).view(), kind, rng)
}

/// The first click on an object.
pub fn click(mask: &ArrayView2<bool>, style: ClickStyle, rng: &mut Rng) -> Option<Point> {
    match style {
        ClickStyle::Random => random_point(mask, PointKind::Foreground, rng),
        ClickStyle::Mixed => mixed_point(mask, PointKind::Foreground, rng),
    }
}

/// The next click: where prediction and truth differ. The mixed user looks at the largest error; where nothing is wrong
/// it confirms the object or what surrounds it.
pub fn next_click(found: &ArrayView2<bool>, truth: &ArrayView2<bool>, style: ClickStyle, rng: &mut Rng) -> Point {
    if style == ClickStyle::Random {
        return correction(found, truth, rng);
    }
    let wrong = ndarray::Zip::from(truth).and(found).map_collect(|truth, found| truth != found);
    let (region, kind) = match largest_component(wrong.view(), *truth) {
        Some((region, true)) => (region, PointKind::Foreground),
        Some((region, false)) => (region, PointKind::Background),
        None if rng.random_bool(0.5) => (truth.to_owned(), PointKind::Foreground),
        None => (truth.mapv(|inside| !inside), PointKind::Background),
    };
    mixed_point(&region.view(), kind, rng).unwrap_or_else(|| correction(found, truth, rng))
}

/// How much longer than the object a loose box is at each end, as a share of its side.
const LOOSE: f32 = 0.3;

/// A box of the mixed user: half of them are tight, half are loose.
pub fn drawn_box(mask: &ArrayView2<bool>, style: ClickStyle, rng: &mut Rng) -> Vec<Point> {
    let tight = noisy_box(mask, rng);
    if style == ClickStyle::Random || rng.random_bool(0.5) {
        return tight;
    }
    let (start, end) = (tight[0], tight[1]);
    let last = [mask.ncols() as f32 - 1.0, mask.nrows() as f32 - 1.0];
    let mut beyond = |side: f32| rng.random_range(0.0..LOOSE) * side;
    let (wide, high) = (end.x - start.x, end.y - start.y);
    let first = Point { x: (start.x - beyond(wide)).max(0.0), y: (start.y - beyond(high)).max(0.0), ..start };
    let second = Point { x: (end.x + beyond(wide)).min(last[0]), y: (end.y + beyond(high)).min(last[1]), ..end };
    vec![first, second]
}

/// Steps of a scribble's line, each a share of the frame, and how far it turns at each.
const SCRIBBLE_STEPS: usize = 24;
const SCRIBBLE_STEP: f32 = 0.025;
const SCRIBBLE_TURN: f32 = 0.5;

/// `count` points along a winding line inside a mask that has pixels.
pub fn scribble(mask: &ArrayView2<bool>, count: usize, rng: &mut Rng) -> Vec<Point> {
    let Some(start) = mixed_point(mask, PointKind::Foreground, rng) else { return Vec::new() };
    let step = SCRIBBLE_STEP * mask.nrows() as f32;
    let inside = |x: f32, y: f32| x >= 0.0 && y >= 0.0 && mask.get((y as usize, x as usize)).is_some_and(|&v| v);
    let mut line = vec![start];
    let mut direction = rng.random_range(0.0..std::f32::consts::TAU);
    let mut at = start;
    for _ in 0..SCRIBBLE_STEPS {
        direction += rng.random_range(-SCRIBBLE_TURN..SCRIBBLE_TURN);
        let next = Point { x: at.x + step * direction.cos(), y: at.y + step * direction.sin(), kind: at.kind };
        match inside(next.x, next.y) {
            true => {
                at = next;
                line.push(at);
            }
            false => direction = rng.random_range(0.0..std::f32::consts::TAU),
        }
    }
    (0..count).map(|n| line[n * (line.len() - 1) / (count - 1).max(1)]).collect()
}

/// How far a rough mask is moved and deformed, as shares of the square root of its area; how its border moves in and
/// out; and how often it is tried until something is left of it.
const ROUGH_SHIFT: f32 = 0.12;
const ROUGH_WAVES: f32 = 0.12;
const ROUGH_BLUR: std::ops::Range<f32> = 0.02..0.18;
const ROUGH_LEVEL: std::ops::Range<f32> = 0.12..0.88;
const ROUGH_ATTEMPTS: usize = 4;

/// The object as a lasso, another program or a wider frame shows it: shifted, deformed, too large or too small, without
/// fine parts.
pub fn rough_mask(mask: &ArrayView2<bool>, rng: &mut Rng) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    let size = (mask.iter().filter(|&&inside| inside).count() as f32).sqrt();
    let mut normal = |share: f32| -> f32 { rng.sample::<f32, _>(rand_distr::StandardNormal) * share * size };
    let shift = [normal(ROUGH_SHIFT), normal(ROUGH_SHIFT)];
    for _ in 0..ROUGH_ATTEMPTS {
        let cells = rng.random_range(3..9);
        let amplitude = rng.random_range(0.0..ROUGH_WAVES) * size;
        let waves = smooth(rng, [2, cells, cells], [2, rows, columns]);
        let width = rng.random_range(ROUGH_BLUR) * size;
        let soft = blur(&mask.mapv(f32::from), width.max(0.5));
        let level = rng.random_range(ROUGH_LEVEL);
        let rough = Array2::from_shape_fn((rows, columns), |(r, c)| {
            let at = |n: usize, axis: usize| n as f32 + shift[axis] + amplitude * waves[[axis, r, c]];
            let (y, x) = (at(r, 0).round(), at(c, 1).round());
            y >= 0.0 && x >= 0.0 && soft.get((y as usize, x as usize)).is_some_and(|&value| value > level)
        });
        if rough.iter().zip(mask).any(|(&rough, &inside)| rough && inside) {
            return rough;
        }
    }
    mask.to_owned()
}

/// The mask's box, each edge moved by a tenth of the shorter side at most, 20 pixels at most (`sample_box_points`).
pub fn noisy_box(mask: &ArrayView2<bool>, rng: &mut Rng) -> Vec<Point> {
    let (mut low, mut high) = ([f32::MAX; 2], [0f32; 2]);
    for ((row, column), _) in mask.indexed_iter().filter(|(_, &inside)| inside) {
        low = [low[0].min(row as f32), low[1].min(column as f32)];
        high = [high[0].max(row as f32), high[1].max(column as f32)];
    }
    let most = (0.1 * (high[0] - low[0]).min(high[1] - low[1])).clamp(0.0, 20.0);
    let last = [mask.nrows() as f32 - 1.0, mask.ncols() as f32 - 1.0];
    let mut moved = |at: f32, last: f32| (at + rng.random_range(-1.0..1.0) * most).clamp(0.0, last);
    let [y0, x0] = [moved(low[0], last[0]), moved(low[1], last[1])];
    let [y1, x1] = [moved(high[0], last[0]), moved(high[1], last[1])];
    vec![Point { x: x0, y: y0, kind: PointKind::BoxStart }, Point { x: x1, y: y1, kind: PointKind::BoxEnd }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{rng, Purpose};

    fn disc(middle: [f32; 2], radius: f32) -> Array2<bool> {
        Array2::from_shape_fn((64, 64), |(r, c)| (r as f32 - middle[0]).hypot(c as f32 - middle[1]) < radius)
    }

    fn at(point: &Point) -> (usize, usize) {
        (point.y as usize, point.x as usize)
    }

    #[test]
    fn the_mixed_user_clicks_in_the_middle_anywhere_and_near_the_border_and_never_outside() {
        let mask = disc([30.0, 34.0], 15.0);
        let mut draws = rng(1, Purpose::Step, 0);
        let (mut middle, mut border) = (0, 0);
        for _ in 0..200 {
            let point = click(&mask.view(), ClickStyle::Mixed, &mut draws).unwrap();
            assert!(mask[at(&point)]);
            let far = (point.y - 30.0).hypot(point.x - 34.0);
            (middle, border) = (middle + usize::from(far < 5.0), border + usize::from(far > 9.0));
        }
        assert!(middle > 80 && border > 40, "{middle} in the middle, {border} near the border, of 200");
    }

    #[test]
    fn the_next_click_is_on_the_largest_error_and_says_what_it_is() {
        let truth = disc([32.0, 32.0], 14.0);
        let mut found = truth.clone();
        found.slice_mut(ndarray::s![30..46, 26..40]).fill(false); // a large part is missing
        found.slice_mut(ndarray::s![2..5, 2..5]).fill(true); // a small one is too much
        let mut draws = rng(2, Purpose::Step, 0);
        for _ in 0..50 {
            let point = next_click(&found.view(), &truth.view(), ClickStyle::Mixed, &mut draws);
            assert_eq!(point.kind, PointKind::Foreground);
            assert!(truth[at(&point)] && !found[at(&point)]);
        }
        let everything = Array2::from_elem((64, 64), true);
        let point = next_click(&everything.view(), &truth.view(), ClickStyle::Mixed, &mut draws);
        assert!(point.kind == PointKind::Background && !truth[at(&point)]);
    }

    #[test]
    fn loose_boxes_hold_the_object_and_stay_in_the_frame() {
        let mask = disc([20.0, 50.0], 12.0);
        let mut draws = rng(3, Purpose::Step, 0);
        let mut widest = 0f32;
        for _ in 0..100 {
            let corners = drawn_box(&mask.view(), ClickStyle::Mixed, &mut draws);
            assert_eq!([corners[0].kind, corners[1].kind], [PointKind::BoxStart, PointKind::BoxEnd]);
            assert!(corners.iter().all(|p| (0.0..=63.0).contains(&p.x) && (0.0..=63.0).contains(&p.y)));
            assert!(corners[0].x < 44.0 && corners[1].x > 56.0, "{corners:?}");
            widest = widest.max(corners[1].y - corners[0].y);
        }
        assert!(widest > 28.0, "no box was loose: {widest}");
    }

    #[test]
    fn a_scribble_stays_inside_even_of_a_thin_object() {
        let mut draws = rng(4, Purpose::Step, 0);
        let thin = Array2::from_shape_fn((64, 64), |(r, c)| r == 20 && c > 10 && c < 50);
        for mask in [disc([32.0, 32.0], 20.0), thin] {
            for count in [3, 8] {
                let points = scribble(&mask.view(), count, &mut draws);
                assert!(points.len() == count && points.iter().all(|point| mask[at(point)]), "{points:?}");
            }
        }
    }

    #[test]
    fn a_rough_mask_is_neither_the_object_nor_something_else() {
        let mask = disc([32.0, 32.0], 14.0);
        let mut draws = rng(5, Purpose::Step, 0);
        let mut overlaps = Vec::new();
        for _ in 0..60 {
            let rough = rough_mask(&mask.view(), &mut draws);
            let both = rough.iter().zip(&mask).filter(|(a, b)| **a && **b).count();
            let either = rough.iter().zip(&mask).filter(|(a, b)| **a || **b).count();
            overlaps.push(both as f64 / either as f64);
        }
        let mean = overlaps.iter().sum::<f64>() / overlaps.len() as f64;
        assert!((0.45..0.9).contains(&mean), "mean IoU {mean:.2}");
        assert!(overlaps.iter().all(|&iou| iou > 0.1), "{overlaps:?}");
    }
}
