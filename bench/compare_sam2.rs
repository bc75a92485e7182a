//! This project's side of the comparison with the public implementation, which bench/compare_sam2.py runs:
//! `cargo bench --bench compare_sam2 -- FOLDER MODE PRECISION`.
//!
//! FOLDER holds `scan.nii` and `mask.nii`, as bench/compare_sam2.py writes them. MODE: plain, search or adaptive. The
//! network is SAM 2.1 tiny at the scan's size with the pseudo-random weights of the specification. Prints one JSON
//! object. Nothing else should use the machine meanwhile.

mod common;

use common::peak_mb;
use ndarray::{Array2, Axis as Dimension};
use promem::geometry::{Axis, SliceIndex, VoxelIndex};
use promem::model::config::{Config, Size, Version};
use promem::model::Sam2;
use promem::prompt::ObjectId;
use promem::session::{self, Direction, Flow, PropagateOptions, Session, SharedModel, SliceReport};
use promem::slices::intensity::Window;
use promem::tracking::SearchOptions;
use promem::volume;
use std::path::Path;
use std::time::Instant;

/// Slices that fill the largest window; from here on the time of a slice is constant.
const WARM: usize = 7;
/// Rounds of re-prompting.
const ROUNDS: usize = 9;
const CACHE: usize = 1 << 30;

fn options(mode: &str) -> SearchOptions {
    let search = match mode {
        "plain" => SearchOptions::sam2(),
        "search" => SearchOptions::promem(),
        // Pseudo-random weights score all slices alike: the time of a slice whose first candidate is accepted.
        "adaptive" => SearchOptions { accept_iou: Some(0.0), ..SearchOptions::promem() },
        other => panic!("mode `{other}`: expected plain, search or adaptive"),
    };
    SearchOptions { stop_when_absent: false, ..search }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    session::keep_freed_memory();
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [folder, mode, precision] = &arguments[..] else { panic!("expected FOLDER MODE PRECISION") };
    let folder = Path::new(folder);
    let device = session::choose_device(session::DeviceChoice::Auto).unwrap();
    let precision = session::choose_precision(precision.parse().unwrap(), device);
    let scan = volume::read_image(&folder.join("scan.nii")).unwrap();
    let mask: Array2<bool> =
        volume::read_image(&folder.join("mask.nii")).unwrap().voxels().index_axis(Dimension(0), 0).mapv(|v| v > 0.5);
    let mask_side = mask.nrows();
    let config = Config::official(Version::V2_1, Size::Tiny).with_image_size(mask_side as i64).unwrap();
    let model = SharedModel::new(Sam2::pseudo_random(&config, device, precision));
    let window = Window::WidthLevel { width: 255.0, level: 127.5 };
    let count = scan.geometry().dims.along(Axis::K);
    let object = ObjectId::new(1).unwrap();
    let mut session = Session::new(model, scan, Axis::K, window, CACHE).unwrap();

    let begin = Instant::now();
    session.prompts_mut().add_mask(object, SliceIndex(0), mask).unwrap();
    let mut at = Vec::with_capacity(count);
    let options = PropagateOptions { direction: Direction::Up, ..PropagateOptions::whole(options(mode)) };
    let sink = &mut |_: SliceReport| {
        at.push(begin.elapsed().as_secs_f64());
        Ok(Flow::Continue)
    };
    let outcome = session.propagate(&options, sink).unwrap();
    let mut steps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).skip(WARM).collect();
    let steady = &outcome.trace.up[WARM..];
    let mean = |of: fn(&session::SliceTrace) -> f64| steady.iter().map(of).sum::<f64>() / steady.len() as f64 / 1e3;

    // A box on a slice whose embedding is cached: the latency of a correction.
    let middle = SliceIndex(count / 2);
    let mut reprompt: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let [near, far] = [3 * mask_side / 10 + round, 7 * mask_side / 10].map(|at| VoxelIndex([at, at, middle.0]));
            session.prompts_mut().remove_slice(object, middle);
            session.prompts_mut().add_box(object, near, far).unwrap();
            let begin = Instant::now();
            session.predict(object, middle, None).unwrap();
            begin.elapsed().as_secs_f64()
        })
        .collect();
    let told = serde_json::json!({
        "seconds_per_slice": median(&mut steps),
        "encode_seconds": mean(|slice| slice.encode_ms),
        "search_seconds": mean(|slice| slice.search_ms),
        "first_result_seconds": at[1],
        "reprompt_seconds": median(&mut reprompt),
        "peak_mb": peak_mb(),
        "embeddings": session.cache().encoded(),
        "last_score": steady.last().map(|slice| slice.candidates[slice.order[0]].iou),
    });
    eprintln!("{told}");
}
