//! A session keeps what it found: a change computes no more than it can change, and the result is that of a fresh
//! session.

use ndarray::{Array2, Array3};
use promem::geometry::{Axis, Dims, Geometry, IjkToRas, SliceIndex, SliceRange, Spacing, VoxelIndex};
use promem::model::config::{Config, Version};
use promem::model::{Precision, Sam2};
use promem::prompt::{ObjectId, PointLabel};
use promem::session::{
    Direction, Flow, PropagateOptions, PropagationResult, Session, SharedModel, SliceReport, SliceTrace,
};
use promem::slices::intensity::Window;
use promem::tracking::{FieldOfView, MaskPrior, SearchOptions};
use promem::volume::{raw::RawVolume, Scalar, Volume};
use std::sync::Arc;

const SLICES: usize = 9;
const DIMS: [usize; 3] = [40, 36, SLICES];

fn geometry() -> Geometry {
    Geometry { dims: Dims(DIMS), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 2.0])) }
}

fn voxels() -> Array3<f32> {
    Array3::from_shape_fn((SLICES, DIMS[1], DIMS[0]), |(k, j, i)| {
        let (y, x) = (j as f32 - 18.0, i as f32 - 17.0 - k as f32);
        let bright = if y.hypot(x) < 8.0 { 90.0 } else { 0.0 };
        (60.0 + bright + 10.0 * (x / 5.0).sin() + 10.0 * (y / 4.0).cos()).round()
    })
}

fn model() -> SharedModel {
    SharedModel::new(Sam2::pseudo_random(
        &Config::toy(Version::V2_1),
        promem::session::choose_device(promem::session::DeviceChoice::Cpu).unwrap(),
        Precision::Fp32,
    ))
}

fn session(model: &SharedModel) -> Session {
    let scan = Volume::new(geometry(), voxels()).unwrap();
    Session::new(model.clone(), scan, Axis::K, Window::Auto, 1 << 30).unwrap()
}

fn object(label: u16) -> ObjectId {
    ObjectId::new(label).unwrap()
}

fn add_disk(session: &mut Session, label: u16, slice: usize) {
    let mask = Array2::from_shape_fn((DIMS[1], DIMS[0]), |(j, i)| {
        (j as f32 - 18.0).hypot(i as f32 - 17.0 - slice as f32) < 8.0
    });
    session.prompts_mut().add_mask(object(label), SliceIndex(slice), mask).unwrap();
}

/// The toy network's object score says nothing: no stop, the widest set of features.
fn options() -> PropagateOptions {
    PropagateOptions::whole(SearchOptions {
        stop_when_absent: false,
        prior: Some(MaskPrior::Registered),
        field_of_view: Some(FieldOfView::Object),
        ..SearchOptions::promem()
    })
}

fn run(session: &mut Session, options: &PropagateOptions) -> PropagationResult {
    session.propagate(options, &mut |_: SliceReport| Ok(Flow::Continue)).unwrap()
}

fn labels(session: &Session, outcome: &PropagationResult) -> Array3<u16> {
    let mut labels = Array3::zeros((SLICES, DIMS[1], DIMS[0]));
    outcome.masks.write(session.axis(), labels.view_mut());
    labels
}

fn all(outcome: &PropagationResult) -> Vec<SliceTrace> {
    outcome.trace.up.iter().chain(&outcome.trace.down).cloned().collect()
}

/// What was decided, without how long it took.
fn decisions(outcome: &PropagationResult) -> Vec<SliceTrace> {
    let timeless = |trace: SliceTrace| SliceTrace { encode_ms: 0.0, search_ms: 0.0, ..trace };
    all(outcome).into_iter().map(timeless).collect()
}

#[test]
fn a_range_that_widens_goes_on_and_ends_as_one_walk() {
    let model = model();
    let mut at_once = session(&model);
    add_disk(&mut at_once, 1, 4);
    let expected = run(&mut at_once, &options());
    let mut bit_by_bit = session(&model);
    add_disk(&mut bit_by_bit, 1, 4);
    let near = PropagateOptions { range: Some(SliceRange::new(SliceIndex(3), SliceIndex(6)).unwrap()), ..options() };
    let first = run(&mut bit_by_bit, &near);
    assert_eq!(first.masks.slices().map(|s| s.0).collect::<Vec<_>>(), [3, 4, 5, 6]);
    let whole = run(&mut bit_by_bit, &options());
    assert_eq!(decisions(&whole), decisions(&expected));
    assert_eq!(labels(&bit_by_bit, &whole), labels(&at_once, &expected));
    // The very same steps, to the microsecond: they were not computed again.
    assert!(all(&first).iter().all(|step| all(&whole).contains(step)));
    // A range that narrows leaves out what lies beyond, and it is still known.
    assert_eq!(all(&run(&mut bit_by_bit, &near)), all(&first));
    assert_eq!(all(&run(&mut bit_by_bit, &options())), all(&whole));
}

#[test]
fn a_new_prompt_computes_what_it_can_change_and_no_more() {
    let model = model();
    let mut corrected = session(&model);
    add_disk(&mut corrected, 1, 2);
    add_disk(&mut corrected, 2, 4);
    let before = run(&mut corrected, &options());
    add_disk(&mut corrected, 1, 6);
    let after = run(&mut corrected, &options());
    let kept: Vec<SliceTrace> =
        all(&before).into_iter().filter(|s| s.object == 2 || s.prompt_slice == 2 && s.slice < 6).collect();
    assert_eq!(kept.len(), 8 + 2 + 3);
    assert!(kept.iter().all(|step| all(&after).contains(step)));
    let mut fresh = session(&model);
    add_disk(&mut fresh, 1, 2);
    add_disk(&mut fresh, 1, 6);
    add_disk(&mut fresh, 2, 4);
    let expected = run(&mut fresh, &options());
    assert_eq!(decisions(&after), decisions(&expected));
    assert_eq!(labels(&corrected, &after), labels(&fresh, &expected));
    // Taken back, everything is as it was.
    assert!(corrected.prompts_mut().remove_slice(object(1), SliceIndex(6)));
    let again = run(&mut corrected, &options());
    assert_eq!(labels(&corrected, &again), labels(&corrected, &before));
}

#[test]
fn a_walk_that_was_ended_goes_on_where_it_stood() {
    let model = model();
    let mut whole = session(&model);
    add_disk(&mut whole, 1, 4);
    let expected = run(&mut whole, &options());
    let mut stopped = session(&model);
    add_disk(&mut stopped, 1, 4);
    let ended = stopped
        .propagate(&options(), &mut |report: SliceReport| {
            Ok(if report.progress.done == 4 { Flow::Stop } else { Flow::Continue })
        })
        .unwrap();
    assert!(ended.stopped);
    assert_eq!(all(&ended).len(), 3, "it ends with the slice that was made");
    let mut told = 0;
    let rest = stopped
        .propagate(&options(), &mut |report: SliceReport| {
            told = report.progress.done;
            assert_eq!(report.progress.expected, SLICES);
            Ok(Flow::Continue)
        })
        .unwrap();
    assert_eq!(told, SLICES);
    assert_eq!(decisions(&rest), decisions(&expected));
    assert_eq!(all(&rest)[..3], all(&ended)[..]);
}

#[test]
fn one_direction_after_the_other_is_both() {
    let model = model();
    let mut both = session(&model);
    add_disk(&mut both, 1, 4);
    let expected = run(&mut both, &options());
    let mut one = session(&model);
    add_disk(&mut one, 1, 4);
    let up = run(&mut one, &PropagateOptions { direction: Direction::Up, ..options() });
    assert!(up.trace.down.is_empty() && up.trace.up.len() == 4);
    let down = run(&mut one, &PropagateOptions { direction: Direction::Down, ..options() });
    assert_eq!(labels(&one, &down), labels(&both, &expected));
}

#[test]
fn one_object_may_be_walked_alone() {
    let model = model();
    let mut session = session(&model);
    add_disk(&mut session, 1, 4);
    add_disk(&mut session, 7, 5);
    let outcome = run(&mut session, &PropagateOptions { object: Some(object(7)), ..options() });
    assert!(all(&outcome).iter().all(|step| step.object == 7));
    let error = session
        .propagate(&PropagateOptions { object: Some(object(3)), ..options() }, &mut |_: SliceReport| Ok(Flow::Continue))
        .unwrap_err();
    assert_eq!(error.to_string(), "object 3: it has no prompt");
}

#[test]
fn another_search_or_window_or_axis_forgets() {
    let model = model();
    let mut session = session(&model);
    add_disk(&mut session, 1, 4);
    let first = run(&mut session, &options());
    let mut other = options();
    other.search.beams = 1;
    assert!(!all(&run(&mut session, &other)).iter().any(|step| all(&first).contains(step)));
    session.set_window(Window::SOFT);
    assert!(!all(&run(&mut session, &options())).iter().any(|step| all(&first).contains(step)));
    session.set_axis(Axis::J);
    assert!(session.prompts().objects().is_empty());
    assert_eq!(session.slice_size(), [SLICES, DIMS[0]]);
}

#[test]
fn what_a_slice_predicts_is_what_the_walk_begins_with() {
    let model = model();
    let mut session = session(&model);
    let error = session.predict(object(1), SliceIndex(4), None).unwrap_err();
    assert_eq!(error.to_string(), "object 1, slice 4: no prompt to predict from");
    for (at, label) in [([21, 18, 4], PointLabel::Foreground), ([2, 2, 4], PointLabel::Background)] {
        session.prompts_mut().add_point(object(1), VoxelIndex(at), label).unwrap();
    }
    let view = options().search.field_of_view;
    let (score, mask) = session.predict(object(1), SliceIndex(4), view).unwrap();
    let outcome = run(&mut session, &options());
    assert_eq!(outcome.masks.mask(object(1), SliceIndex(4)).cloned(), mask.map(|mask| (score, mask)));
}

#[test]
fn a_borrowed_volume_gives_what_the_copy_gives() {
    let model = model();
    let mut copy = session(&model);
    add_disk(&mut copy, 1, 4);
    let expected = run(&mut copy, &options());
    let shorts: Arc<Vec<i16>> = Arc::new(voxels().iter().map(|&v| v as i16).collect());
    // SAFETY: `shorts` outlives the session.
    let scan = unsafe { RawVolume::new(geometry(), Scalar::I16, shorts.as_ptr().cast(), None) }.unwrap();
    let mut borrowed = Session::new(model, scan, Axis::K, Window::Auto, 1 << 30).unwrap();
    add_disk(&mut borrowed, 1, 4);
    let found = run(&mut borrowed, &options());
    assert_eq!(decisions(&found), decisions(&expected));
}

#[test]
fn embeddings_can_be_there_before_they_are_needed() {
    let model = model();
    let mut session = session(&model);
    let slice = Some(FieldOfView::Slice);
    let mut told = Vec::new();
    let done = session.precompute(slice, &mut |progress| {
        told.push((progress.done, progress.expected));
        Flow::Continue
    });
    assert!(done.unwrap());
    assert_eq!(told, (1..=SLICES).map(|n| (n, SLICES)).collect::<Vec<_>>());
    add_disk(&mut session, 1, 4);
    let mut whole = options();
    whole.search.field_of_view = slice;
    let outcome = run(&mut session, &whole);
    assert_eq!(session.cache().encoded(), SLICES);
    assert!(all(&outcome).iter().all(|step| step.encode_ms == 0.0));
    // It stops when asked to, and before it would push out what it made.
    session.set_cache_limit(0);
    assert!(!session.precompute(slice, &mut |_| Flow::Stop).unwrap());
    let mut made = 0;
    session.set_cache_limit(1);
    session
        .precompute(slice, &mut |progress| {
            made = progress.done;
            Flow::Continue
        })
        .unwrap();
    assert_eq!(made, 1); // the newest is kept whatever the bound
}

#[test]
fn appearance_draws_what_a_network_that_knows_nothing_misses() {
    let model = model();
    let found = |weight| {
        let mut session = session(&model);
        add_disk(&mut session, 1, 4);
        let options = options();
        let search = SearchOptions { intensity_weight: weight, prior: Some(MaskPrior::None), ..options.search };
        let outcome = run(&mut session, &PropagateOptions { search, ..options });
        labels(&session, &outcome)
    };
    let truth = voxels().mapv(|value| value > 105.0);
    let dice = |labels: &Array3<u16>| {
        let both = labels.iter().zip(&truth).filter(|(&label, &inside)| label == 1 && inside).count();
        let each = labels.iter().filter(|&&label| label == 1).count() + truth.iter().filter(|&&inside| inside).count();
        2.0 * both as f64 / each as f64
    };
    let [without, model_says, with] = [Some(0.0), None, Some(4.0)].map(found);
    assert_eq!(without, model_says, "a network that was not calibrated takes none");
    assert!(dice(&with) > 0.9 && dice(&without) < 0.6, "{} with it, {} without", dice(&with), dice(&without));
}
