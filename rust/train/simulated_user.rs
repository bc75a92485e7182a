//! The prompts of a simulated user: points in a mask, points where prediction and ground truth differ, and loose boxes.
//!
//! Source: `sam2_utils.py` of `sam2==1.1.0`.

use crate::model::prompt_encoder::{Point, PointKind};
use crate::train::Rng;
use ndarray::ArrayView2;
use rand::seq::IndexedRandom;
use rand::Rng as _;

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
