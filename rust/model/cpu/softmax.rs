//! softmax(q kᵀ / sqrt(d)) v by blocks of queries and keys that stay in the caches; all scores are never in memory
//! together (FlashAttention, Dao et al. 2022).
//!
//! Scores are transposed, [keys, 16 queries]: maxima and sums over keys are then operations on whole registers, and the
//! weights have the layout of a packed right operand for the product with the values.

use super::arithmetic::exp2;
use super::heads::{pack_keys_and_values, Attention, AttentionShape, KEY_BLOCK, QUERY_BLOCK, QUERY_PANELS};
use super::panels::{pack_columns, transposed, RowsMut, K_BLOCK, ROWS, WIDTH};
use super::product::tile;
use super::threads;
use std::arch::x86_64::*;

/// Computes all attentions on all threads.
///
/// # Safety
/// The processor has AVX2 and FMA, and for each attention, with the sizes of its shape:
/// - `q`: `queries` rows of `channels` floats, `k`: `keys` rows of `channels` floats, `v`: `keys` rows of `values`
///   floats, for each head of each image, by the strides of [`Heads`]; no alignment.
/// - `out`: `queries` rows of `values` floats to write, likewise; no alignment.
/// - `scratch`: `images * heads` rows of [`AttentionShape::scratch_len`] floats to write, contiguous; no alignment.
/// - Outputs and scratch memory overlap nothing else here, and nobody else uses them.
pub unsafe fn attend(all: &[Attention]) {
    assert!(all.iter().all(|one| one.shape.channels <= K_BLOCK), "channels of a panel");
    let items = threads::item_count(); // once: another thread may change it, and both loops must agree
    let key_blocks = |shape: &AttentionShape| if shape.is_small(items) { 0 } else { shape.keys.div_ceil(KEY_BLOCK) };
    for_each_head(all, key_blocks, &|one, head, key_block| {
        let (shape, first) = (&one.shape, key_block * KEY_BLOCK);
        // SAFETY: `head` and `first` are below their numbers. Each item writes the keys and values of its block in the
        // scratch memory of its head: `pack_keys` and `pack_values` say how many floats, and the next block's begin
        // behind them.
        unsafe {
            let (keys, values) = one.packed(head);
            let values = values.add(first * shape.padded_values());
            let count = KEY_BLOCK.min(shape.keys - first);
            pack_keys_and_values(one, head, first, count, keys.add(first * shape.channels), values);
        }
    });
    let query_blocks =
        |shape: &AttentionShape| if shape.is_small(items) { 1 } else { shape.queries.div_ceil(QUERY_BLOCK) };
    for_each_head(all, query_blocks, &|one, head, query_block| {
        let shape = &one.shape;
        let query_len = shape.query_scratch_len();
        if !shape.is_small(items) {
            return threads::with_scratch(query_len, |scratch| {
                // SAFETY: the loop above has packed the keys and values of all heads. The thread's scratch memory is as
                // large as is asked for and aligned to 64 bytes; the item's rows of the output are its own.
                unsafe {
                    let (keys, values) = one.packed(head);
                    attend_block(scratch, one, head, query_block * QUERY_BLOCK, keys, values);
                }
            });
        }
        threads::with_scratch(query_len + shape.scratch_len(), |scratch| {
            // SAFETY: as above, but the keys and values of the head are packed here, behind the memory for a block of
            // queries.
            unsafe {
                let keys = scratch.add(query_len);
                let values = keys.add(shape.packed_keys_len());
                pack_keys_and_values(one, head, 0, shape.keys, keys, values);
                for first in (0..shape.queries).step_by(QUERY_BLOCK) {
                    attend_block(scratch, one, head, first, keys, values);
                }
            }
        });
    });
}

/// Calls `work` with each attention, each of its heads and each of the head's `blocks`.
fn for_each_head(
    all: &[Attention],
    blocks: impl Fn(&AttentionShape) -> usize,
    work: &(dyn Fn(&Attention, usize, usize) + Sync),
) {
    let mut ends = Vec::with_capacity(all.len());
    let mut end = 0;
    for one in all {
        let blocks = blocks(&one.shape);
        end += one.shape.images * one.shape.heads * blocks;
        ends.push((end, blocks));
    }
    threads::for_each(end, &|item| {
        let number = ends.partition_point(|&(end, _)| end <= item);
        let (begin, blocks) = (if number == 0 { 0 } else { ends[number - 1].0 }, ends[number].1);
        work(&all[number], (item - begin) / blocks, (item - begin) % blocks);
    });
}

/// The state of the online softmax for [`WIDTH`] queries.
struct QueryPanel {
    /// Packed as a right operand: `channels * WIDTH` floats, aligned to 32 bytes.
    queries: *mut f32,
    /// Output before normalisation, [padded channels of values, `WIDTH`], aligned to 32 bytes; unset before the first
    /// block of keys.
    output: *mut f32,
    /// The greatest score so far.
    maximum: [__m256; 2],
    /// The sum of the weights so far, relative to the maximum.
    sum: [__m256; 2],
}

/// Attends with up to [`QUERY_BLOCK`] queries of a head, from `first` on.
///
/// # Safety
/// As [`attend`]; `head` and `first` are below their numbers. `scratch`: [`AttentionShape::query_scratch_len`] floats
/// that nobody else uses, aligned to 32 bytes. `keys` and `values`: all of the head's, packed block by block. Nobody
/// else uses the output rows of these queries.
#[target_feature(enable = "avx2,fma")]
unsafe fn attend_block(
    scratch: *mut f32,
    one: &Attention,
    head: usize,
    first: usize,
    keys: *const f32,
    values: *const f32,
) {
    let shape = &one.shape;
    let count = QUERY_BLOCK.min(shape.queries - first);
    let (channels, padded) = (shape.channels, shape.padded_values());
    let (queries_len, output_len) = (channels * WIDTH, padded * WIDTH);
    let factor = std::f32::consts::LOG2_E / (channels as f32).sqrt(); // exp(score) is then a power of 2
    let scores = scratch;
    let mut panels: [Option<QueryPanel>; QUERY_PANELS] = [const { None }; QUERY_PANELS];
    // SAFETY: the head has `count` queries from `first` on.
    let (q, out) = unsafe { (one.rows(&one.q, head, first), one.out_rows(head, first)) };
    for (n, panel) in panels.iter_mut().enumerate().take(count.div_ceil(WIDTH)) {
        // SAFETY: the scratch memory has `KEY_BLOCK * WIDTH` floats of scores and then `queries_len + output_len`
        // floats for each panel, all multiples of `WIDTH`, which keep the alignment; the panel has 1 to `WIDTH`
        // queries.
        unsafe {
            let queries = scratch.add(KEY_BLOCK * WIDTH + n * (queries_len + output_len));
            pack_columns(q.from(n * WIDTH), WIDTH.min(count - n * WIDTH), channels, factor, queries);
            let (least, zero) = (_mm256_set1_ps(f32::NEG_INFINITY), _mm256_setzero_ps());
            *panel =
                Some(QueryPanel { queries, output: queries.add(queries_len), maximum: [least; 2], sum: [zero; 2] });
        }
    }
    for first in (0..shape.keys).step_by(KEY_BLOCK) {
        let n = KEY_BLOCK.min(shape.keys - first);
        for panel in panels.iter_mut().flatten() {
            // SAFETY: blocks before this one have `first` keys, which is a multiple of `ROWS`, so its packed keys and
            // values begin there. There are scores for a whole block.
            unsafe {
                score(channels, n, keys.add(first * channels), panel.queries, scores);
                let rescale = online_softmax(n, scores, panel);
                let rescale = (first > 0).then_some(rescale);
                accumulate(padded, n, values.add(first * padded), scores, panel.output, rescale);
            }
        }
    }
    for (n, panel) in panels.iter().flatten().enumerate() {
        // SAFETY: the panel's output is complete, and its 1 to `WIDTH` queries have rows of `values` floats from `n *
        // WIDTH` on.
        unsafe { store_output(panel, shape.values, WIDTH.min(count - n * WIDTH), out.from(n * WIDTH)) };
    }
}

/// Scores of `count` keys, [count, `WIDTH`].
///
/// # Safety
/// AVX2 and FMA. `keys`: packed, `count.next_multiple_of(ROWS) * channels` floats. `queries`: `channels * WIDTH`
/// floats. `scores`: `count.next_multiple_of(ROWS) * WIDTH` floats to write. Queries and scores are aligned to 32
/// bytes.
#[target_feature(enable = "avx2,fma")]
unsafe fn score(channels: usize, count: usize, keys: *const f32, queries: *const f32, scores: *mut f32) {
    for first in (0..count).step_by(ROWS) {
        // SAFETY: a pack of keys has `ROWS * channels` floats, and gives `ROWS` rows of `WIDTH` scores.
        unsafe {
            let sums = tile(channels, keys.add(first * channels), queries);
            for (row, [low, high]) in sums.into_iter().enumerate() {
                let to = scores.add((first + row) * WIDTH);
                _mm256_store_ps(to, low);
                _mm256_store_ps(to.add(8), high);
            }
        }
    }
}

/// Replaces `count` keys' scores by weights relative to the greatest score so far, and updates the panel's maximum and
/// sum. Returns the factor for the output that has been accumulated before.
///
/// # Safety
/// AVX2 and FMA. `scores`: `count * WIDTH` floats to read and write, aligned to 32 bytes.
#[target_feature(enable = "avx2,fma")]
unsafe fn online_softmax(count: usize, scores: *mut f32, panel: &mut QueryPanel) -> [__m256; 2] {
    let mut rescale = [_mm256_setzero_ps(); 2];
    for (half, rescale) in rescale.iter_mut().enumerate() {
        // SAFETY: eight floats at column 0 or 8 of a row below `count`; both keep the alignment.
        unsafe {
            let scores = scores.add(8 * half);
            let before = panel.maximum[half];
            let mut maximum = before;
            for key in 0..count {
                maximum = _mm256_max_ps(maximum, _mm256_load_ps(scores.add(key * WIDTH)));
            }
            let mut total = _mm256_setzero_ps();
            for key in 0..count {
                let at = scores.add(key * WIDTH);
                let weight = exp2(_mm256_sub_ps(_mm256_load_ps(at), maximum));
                total = _mm256_add_ps(total, weight);
                _mm256_store_ps(at, weight);
            }
            *rescale = exp2(_mm256_sub_ps(before, maximum)); // practically zero for the first block
            panel.sum[half] = _mm256_fmadd_ps(panel.sum[half], *rescale, total);
            panel.maximum[half] = maximum;
        }
    }
    rescale
}

/// `output` [channels, `WIDTH`] = `output` * `rescale` (or 0 if there is none) + valuesᵀ x weights.
///
/// # Safety
/// AVX2 and FMA. `channels` is a multiple of [`ROWS`]. `values`: packed, `channels * count` floats. `weights`: `count *
/// WIDTH` floats. `output`: `channels * WIDTH` floats to write, and to read if there is a `rescale`. Weights and output
/// are aligned to 32 bytes.
#[target_feature(enable = "avx2,fma")]
unsafe fn accumulate(
    channels: usize,
    count: usize,
    values: *const f32,
    weights: *const f32,
    output: *mut f32,
    rescale: Option<[__m256; 2]>,
) {
    for first in (0..channels).step_by(ROWS) {
        // SAFETY: a pack of values has `ROWS * count` floats, and gives `ROWS` rows of `WIDTH` floats.
        unsafe {
            let sums = tile(count, values.add(first * count), weights);
            for (row, sums) in sums.into_iter().enumerate() {
                for (half, sum) in sums.into_iter().enumerate() {
                    let at = output.add((first + row) * WIDTH + 8 * half);
                    let sum = match rescale {
                        Some(rescale) => _mm256_fmadd_ps(_mm256_load_ps(at), rescale[half], sum),
                        None => sum,
                    };
                    _mm256_store_ps(at, sum);
                }
            }
        }
    }
}

/// Divides the output by the sums of the weights, transposes it and writes the first `count` queries' rows.
///
/// # Safety
/// AVX2 and FMA. `panel.output`: at least `channels * WIDTH` floats, aligned to 32 bytes. `out`: `count` rows (1 to
/// [`WIDTH`]) of `channels` floats to write, which nobody else uses; no alignment.
#[target_feature(enable = "avx2,fma")]
unsafe fn store_output(panel: &QueryPanel, channels: usize, count: usize, out: RowsMut) {
    // SAFETY: channels below `channels` are read, eight queries at column 0 or 8; rows below `count` are written, up to
    // `channels` floats.
    unsafe {
        let one = _mm256_set1_ps(1.0);
        for (half, sum) in panel.sum.into_iter().enumerate() {
            let (factor, first) = (_mm256_div_ps(one, sum), 8 * half);
            let at = |channel: usize| panel.output.add(channel * WIDTH + first);
            let whole = channels / 8 * 8;
            for channel in (0..whole).step_by(8) {
                let mut eight = [factor; 8];
                for (n, eight) in eight.iter_mut().enumerate() {
                    *eight = _mm256_mul_ps(_mm256_load_ps(at(channel + n)), factor);
                }
                for (n, row) in transposed(eight).into_iter().enumerate().take(count.saturating_sub(first)) {
                    _mm256_storeu_ps(out.from(first + n).at.add(channel), row);
                }
            }
            for channel in whole..channels {
                let mut column = [0.0f32; 8];
                _mm256_storeu_ps(column.as_mut_ptr(), _mm256_mul_ps(_mm256_load_ps(at(channel)), factor));
                for (n, value) in column.into_iter().enumerate().take(count.saturating_sub(first)) {
                    *out.from(first + n).at.add(channel) = value;
                }
            }
        }
    }
}
