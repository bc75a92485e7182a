//! Prompts on slices that have a mask: in the order given, with memory where a track had been, and taken back without a
//! trace. On the toy network, whose masks mean nothing but depend on every number.

use ndarray::{s, Array2, Array3};
use promem::geometry::{Axis, Dims, Geometry, IjkToRas, SliceIndex, Spacing, VoxelIndex};
use promem::model::config::{Config, Version};
use promem::model::{Precision, Sam2};
use promem::prompt::{ObjectId, PointLabel, Prompt};
use promem::session::{
    choose_device, CroppedMask, DeviceChoice, Flow, PropagateOptions, PropagationResult, Session, SharedModel,
    SliceReport,
};
use promem::slices::intensity::Window;
use promem::tracking::{FieldOfView, SearchOptions};
use promem::volume::Volume;
use promem::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use PointLabel::{Background, Foreground};

const DIMS: [usize; 3] = [36, 32, 7];

fn model() -> SharedModel {
    let device = choose_device(DeviceChoice::Cpu).unwrap();
    SharedModel::new(Sam2::pseudo_random(&Config::toy(Version::V2_1), device, Precision::Fp32))
}

fn session(model: &SharedModel) -> Session {
    let geometry = Geometry { dims: Dims(DIMS), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 4.0])) };
    let voxels = Array3::from_shape_fn((DIMS[2], DIMS[1], DIMS[0]), |(k, j, i)| {
        let near = (i as f32 - 16.0 - k as f32).hypot(j as f32 - 15.0) < 9.0;
        (if near { 120.0 } else { 20.0 }) + (((i * 7 + j * 13 + k * 5) % 11) as f32)
    });
    Session::new(model.clone(), Volume::new(geometry, voxels).unwrap(), Axis::K, Window::Auto, 64 << 20).unwrap()
}

fn object(label: u16) -> ObjectId {
    ObjectId::new(label).unwrap()
}

fn click(at: [usize; 3], label: PointLabel) -> Prompt {
    Prompt::Clicks(vec![(VoxelIndex(at), label)])
}

fn disk(slice: usize, radius: f64) -> Prompt {
    let mask = Array2::from_shape_fn((DIMS[1], DIMS[0]), |(r, c)| (r as f64 - 15.0).hypot(c as f64 - 18.0) < radius);
    Prompt::Mask(SliceIndex(slice), mask)
}

fn options(field_of_view: FieldOfView) -> PropagateOptions {
    PropagateOptions::whole(SearchOptions {
        stop_when_absent: false,
        field_of_view: Some(field_of_view),
        ..SearchOptions::promem()
    })
}

fn propagate(session: &mut Session, options: &PropagateOptions) -> PropagationResult {
    session.propagate(options, &mut |_: SliceReport| Ok(Flow::Continue)).unwrap()
}

/// Score and mask of slice 2 after these prompts of object 1.
fn predicted(model: &SharedModel, prompts: &[Prompt]) -> (f64, Option<Arc<CroppedMask>>) {
    let mut session = session(model);
    for prompt in prompts {
        session.add_prompt(object(1), prompt).unwrap();
    }
    session.predict(object(1), SliceIndex(2), Some(FieldOfView::Slice)).unwrap()
}

type Masks = Vec<(ObjectId, SliceIndex, f64, Arc<CroppedMask>)>;

fn masks(result: &PropagationResult) -> Masks {
    result.masks.masks().map(|(object, slice, score, mask)| (object, slice, score, mask.clone())).collect()
}

#[test]
fn a_click_its_undo_and_the_click_again_give_the_same_to_the_bit() {
    let model = model();
    for view in [FieldOfView::Slice, FieldOfView::Object] {
        let mut session = session(&model);
        session.add_prompt(object(1), &disk(2, 8.0)).unwrap();
        let first = masks(&propagate(&mut session, &options(view)));
        let correct = |session: &mut Session| {
            session.add_prompt(object(1), &click([20, 15, 4], Background)).unwrap();
            let preview = session.predict(object(1), SliceIndex(4), Some(view)).unwrap();
            (preview, masks(&propagate(session, &options(view))))
        };
        let once = correct(&mut session);
        assert_ne!(once.1, first, "the click changes something");
        assert!(session.prompts_mut().undo(object(1)));
        assert_eq!(masks(&propagate(&mut session, &options(view))), first);
        assert_eq!(correct(&mut session), once);
    }
}

#[test]
fn a_correction_computes_its_own_tracks_and_no_others() {
    let model = model();
    let mut session = session(&model);
    let options = options(FieldOfView::Slice);
    session.add_prompt(object(1), &disk(1, 8.0)).unwrap();
    session.add_prompt(object(2), &disk(3, 5.0)).unwrap();
    let before = propagate(&mut session, &options);
    session.add_prompt(object(1), &click([20, 15, 4], Foreground)).unwrap();
    let after = propagate(&mut session, &options);
    let steps =
        |result: &PropagationResult| result.trace.up.iter().chain(&result.trace.down).cloned().collect::<Vec<_>>();
    let known = steps(&before);
    let computed: Vec<_> = steps(&after).into_iter().filter(|step| !known.contains(step)).collect();
    let mut slices: Vec<_> = computed.iter().map(|step| (step.object, step.prompt_slice, step.slice)).collect();
    slices.sort_unstable();
    assert_eq!(slices, [(1, 4, 2), (1, 4, 3), (1, 4, 5), (1, 4, 6)]);
}

#[test]
fn a_click_alone_that_excludes_needs_a_mask_to_take_from() {
    let model = model();
    let mut session = session(&model);
    let exclude = click([20, 15, 4], Background);
    let error = session.add_prompt(object(1), &exclude).unwrap_err().to_string();
    assert!(error.starts_with("object 1, slice 4: it says where the object is not"), "{error}");
    assert!(session.prompts().objects().is_empty(), "what is refused is not kept");
    session.add_prompt(object(1), &disk(2, 8.0)).unwrap();
    assert!(session.add_prompt(object(1), &exclude).is_err(), "nothing has reached slice 4");
    let first = propagate(&mut session, &options(FieldOfView::Slice));
    assert!(first.masks.mask(object(1), SliceIndex(4)).is_some());
    session.add_prompt(object(1), &exclude).unwrap();
    session.predict(object(1), SliceIndex(4), Some(FieldOfView::Slice)).unwrap();
}

#[test]
fn the_order_of_mask_and_click_decides() {
    let model = model();
    let predict = |prompts: &[Prompt]| predicted(&model, prompts);
    let inside = click([18, 15, 2], Foreground);
    let alone = predict(&[disk(2, 8.0)]);
    assert_eq!(predict(&[inside.clone(), disk(2, 8.0)]), alone, "a mask takes the place of what was there");
    assert_ne!(predict(&[disk(2, 8.0), inside.clone()]), alone, "a click refines the mask");
    assert_ne!(predict(&[disk(2, 8.0), inside.clone()]), predict(&[inside]));
}

#[test]
fn a_region_is_added_and_taken_away_to_the_pixel() {
    let model = model();
    let mut session = session(&model);
    session.add_prompt(object(1), &disk(2, 8.0)).unwrap();
    let (_, before) = session.predict(object(1), SliceIndex(2), None).unwrap();
    let before = before.unwrap().pixels().count();
    let corners = [VoxelIndex([18, 15, 2]), VoxelIndex([19, 16, 2])];
    session.add_prompt(object(1), &Prompt::Box(corners, Background)).unwrap();
    let (_, after) = session.predict(object(1), SliceIndex(2), None).unwrap();
    assert_eq!(after.unwrap().pixels().count(), before - 4);
    let outline = [[1, 1], [3, 1], [3, 3], [1, 3]].map(|[i, j]| VoxelIndex([i, j, 2])).to_vec();
    session.add_prompt(object(1), &Prompt::Lasso(outline, Foreground)).unwrap();
    let (_, added) = session.predict(object(1), SliceIndex(2), None).unwrap();
    assert_eq!(added.unwrap().pixels().count(), before - 4 + 9);
}

#[test]
fn a_box_that_excludes_over_several_slices_touches_only_those_with_a_mask() {
    let model = model();
    let mut session = session(&model);
    session.add_prompt(object(1), &disk(2, 8.0)).unwrap();
    let box_ = Prompt::Box([VoxelIndex([18, 0, 0]), VoxelIndex([35, 31, 6])], Background);
    session.add_prompt(object(1), &box_).unwrap();
    assert_eq!(session.prompts().objects()[&object(1)].len(), 1);
    let (_, mask) = session.predict(object(1), SliceIndex(2), None).unwrap();
    assert!(mask.unwrap().pixels().all(|(_, column)| column < 18));
}

#[test]
fn a_session_may_begin_with_masks_that_exist() {
    let model = model();
    let mut session = session(&model);
    let view = FieldOfView::Slice;
    session.add_prompt(object(3), &disk(2, 8.0)).unwrap();
    let found = propagate(&mut session, &options(view));
    let mut labels = Array3::zeros((DIMS[2], DIMS[1], DIMS[0]));
    found.masks.write(Axis::K, labels.view_mut());

    let mut again = self::session(&model);
    again.set_initial(labels.view()).unwrap();
    let unchanged = propagate(&mut again, &options(view));
    let mut written = Array3::zeros(labels.dim());
    unchanged.masks.write(Axis::K, written.view_mut());
    assert_eq!(written, labels, "nothing was said, nothing changes");

    // A correction of one slice: its tracks go on from the known slices, the others stay.
    again.add_prompt(object(3), &disk(2, 4.0)).unwrap();
    let corrected = propagate(&mut again, &options(view));
    assert_ne!(
        corrected.masks.mask(object(3), SliceIndex(2)).unwrap().1,
        found.masks.mask(object(3), SliceIndex(2)).unwrap().1
    );
    assert!(again
        .set_initial(labels.slice(s![1.., .., ..]))
        .unwrap_err()
        .to_string()
        .contains("expected the scan's 36x32x7"));
}

#[test]
fn a_track_along_known_masks_ends_where_two_in_a_row_agree() {
    let model = model();
    let view = FieldOfView::Slice;
    let mut tracked = session(&model);
    tracked.add_prompt(object(1), &disk(1, 8.0)).unwrap();
    let only = PropagateOptions { direction: promem::session::Direction::Up, ..options(view) };
    let found = propagate(&mut tracked, &only);
    let mut labels = Array3::zeros((DIMS[2], DIMS[1], DIMS[0]));
    found.masks.write(Axis::K, labels.view_mut());
    let mut again = session(&model);
    again.set_initial(labels.view()).unwrap();
    again.add_prompt(object(1), &disk(1, 8.0)).unwrap();
    let up = propagate(&mut again, &only).trace.up;
    assert_eq!(up.iter().map(|step| step.slice).collect::<Vec<_>>(), [2, 3], "the same masks again: it stops");
}

#[test]
fn clicks_of_one_call_are_decoded_together_by_published_networks() {
    let model = model();
    let predict = |prompts: &[Prompt]| predicted(&model, prompts);
    let [a, b] = [([14, 15, 2], Foreground), ([24, 20, 2], Foreground)].map(|(at, label)| (VoxelIndex(at), label));
    let together = predict(&[Prompt::Clicks(vec![a, b])]);
    let one_by_one = predict(&[Prompt::Clicks(vec![a]), Prompt::Clicks(vec![b])]);
    assert_ne!(together, one_by_one);
}

/// A call of a random sequence.
#[derive(Debug, Clone)]
enum Call {
    Prompt(ObjectId, Prompt),
    Propagate(Option<ObjectId>),
    Predict(ObjectId, SliceIndex),
}

fn random_prompt(rng: &mut StdRng) -> Prompt {
    let voxel =
        |rng: &mut StdRng| VoxelIndex([rng.random_range(4..32), rng.random_range(4..28), rng.random_range(0..DIMS[2])]);
    let label = if rng.random_bool(0.6) { Foreground } else { Background };
    let at = voxel(rng);
    match rng.random_range(0..7) {
        0..3 => Prompt::Clicks(vec![(at, label)]),
        3 => disk(at.0[2], rng.random_range(4.0..10.0)),
        4 => Prompt::Box([at, VoxelIndex([at.0[0] + 3, at.0[1] + 2, at.0[2]])], label),
        5 => Prompt::Scribble(vec![at, VoxelIndex([at.0[0], at.0[1] + 3, (at.0[2] + 1).min(DIMS[2] - 1)])], label),
        _ => {
            let corners = [[0, 0], [3, 0], [3, 3]].map(|[i, j]| VoxelIndex([at.0[0] + i, at.0[1] + j, at.0[2]]));
            Prompt::Lasso(corners.to_vec(), label)
        }
    }
}

fn made(session: &mut Session, call: &Call, options: &PropagateOptions) -> Result<()> {
    match call {
        Call::Prompt(object, prompt) => session.add_prompt(*object, prompt),
        Call::Propagate(object) => {
            let options = PropagateOptions { object: *object, ..options.clone() };
            session.propagate(&options, &mut |_: SliceReport| Ok(Flow::Continue)).map(drop)
        }
        Call::Predict(object, slice) => session.predict(*object, *slice, options.search.field_of_view).map(drop),
    }
}

/// Prompts, undos, propagations, cancels and clears in any order give what a new session gives that makes the same calls
/// without those that were taken back.
fn a_random_sequence_equals_its_replay(model: &SharedModel, seed: u64) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let view = if rng.random_bool(0.5) { FieldOfView::Slice } else { FieldOfView::Object };
    let options = options(view);
    let mut live = session(model);
    let mut calls: Vec<Call> = Vec::new();
    for _ in 0..rng.random_range(3..14) {
        let id = object(rng.random_range(1..3));
        let of_object = |call: &Call| matches!(call, Call::Prompt(object, _) if *object == id);
        match rng.random_range(0..10) {
            0..5 => {
                let call = Call::Prompt(id, random_prompt(rng));
                if made(&mut live, &call, &options).is_ok() {
                    calls.push(call);
                }
            }
            5 => {
                if live.prompts_mut().undo(id) {
                    let newest = calls.iter().rposition(of_object).unwrap();
                    calls.remove(newest);
                }
            }
            6 => {
                let slice = SliceIndex(rng.random_range(0..DIMS[2]));
                let call = Call::Predict(id, slice);
                if made(&mut live, &call, &options).is_ok() {
                    calls.push(call);
                }
            }
            7 if rng.random_bool(0.3) => {
                live.prompts_mut().remove_object(id);
                calls.retain(|call| !of_object(call));
            }
            7 => {
                // Cancelled, then done.
                let after = rng.random_range(1..6);
                let _ = live.propagate(&options, &mut |report: SliceReport| {
                    Ok(if report.progress.done == after { Flow::Stop } else { Flow::Continue })
                });
                if made(&mut live, &Call::Propagate(None), &options).is_ok() {
                    calls.push(Call::Propagate(None));
                }
            }
            n => {
                let only = (n == 9 && live.prompts().objects().contains_key(&id)).then_some(id);
                let call = Call::Propagate(only);
                if made(&mut live, &call, &options).is_ok() {
                    calls.push(call);
                }
            }
        }
    }
    let mut fresh = session(model);
    for call in &calls {
        let _ = made(&mut fresh, call, &options); // a preview or propagation may have lost its prompts
    }
    assert_eq!(
        fresh.prompts().objects().keys().collect::<Vec<_>>(),
        live.prompts().objects().keys().collect::<Vec<_>>()
    );
    if live.prompts().objects().is_empty() {
        return;
    }
    let (expected, found) = (propagate(&mut fresh, &options), propagate(&mut live, &options));
    assert!(masks(&found) == masks(&expected), "seed {seed}: {calls:#?}");
}

/// `PROMEM_SEQUENCES`: how many; `make soak` takes 10,000.
#[test]
fn random_sequences_of_prompts_and_undos_equal_their_replay() {
    let count: u64 = std::env::var("PROMEM_SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let model = model();
    for seed in 0..count {
        a_random_sequence_equals_its_replay(&model, seed);
    }
}
