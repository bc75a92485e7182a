//! What a user waits for after a click: the first one on a slice, with the search for its frame; one more on that slice;
//! the first one on a slice that a track had reached. `cargo bench --bench clicks`; `MODEL=FILE` takes another model.

use ndarray::Array3;
use promem::geometry::{Axis, Dims, Geometry, IjkToRas, SliceIndex, Spacing, VoxelIndex};
use promem::prompt::{ObjectId, PointLabel, Prompt};
use promem::session::{self, DeviceChoice, Flow, PrecisionChoice, PropagateOptions, Session, SliceReport};
use promem::slices::intensity::Window;
use promem::tracking::SearchOptions;
use promem::volume::Volume;
use std::path::PathBuf;
use std::time::Instant;

const DIMS: [usize; 3] = [256, 256, 48];

fn scan() -> Volume<f32> {
    let geometry = Geometry { dims: Dims(DIMS), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 3.0])) };
    let voxels = Array3::from_shape_fn((DIMS[2], DIMS[1], DIMS[0]), |(k, j, i)| {
        let (y, x) = (j as f32 - 120.0, i as f32 - 110.0 - k as f32 / 2.0);
        60.0 + if y.hypot(x) < 30.0 { 90.0 } else { 0.0 } + 10.0 * (x / 9.0).sin() + 10.0 * (y / 11.0).cos()
    });
    Volume::new(geometry, voxels).expect("sizes agree")
}

/// Milliseconds: median and 95th percentile.
fn summary(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_unstable_by(f64::total_cmp);
    [times[times.len() / 2], times[times.len() * 95 / 100]]
}

fn main() {
    let path =
        std::env::var_os("MODEL").map_or_else(|| PathBuf::from("models/promem-compact.safetensors"), PathBuf::from);
    let loaded = session::load(&path, None, DeviceChoice::Cpu, PrecisionChoice::Auto).unwrap_or_else(|e| panic!("{e}"));
    let mut session =
        Session::new(loaded.model, scan(), Axis::K, Window::Auto, 1 << 30).unwrap_or_else(|e| panic!("{e}"));
    let object = ObjectId::new(1).expect("1 is a label");
    let click = |session: &mut Session, slice: usize, [i, j]: [usize; 2], label: PointLabel| {
        let begin = Instant::now();
        let clicked = session.add_prompt(object, &Prompt::Clicks(vec![(VoxelIndex([i, j, slice]), label)]));
        clicked.and_then(|()| session.predict(object, SliceIndex(slice), None)).unwrap_or_else(|e| panic!("{e}"));
        begin.elapsed().as_secs_f64() * 1e3
    };
    let (mut first, mut next, mut tracked) = (Vec::new(), Vec::new(), Vec::new());
    for slice in 0..40 {
        let at = [110 + slice / 2, 120];
        let milliseconds = click(&mut session, slice, at, PointLabel::Foreground);
        first.extend((slice > 1).then_some(milliseconds)); // the first ones warm the libraries up
        for (offset, label) in [(12, PointLabel::Foreground), (45, PointLabel::Background)] {
            next.push(click(&mut session, slice, [at[0] + offset, 120], label));
        }
        session.prompts_mut().remove_object(object);
    }
    let search = SearchOptions { stop_when_absent: false, ..SearchOptions::promem() };
    click(&mut session, 20, [120, 120], PointLabel::Foreground);
    session
        .propagate(&PropagateOptions::whole(search), &mut |_: SliceReport| Ok(Flow::Continue))
        .unwrap_or_else(|e| panic!("{e}"));
    for slice in (1..40).filter(|&slice| slice != 20) {
        tracked.push(click(&mut session, slice, [122 + slice / 2, 120], PointLabel::Foreground));
        session.prompts_mut().undo(object);
    }
    eprintln!("{:<34} {:>10} {:>10}", "milliseconds", "median", "95 %");
    for (name, times) in
        [("first click on a slice", first), ("next click there", next), ("first on a tracked slice", tracked)]
    {
        let [median, late] = summary(times);
        eprintln!("{name:<34} {median:>10.1} {late:>10.1}");
    }
}
