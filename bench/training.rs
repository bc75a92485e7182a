//! The time of data preparation between training steps, which runs on the CPU: `cargo bench --bench training`.

use criterion::{criterion_group, criterion_main, Criterion};
use ndarray::{Array2, Array3};
use promem::train::clip::{ClipOptions, ClipSource};
use promem::train::phantom::{LabelVolume, Phantoms};
use promem::train::stochastic_propagation::coherent;
use promem::train::{rng, Purpose};
use std::hint::black_box;

const SLICES: usize = 8;
const SIDE: usize = 512;

/// Eight slices of 512 x 512 with a dozen pieces that come and go, a third of the pixels inside: more than anatomy has.
fn pieces() -> Vec<Array2<bool>> {
    (0..SLICES)
        .map(|t| {
            Array2::from_shape_fn((SIDE, SIDE), |(r, c)| {
                let (row, column) = (r / 128, c / 128);
                let there = (row + column + t) % 4 != 0;
                let (y, x) = ((r % 128) as f32 - 64.0, (c % 128) as f32 - 64.0);
                there && y.hypot(x) < 50.0 + 4.0 * ((t + row) as f32).sin()
            })
        })
        .collect()
}

fn stochastic_propagation(c: &mut Criterion) {
    let masks = pieces();
    let mut number = 0;
    c.bench_function("stochastic propagation, 8 slices of 512 x 512", |b| {
        b.iter(|| {
            number += 1;
            let kept: Option<(usize, Array3<bool>)> = coherent(&masks, SLICES, 0.0, &mut rng(1, Purpose::Clip, number));
            black_box(kept)
        })
    });
}

fn clips(c: &mut Criterion) {
    let whole = ClipOptions {
        length: SLICES,
        side: 128,
        stochastic_propagation: true,
        displacement_stride: Some(2),
        intensity_model: true,
        framing: promem::train::config::Framing::Object,
    };
    let bare = ClipOptions { displacement_stride: None, intensity_model: false, ..whole.clone() };
    let parts = [
        ("a generated clip, 8 slices of 128 x 128, its share of the label map included", whole.clone()),
        ("... without displacements", ClipOptions { displacement_stride: None, ..whole }),
        ("... without displacements and evidence", bare),
    ];
    for (name, options) in parts {
        let source = Phantoms::new(1, Vec::new(), Vec::new());
        let mut number = 0;
        c.bench_function(name, |b| {
            b.iter(|| {
                number += 1;
                black_box(source.clip(number, &options))
            })
        });
    }
}

fn label_maps(c: &mut Criterion) {
    let mut number = 0;
    c.bench_function("a label map", |b| {
        b.iter(|| {
            number += 1;
            black_box(LabelVolume::generate(&mut rng(1, Purpose::LabelMap, number)))
        })
    });
}

criterion_group!(benches, stochastic_propagation, clips, label_maps);
criterion_main!(benches);
