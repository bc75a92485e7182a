//! How time and memory scale with the number of slices, objects, beams and windows and with the image size:
//! `cargo bench --bench scaling`. One parameter changes at a time. The network is that of the default model, and SAM 2
//! tiny for one object and eight, with pseudo-random weights, so that no propagation ends early.
//!
//! `-- --smoke`: a short version of each; `-- --tiny`: only SAM 2 tiny; `-- --long`: only 1,000 slices with 20 objects,
//! for which memory must stay bounded.

mod common;

use common::peak_mb;
use ndarray::{Array2, Array3};
use promem::geometry::{Axis, Dims, Geometry, IjkToRas, SliceIndex, Spacing};
use promem::model::config::{Size, Version};
use promem::model::{Config, Precision, Sam2};
use promem::prompt::ObjectId;
use promem::session::{self, Direction, Flow, PropagateOptions, Session, SharedModel, SliceReport};
use promem::slices::intensity::Window;
use promem::tracking::SearchOptions;
use promem::volume::Volume;
use std::time::Instant;
use tch::Device;

#[derive(Clone)]
struct Work {
    slices: usize,
    objects: u16,
    windows: Vec<usize>,
    beams: usize,
    network: Config,
}

const PIXELS: usize = 192;
const CACHE: usize = 1 << 30;

fn disk(object: u16) -> Array2<bool> {
    let (row, column) = (40.0 + 18.0 * f32::from(object % 6), 50.0 + 14.0 * f32::from(object % 7));
    Array2::from_shape_fn((PIXELS, PIXELS), |(j, i)| (j as f32 - row).hypot(i as f32 - column) < 16.0)
}

/// Resets the peak memory of the process (`man 5 proc`).
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").ok();
}

fn measure(work: &Work) -> String {
    let geometry = Geometry {
        dims: Dims([PIXELS, PIXELS, work.slices + 1]),
        ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 3.0])),
    };
    let voxels = Array3::from_shape_fn((work.slices + 1, PIXELS, PIXELS), |(k, j, i)| {
        0.5 + 0.3 * ((i + k) as f32 / 9.0).sin() + 0.2 * (j as f32 / 11.0).cos()
    });
    let model = SharedModel::new(Sam2::pseudo_random(&work.network, Device::Cpu, Precision::Fp32));
    let scan = Volume::new(geometry, voxels).unwrap();
    let mut session = Session::new(model, scan, Axis::K, Window::Auto, CACHE).unwrap();
    for object in 1..=work.objects {
        session.prompts_mut().add_mask(ObjectId::new(object).unwrap(), SliceIndex(0), disk(object)).unwrap();
    }
    let search = SearchOptions {
        windows: work.windows.clone(),
        beams: work.beams,
        stop_when_absent: false,
        ..SearchOptions::promem()
    };
    let options = PropagateOptions { direction: Direction::Up, ..PropagateOptions::whole(search) };
    reset_peak();
    let begin = Instant::now();
    session.propagate(&options, &mut |_: SliceReport| Ok(Flow::Continue)).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    format!(
        "{:7.2} s {:9.1} ms {:8.0} MB {:10}",
        seconds,
        1e3 * seconds / work.slices as f64,
        peak_mb(),
        session.cache().encoded()
    )
}

fn main() {
    session::keep_freed_memory();
    let told = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let (smoke, tiny, long) = (told("--smoke"), told("--tiny"), told("--long"));
    let slices = if smoke { 3 } else { 20 };
    let base = Work { slices, objects: 1, windows: vec![1, 6], beams: 2, network: Config::compact() };
    let mut rows: Vec<(String, Work)> = vec![("as the paper".into(), base.clone())];
    let factors: &[usize] = if smoke { &[2] } else { &[2, 4, 8] };
    for &n in factors {
        rows.push((format!("{} slices", n * base.slices), Work { slices: n * base.slices, ..base.clone() }));
    }
    for &n in factors {
        rows.push((format!("{n} objects"), Work { objects: n as u16, ..base.clone() }));
    }
    for beams in [1, 4] {
        rows.push((format!("{beams} beams"), Work { beams, ..base.clone() }));
    }
    for windows in [vec![6], vec![1, 2, 4, 6]] {
        rows.push((format!("windows {windows:?}"), Work { windows, ..base.clone() }));
    }
    for side in if smoke { vec![64] } else { vec![192, 256, 384] } {
        let network = Config::compact().with_image_size(side).unwrap();
        rows.push((format!("{side} px"), Work { network, ..base.clone() }));
    }
    if tiny {
        rows.clear();
    }
    if !smoke {
        let official = Work { slices: 10, network: Config::official(Version::V2_1, Size::Tiny), ..base.clone() };
        rows.push(("SAM 2 tiny".into(), official.clone()));
        rows.push(("SAM 2 tiny, 8 objects".into(), Work { objects: 8, ..official }));
    }
    if long {
        let wide = Work { slices: 1000, objects: 20, windows: vec![6], beams: 1, ..base };
        rows = vec![("1000 x 20, window 6".into(), wide)];
    }
    eprintln!("{:22} {:>9} {:>12} {:>11} {:>10}", "", "total", "per slice", "peak", "embeddings");
    for (name, work) in rows {
        eprintln!("{name:22} {}", measure(&work));
    }
}
