//! The kernels against libtorch's operations.

use super::processor::is_supported;
use super::*;
use crate::model::activation::Activation;

/// Numbers around zero, the same in each run.
fn numbers(size: &[i64], seed: f64) -> Tensor {
    let count: i64 = size.iter().product();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.7311 + seed).sin().reshape(size)
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let apart = (found - expected).abs().max().double_value(&[]);
    let size = expected.abs().max().double_value(&[]).max(1.0);
    assert!(apart < 1e-5 * size, "{what}: {apart} apart, of numbers up to {size}");
}

fn skipped() -> bool {
    let skipped = !is_supported();
    if skipped {
        eprintln!("skipped: this processor has no AVX2 and FMA");
    }
    skipped
}

#[test]
fn linear_layer_equals_libtorchs_at_all_sizes() {
    if skipped() {
        return;
    }
    // Rows, channels and columns that fill tiles, panels and blocks of K, and that do not.
    for (rows, k_len, columns) in [(1, 8, 16), (6, 256, 32), (7, 257, 16), (301, 520, 48), (97, 3, 64)] {
        let (x, weight, bias) =
            (numbers(&[rows, k_len], 0.1), numbers(&[columns, k_len], 0.2), numbers(&[columns], 0.3));
        let packed = PackedLinear::new(&weight, &bias).unwrap();
        let what = format!("{rows} x {k_len} x {columns}");
        assert_eq!(packed.weight(), weight, "{what}: the weight comes back");
        let plain = x.linear(&weight, Some(&bias));
        assert_close(&what, &linear(&x, &packed, Epilogue::default()), &plain);
        let residual = numbers(&[rows, columns], 0.4);
        for (activation, expected) in [(Activation::Relu, plain.relu()), (Activation::Gelu, plain.gelu("none"))] {
            let epilogue = Epilogue { activation: Some(activation), residual: Some(&residual), ..Epilogue::default() };
            assert_close(&format!("{what}, {activation:?}"), &linear(&x, &packed, epilogue), &(expected + &residual));
        }
    }
    let unaligned = PackedLinear::new(&numbers(&[17, 8], 0.0), &numbers(&[17], 0.0));
    assert!(unaligned.is_none(), "columns that fill no panel are libtorch's");
}

#[test]
fn linear_layer_reads_rows_that_are_not_contiguous() {
    if skipped() {
        return;
    }
    let x = numbers(&[2, 24, 5, 7], 0.5).permute([0, 2, 3, 1]);
    let (weight, bias) = (numbers(&[16, 24], 0.6), numbers(&[16], 0.7));
    let packed = PackedLinear::new(&weight, &bias).unwrap();
    let found = linear(&x, &packed, Epilogue::default());
    assert_close("[B, H, W, C] of a permuted map", &found, &x.linear(&weight, Some(&bias)));
}

#[test]
fn mlp_equals_its_two_layers() {
    if skipped() {
        return;
    }
    for (rows, channels, hidden) in [(5, 16, 32), (130, 96, 384), (49, 272, 528)] {
        let x = numbers(&[1, rows, channels], 0.1);
        let weights = [numbers(&[hidden, channels], 0.2), numbers(&[channels, hidden], 0.3)].map(|w| w * 0.1);
        let biases = [numbers(&[hidden], 0.4), numbers(&[channels], 0.5)];
        let packed = [0, 1].map(|layer| PackedLinear::new(&weights[layer], &biases[layer]).unwrap());
        let layers = packed.each_ref();
        let expected = x.linear(&weights[0], Some(&biases[0])).gelu("none").linear(&weights[1], Some(&biases[1]));
        let what = format!("{rows} x {channels} x {hidden}");
        assert_close(&what, &mlp(&x, layers, Activation::Gelu, None), &expected);
        assert_close(&what, &mlp(&x, layers, Activation::Gelu, Some(&x)), &(expected + &x));
    }
}

#[test]
fn attention_equals_libtorchs_at_all_sizes_and_strides() {
    if skipped() {
        return;
    }
    // Images, heads, queries, keys, channels, channels of values.
    for [b, heads, n, m, d, e] in [
        [1, 1, 64, 252, 64, 64],
        [2, 3, 49, 196, 32, 96],
        [1, 2, 70, 1031, 256, 20],
        [3, 8, 40, 8, 16, 16],
        [1, 1, 6, 505, 3, 7],
    ] {
        let q = numbers(&[b, n, heads, d], 0.1).transpose(1, 2) * 5.0;
        let k = numbers(&[b, m, heads, d], 0.2).transpose(1, 2);
        let v = numbers(&[b, heads, e, m], 0.3).transpose(2, 3);
        let expected = (&q * (d as f64).sqrt().recip()).matmul(&k.transpose(2, 3)).softmax(-1, Kind::Float).matmul(&v);
        assert_close(&format!("{b} x {heads} x {n} x {m} x {d} x {e}"), &attention(&q, &k, &v).unwrap(), &expected);
    }
    let tiny = numbers(&[1, 1, 4, 8], 0.0);
    assert!(attention(&tiny, &tiny, &tiny).is_none(), "few scores are libtorch's");
}

#[test]
fn attention_is_exact_when_scores_are_far_apart() {
    if skipped() {
        return;
    }
    // The greatest score comes first, in the middle, last; others are hundreds below.
    for greatest in [0, 300, 599] {
        let q = Tensor::ones([1, 1, 16, 16], (Kind::Float, Device::Cpu)) * 20.0;
        let k = numbers(&[1, 1, 600, 16], 0.2) - 10.0;
        let _ = k.select(2, greatest).fill_(8.0);
        let v = numbers(&[1, 1, 600, 16], 0.4);
        let expected = v.narrow(2, greatest, 1).expand([1, 1, 16, 16], false);
        assert_close(&format!("key {greatest}"), &attention(&q, &k, &v).unwrap(), &expected);
    }
}
