//! Inference and training take the same steps: the same prompt and the same slices give the same numbers through both,
//! bit by bit.

use ndarray::{Array2, Array3, Axis as ArrayAxis};
use promem::geometry::{Axis, Dims, Geometry, IjkToRas, SliceIndex, Spacing, VoxelIndex};
use promem::model::config::{Config, Version};
use promem::model::prompt_encoder::PointKind;
use promem::model::{ImageEmbedding, Precision, Sam2};
use promem::prompt::{ObjectId, PointLabel};
use promem::session::{Direction, Flow, PropagateOptions, PropagationResult, Session, SharedModel, SliceReport};
use promem::slices::intensity::Window;
use promem::tracking::{tensors, FieldOfView, MaskPrior, PointerRule, PromptMemory, SearchOptions};
use promem::train::batch::Batch;
use promem::train::clip::{Clip, ClipOptions};
use promem::train::plan::{ClipPlan, TrainingPrompt};
use promem::train::simulated_user::random_point;
use promem::train::unroll::{unroll_embedded, SlicePredictions};
use promem::train::{rng, Purpose};
use promem::volume::Volume;
use tch::{Device, Kind};

const SLICES: usize = 5;
const WEIGHT: f64 = 0.6;

/// Pixels of 0..1 with a bright disc that moves and shrinks, and the disc.
fn clip(side: usize) -> (Array3<f32>, Array3<bool>) {
    let inside = |t: usize, r: usize, c: usize| {
        let middle = side as f32 * 0.45;
        (r as f32 - middle).hypot(c as f32 - middle - 1.5 * t as f32) < side as f32 * 0.2 - t as f32
    };
    let images = Array3::from_shape_fn((SLICES, side, side), |(t, r, c)| {
        let bright = if inside(t, r, c) { 0.35 } else { 0.0 };
        0.35 + bright + 0.1 * (r as f32 / 9.0).sin() + 0.1 * (c as f32 / 7.0 + t as f32).cos()
    });
    (images, Array3::from_shape_fn((SLICES, side, side), |(t, r, c)| inside(t, r, c)))
}

/// What both doors get.
struct Case {
    prior: MaskPrior,
    window: usize,
    memory: PromptMemory,
    pointers: PointerRule,
    intensity_weight: f64,
}

fn session(model: &SharedModel, images: &Array3<f32>) -> Session {
    let (depth, rows, columns) = images.dim();
    let geometry =
        Geometry { dims: Dims([columns, rows, depth]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 3.0])) };
    // Intensities of 0..1 stay as they are.
    let window = Window::WidthLevel { width: 1.0, level: 0.5 };
    Session::new(model.clone(), Volume::new(geometry, images.clone()).unwrap(), Axis::K, window, 1 << 30).unwrap()
}

fn propagate(session: &mut Session, case: &Case) -> PropagationResult {
    let search = SearchOptions {
        windows: vec![case.window],
        beams: 1,
        prompt: case.memory,
        pointers: case.pointers,
        prior: Some(case.prior),
        intensity_weight: Some(case.intensity_weight),
        field_of_view: Some(FieldOfView::Slice),
        presence_threshold: Some(1e-9),
        ..SearchOptions::promem()
    };
    let options = PropagateOptions { direction: Direction::Up, ..PropagateOptions::whole(search) };
    session.propagate(&options, &mut |_: SliceReport| Ok(Flow::Continue)).unwrap()
}

fn embeddings(network: &Sam2, images: &Array3<f32>) -> Vec<ImageEmbedding> {
    let side = network.config().image_size;
    images.outer_iter().map(|image| network.encode_image(&tensors::image(&image.to_owned(), side))).collect()
}

fn trained(
    network: &Sam2,
    images: &Array3<f32>,
    masks: &Array3<bool>,
    case: &Case,
    prompt: TrainingPrompt,
) -> Vec<SlicePredictions> {
    let options = ClipOptions {
        length: SLICES,
        side: images.dim().1,
        stochastic_propagation: false,
        displacement_stride: Some(network.config().mask_stride() as usize),
        intensity_model: true,
        framing: promem::train::config::Framing::Object,
    };
    let batch = Batch::new(vec![Clip::new(images.clone(), masks.clone(), &options)], Device::Cpu);
    let weights = if case.intensity_weight > 0.0 { vec![case.intensity_weight as f32] } else { Vec::new() };
    let plan = ClipPlan {
        prompt,
        memory: case.memory,
        pointers: case.pointers,
        ..ClipPlan::inference(SLICES, case.window, case.prior, weights)
    };
    unroll_embedded(network, &embeddings(network, images), &batch, &plan, &mut rng(5, Purpose::Step, 0))
}

/// Slice by slice the same predicted IoU, object score and mask.
fn assert_same(name: &str, network: &Sam2, inference: &PropagationResult, training: &[SlicePredictions]) {
    let object = ObjectId::new(1).unwrap();
    let side = network.config().image_size;
    let mut compared = 0;
    for predicted in training.iter().filter(|predicted| predicted.t > 0) {
        let slice = predicted.t as usize;
        let found = &inference.trace.up[slice - 1];
        assert_eq!((found.slice, found.candidates.len()), (slice, 1), "{name}");
        let round = &predicted.rounds[0];
        let best = round.ious.argmax(1, true);
        let iou = round.ious.gather(1, &best, false).double_value(&[0, 0]);
        assert_eq!(found.candidates[0].iou, iou, "{name}, slice {slice}: predicted IoU");
        let object_logit = round.object_logit.double_value(&[0, 0]);
        assert_eq!(found.candidates[0].object_logit, object_logit, "{name}, slice {slice}: object score");
        if object_logit <= 0.0 {
            return; // training goes on with an empty mask, inference has its threshold
        }
        let logits = round.logits.select(1, best.int64_value(&[0, 0])).unsqueeze(1);
        let full = tensors::array(&logits.to_kind(Kind::Float).upsample_bilinear2d([side, side], false, None, None));
        let mut mask = Array2::from_elem(full.dim(), false);
        if let Some((_, found)) = inference.masks.mask(object, SliceIndex(slice)) {
            found.pixels().for_each(|at| mask[at] = true);
        }
        assert_eq!(mask, full.mapv(|logit| logit > 0.0), "{name}, slice {slice}: mask");
        compared += 1;
    }
    assert!(compared > 0, "{name}: nothing was compared");
}

#[test]
fn inference_and_training_give_the_same_numbers_bit_by_bit() {
    let networks = [Config::toy(Version::V2_0), Config::toy(Version::V2_1), Config::compact()];
    let case =
        |prior, window, memory, pointers, intensity_weight| Case { prior, window, memory, pointers, intensity_weight };
    let cases = [
        case(MaskPrior::None, 1, PromptMemory::InWindow, PointerRule::Window, 0.0),
        case(MaskPrior::None, 6, PromptMemory::Pinned, PointerRule::Sam2, 0.0),
        case(MaskPrior::Previous, 6, PromptMemory::InWindow, PointerRule::Window, 0.0),
        case(MaskPrior::Registered, 2, PromptMemory::Pinned, PointerRule::Window, WEIGHT),
    ];
    for config in networks {
        let (images, masks) = clip(config.image_size as usize);
        let network = Sam2::pseudo_random(&config, Device::Cpu, Precision::Fp32);
        let model = SharedModel::new(Sam2::pseudo_random(&config, Device::Cpu, Precision::Fp32));
        for (n, case) in cases.iter().enumerate() {
            let name = format!("{} {:?}, case {n}", config.name, config.version);
            let mut session = session(&model, &images);
            let mask = masks.index_axis(ArrayAxis(0), 0).to_owned();
            session.prompts_mut().add_mask(ObjectId::new(1).unwrap(), SliceIndex(0), mask).unwrap();
            let inference = propagate(&mut session, case);
            tch::no_grad(|| {
                let training = trained(&network, &images, &masks, case, TrainingPrompt::Mask);
                assert_same(&format!("{name}, mask"), &network, &inference, &training);
            });
            // A click: the simulated user's, at a voxel's centre.
            let truth = masks.index_axis(ArrayAxis(0), 0);
            let click = random_point(&truth, PointKind::Foreground, &mut rng(5, Purpose::Step, 0)).unwrap();
            let mut session = self::session(&model, &images);
            let voxel = VoxelIndex([click.x as usize, click.y as usize, 0]);
            session.prompts_mut().add_point(ObjectId::new(1).unwrap(), voxel, PointLabel::Foreground).unwrap();
            let inference = propagate(&mut session, case);
            tch::no_grad(|| {
                let training = trained(&network, &images, &masks, case, TrainingPrompt::Point);
                let score = session.predict(ObjectId::new(1).unwrap(), SliceIndex(0), Some(FieldOfView::Slice));
                let clicked = training[0].rounds[0].ious.max().double_value(&[]);
                assert_eq!(score.unwrap().0, clicked, "{name}, click: predicted IoU on its slice");
                assert_same(&format!("{name}, click"), &network, &inference, &training);
            });
        }
    }
}
