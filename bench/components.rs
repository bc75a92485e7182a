//! The components of a slice's computation, one by one: `cargo bench --bench components [-- NAME]`.
//!
//! The network is SAM 2.1 tiny at 512 px with pseudo-random weights; PRECISION=bf16 computes it in bf16.

use criterion::{criterion_group, criterion_main, Criterion};
use ndarray::{Array2, Array3};
use promem::geometry::{Dims, Geometry, IjkToRas, SliceIndex, Spacing};
use promem::model::config::{Config, Size, Version};
use promem::model::{Attended, Attending, DenseInputs, ImageEmbedding, Memory, Precision, Sam2};
use promem::session;
use promem::slices::resize::resize;
use promem::tracking::{Beam, ModelDefaults, Phase, SearchOptions, SliceContext, SliceOutput, Tracker, MAX_POINTERS};
use promem::volume::{self, LabelMap, Overwrite, Volume};
use std::hint::black_box;
use tch::{no_grad, Device, Kind, Tensor};

const SIDE: i64 = 512;
/// Slices that the bank of the search remembers.
const REMEMBERED: usize = 6;

fn network() -> Sam2 {
    let precision = match std::env::var("PRECISION").as_deref() {
        Ok("bf16") => Precision::Bf16,
        _ => Precision::Fp32,
    };
    Sam2::pseudo_random(
        &Config::official(Version::V2_1, Size::Tiny).with_image_size(SIDE).unwrap(),
        Device::Cpu,
        precision,
    )
}

fn image() -> Tensor {
    let ramp = Tensor::linspace(-1.0, 1.0, SIDE, (Kind::Float, Device::Cpu));
    (ramp.reshape([1, 1, SIDE, 1]) * 9.0 + ramp.reshape([1, 1, 1, SIDE]) * 7.0).sin().expand([1, 3, SIDE, SIDE], false)
}

fn disk() -> Tensor {
    let ramp = Tensor::linspace(-1.0, 1.0, SIDE, (Kind::Float, Device::Cpu));
    let square = ramp.square();
    (square.reshape([1, 1, SIDE, 1]) + square.reshape([1, 1, 1, SIDE])).lt(0.1).to_kind(Kind::Float)
}

/// A slice, the memory of its mask, and a beam whose memory bank is as full as the search ever reads it.
fn tracked(tracker: &Tracker) -> (ImageEmbedding, SliceOutput, Memory, Beam) {
    let embedding = tracker.network().encode_image(&image());
    let output = tracker.accept_mask(&embedding, &disk());
    let memory = tracker.remember(&embedding, &output);
    let mut beam = Beam::new(SliceIndex(0), memory.clone(), output.logits.shallow_clone());
    for slice in 1..=REMEMBERED {
        search_slice(tracker, &embedding, &mut beam, slice);
    }
    (embedding, output, memory, beam)
}

fn search_slice(tracker: &Tracker, embedding: &ImageEmbedding, beam: &mut Beam, slice: usize) {
    let options = SearchOptions { stop_when_absent: false, ..SearchOptions::promem() };
    let options = options.resolve(&ModelDefaults::SAM2).unwrap();
    black_box(beam.search(tracker, &SliceContext::of_memory(SliceIndex(slice), 99, embedding), &options));
}

fn encoder(c: &mut Criterion) {
    session::keep_freed_memory(); // as the programs do
    let (network, image) = (network(), image());
    c.bench_function("image encoder", |b| b.iter(|| no_grad(|| black_box(network.encode_image(&image)))));
}

fn search(c: &mut Criterion) {
    let network = network();
    no_grad(|| {
        let tracker = Tracker::new(&network, Phase::Inference);
        let (embedding, output, memory, mut beam) = tracked(&tracker);
        for window in [1, 6] {
            let memories: Vec<Attended> = (0..window).map(|slot| Attended { memory: &memory, slot }).collect();
            let pointers: Vec<(&Memory, usize)> = (1..=window).map(|away| (&memory, away as usize)).collect();
            let attending = [Attending { memories, pointers, pointer_span: MAX_POINTERS }];
            c.bench_function(&format!("memory attention, window {window}"), |b| {
                b.iter(|| black_box(network.with_memory(&embedding, &attending)))
            });
        }
        c.bench_function("mask decoder", |b| {
            let none = network.prompt_encoder().sparse(&[]);
            b.iter(|| black_box(network.decode_all(&embedding, &embedding.features, &none, DenseInputs::default())))
        });
        c.bench_function("memory encoder", |b| b.iter(|| black_box(tracker.remember(&embedding, &output))));
        let mut slice = REMEMBERED;
        c.bench_function("one slice of the search", |b| {
            b.iter(|| {
                slice += 1;
                search_slice(&tracker, &embedding, &mut beam, slice)
            })
        });
    });
}

fn slices(c: &mut Criterion) {
    let pixels = Array2::from_shape_fn((400, 320), |(r, col)| (r * col % 255) as f32);
    c.bench_function("resize, 400 x 320 to 512 x 410", |b| b.iter(|| black_box(resize(pixels.view(), [512, 410]))));
    let folder = tempfile::tempdir().unwrap();
    let geometry =
        Geometry { dims: Dims([256, 256, 40]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 3.0])) };
    let labels = Array3::from_shape_fn((40, 256, 256), |(k, j, i)| u16::from((i * i + j * j) / (k + 1) % 7 == 0));
    let labels: LabelMap = Volume::new(geometry, labels).unwrap();
    let path = folder.path().join("labels.nii.gz");
    c.bench_function("label map of 256 x 256 x 40 into .nii.gz", |b| {
        b.iter(|| volume::write_labels(&path, &labels, Overwrite::Replace, &[]).unwrap())
    });
    c.bench_function("label map of 256 x 256 x 40 out of .nii.gz", |b| {
        b.iter(|| black_box(volume::read_labels(&path).unwrap()))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = encoder, search, slices
}
criterion_main!(benches);
