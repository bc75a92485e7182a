//! softmax(q kᵀ / sqrt(d)) v in parts that stay in the caches: scores are never written to memory as a whole (Dao et al. 2022, FlashAttention).
//!
//! Everything stands on its head: scores are [keys, 16 queries], so that greatest ones and sums are of whole registers, and the weights lie as the
//! product with the values reads them.

use super::arithmetic::exp2;
use super::panels::{six_rows, sixteen_columns, transposed, Rows, RowsMut, BEYOND, DEPTH, ROWS, WIDTH};
use super::product::tile;
use super::threads;
use std::arch::x86_64::*;

/// Keys at a time.
const KEYS: usize = 42 * ROWS;
/// Queries of one piece of work, at most: what is read of keys and values serves them all.
const QUERIES: usize = 2 * WIDTH;

/// Numbers of many heads: `at` + index of the image and the head by their strides, then rows.
#[derive(Debug, Clone, Copy)]
pub struct Heads<P> {
    pub at: P,
    pub image: usize,
    pub head: usize,
    pub row: usize,
}

// SAFETY: threads read all of it, and write rows of their own.
unsafe impl<P> Send for Heads<P> {}
// SAFETY: as above.
unsafe impl<P> Sync for Heads<P> {}

/// Sizes of an attention; at most [`DEPTH`] channels.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub images: usize,
    pub heads: usize,
    pub queries: usize,
    pub keys: usize,
    /// Of queries and keys.
    pub channels: usize,
    /// Channels of the values.
    pub values: usize,
}

impl Shape {
    /// Keys of an image's head, by sixes.
    fn keys_room(&self) -> usize {
        (self.keys.next_multiple_of(ROWS) * self.channels + BEYOND).next_multiple_of(WIDTH)
    }

    /// Numbers of the memory that keys and values of one image's head are laid out in.
    pub fn room(&self) -> usize {
        self.keys_room() + (self.keys * self.values.next_multiple_of(ROWS)).next_multiple_of(WIDTH)
    }

    /// Whether whoever attends to a head's keys lays them out: they are few, and there are heads enough for all threads.
    fn is_small(&self) -> bool {
        self.keys <= KEYS && (self.queries <= QUERIES || self.images * self.heads >= threads::pieces())
    }

    /// How keys and values of an image's head lie in its room.
    unsafe fn laid_out(&self, room: RowsMut, group: usize) -> (*mut f32, *mut f32) {
        // SAFETY: as `attend` was promised.
        unsafe {
            let keys = room.from(group).at;
            (keys, keys.add(self.keys_room()))
        }
    }
}

/// One attention of several that are computed together.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    pub shape: Shape,
    pub q: Heads<*const f32>,
    pub k: Heads<*const f32>,
    pub v: Heads<*const f32>,
    pub out: Heads<*mut f32>,
    /// A row of [`Shape::room`] numbers for each image's head, at a multiple of 64 bytes.
    pub room: RowsMut,
}

/// Attends.
///
/// # Safety
/// The processor must have AVX2 and FMA; all that the shapes say must be there, and outputs and rooms belong to the caller alone and are apart.
pub unsafe fn attend(all: &[Attention]) {
    debug_assert!(all.iter().all(|one| one.shape.channels <= DEPTH));
    let stretches = |shape: &Shape| if shape.is_small() { 0 } else { shape.keys.div_ceil(KEYS) };
    each_of(all, stretches, &|one, group, stretch| {
        let (shape, first) = (&one.shape, stretch * KEYS);
        // SAFETY: each piece of work has keys and room of its own.
        unsafe {
            let (keys, values) = shape.laid_out(one.room, group);
            let values = values.add(first * shape.values.next_multiple_of(ROWS));
            lay(one, group, first, KEYS.min(shape.keys - first), keys.add(first * shape.channels), values);
        }
    });
    let parts = |shape: &Shape| if shape.is_small() { 1 } else { shape.queries.div_ceil(QUERIES) };
    each_of(all, parts, &|one, group, number| {
        let shape = &one.shape;
        // SAFETY: each piece of work has rows of its own.
        unsafe {
            if !shape.is_small() {
                let (keys, values) = shape.laid_out(one.room, group);
                return part(one, group, number * QUERIES, keys, values);
            }
            threads::with_memory(shape.room() + part_room(shape), |memory| {
                let (keys, values) = (memory.add(part_room(shape)), memory.add(part_room(shape) + shape.keys_room()));
                lay(one, group, 0, shape.keys, keys, values);
                for first in (0..shape.queries).step_by(QUERIES) {
                    part_in(memory, one, group, first, keys, values);
                }
            });
        }
    });
}

/// Does `work` for each attention's groups (an image's head) and their `parts`.
fn each_of(all: &[Attention], parts: impl Fn(&Shape) -> usize, work: &(dyn Fn(&Attention, usize, usize) + Sync)) {
    let mut ends = Vec::with_capacity(all.len());
    let mut end = 0;
    for one in all {
        let parts = parts(&one.shape);
        end += one.shape.images * one.shape.heads * parts;
        ends.push((end, parts));
    }
    threads::each(end, &|item| {
        let number = ends.partition_point(|&(end, _)| end <= item);
        let (begin, parts) = (if number == 0 { 0 } else { ends[number - 1].0 }, ends[number].1);
        work(&all[number], (item - begin) / parts, (item - begin) % parts);
    });
}

unsafe fn of_group(x: Heads<*const f32>, group: usize, heads: usize) -> Rows {
    // SAFETY: as `attend` was promised.
    Rows { at: unsafe { x.at.add(group / heads * x.image + group % heads * x.head) }, stride: x.row }
}

unsafe fn of_group_mut(x: Heads<*mut f32>, group: usize, heads: usize) -> RowsMut {
    // SAFETY: as `attend` was promised.
    RowsMut { at: unsafe { x.at.add(group / heads * x.image + group % heads * x.head) }, stride: x.row }
}

/// Lays `count` keys and values from `first` on out.
unsafe fn lay(one: &Attention, group: usize, first: usize, count: usize, keys: *mut f32, values: *mut f32) {
    let shape = &one.shape;
    // SAFETY: as `attend` was promised.
    unsafe {
        let [k, v] = [one.k, one.v].map(|x| of_group(x, group, shape.heads).from(first));
        lay_keys(shape.channels, count, k, keys);
        lay_values(shape.values, count, v, values);
    }
}

/// Keys by sixes. Nothing is written beyond them: another thread's keys may follow.
#[target_feature(enable = "avx2,fma")]
unsafe fn lay_keys(channels: usize, count: usize, keys: Rows, to: *mut f32) {
    // SAFETY: as `attend` was promised.
    unsafe {
        let last = (count - 1) / ROWS * ROWS;
        for first in (0..last).step_by(ROWS) {
            six_rows(keys.from(first), ROWS, channels, 1.0, to.add(first * channels));
        }
        let mut end = [0.0; ROWS * DEPTH + BEYOND];
        six_rows(keys.from(last), count - last, channels, 1.0, end.as_mut_ptr());
        std::ptr::copy_nonoverlapping(end.as_ptr(), to.add(last * channels), ROWS * channels);
    }
}

/// Channels of values by sixes: of each six, key after key. Missing ones are zero.
#[target_feature(enable = "avx2,fma")]
unsafe fn lay_values(channels: usize, count: usize, values: Rows, to: *mut f32) {
    for first in (0..channels).step_by(ROWS) {
        // SAFETY: as `attend` was promised: eight channels are read and written where two more are there, the next key's two follow.
        unsafe {
            let to = to.add(first * count);
            let quick = if first + 8 <= channels { count - 1 } else { 0 };
            for key in 0..quick {
                _mm256_storeu_ps(to.add(key * ROWS), _mm256_loadu_ps(values.from(key).at.add(first)));
            }
            for key in quick..count {
                for channel in 0..ROWS {
                    let there = first + channel < channels;
                    let value = if there { *values.from(key).at.add(first + channel) } else { 0.0 };
                    *to.add(key * ROWS + channel) = value;
                }
            }
        }
    }
}

/// Sixteen queries on their way: the greatest score and the sum of weights of each, and the average so far [channels, 16].
struct Panel {
    queries: *mut f32,
    averages: *mut f32,
    greatest: [__m256; 2],
    sums: [__m256; 2],
}

/// Numbers that the work on a part takes.
fn part_room(shape: &Shape) -> usize {
    WIDTH * (KEYS + QUERIES / WIDTH * (shape.channels + shape.values.next_multiple_of(ROWS)))
}

/// Attends with queries from `first` on.
unsafe fn part(one: &Attention, group: usize, first: usize, keys: *const f32, values: *const f32) {
    // SAFETY: as `attend` was promised.
    threads::with_memory(part_room(&one.shape), |memory| unsafe { part_in(memory, one, group, first, keys, values) });
}

/// The same in `memory`, of [`part_room`].
#[target_feature(enable = "avx2,fma")]
unsafe fn part_in(memory: *mut f32, one: &Attention, group: usize, first: usize, keys: *const f32, values: *const f32) {
    let shape = &one.shape;
    let count = QUERIES.min(shape.queries - first);
    let (channels, padded) = (shape.channels, shape.values.next_multiple_of(ROWS));
    let (queries, averages) = (channels * WIDTH, padded * WIDTH);
    let factor = std::f32::consts::LOG2_E / (channels as f32).sqrt(); // scores are then exponents of two
                                                                      // SAFETY: the memory is as large as is asked for; the rest as `attend` was promised.
    unsafe {
        let q = of_group(one.q, group, shape.heads).from(first);
        let out = of_group_mut(one.out, group, shape.heads).from(first);
        let scores = memory;
        let mut panels: [Option<Panel>; QUERIES / WIDTH] = [const { None }; QUERIES / WIDTH];
        for (n, panel) in panels.iter_mut().enumerate().take(count.div_ceil(WIDTH)) {
            let queries_at = memory.add(KEYS * WIDTH + n * (queries + averages));
            sixteen_columns(q.from(n * WIDTH), WIDTH.min(count - n * WIDTH), channels, factor, queries_at);
            let averages = queries_at.add(queries);
            let (least, zero) = (_mm256_set1_ps(f32::NEG_INFINITY), _mm256_setzero_ps());
            *panel = Some(Panel { queries: queries_at, averages, greatest: [least; 2], sums: [zero; 2] });
        }
        for first in (0..shape.keys).step_by(KEYS) {
            let n = KEYS.min(shape.keys - first);
            for panel in panels.iter_mut().flatten() {
                score(channels, n, keys.add(first * channels), panel.queries, scores);
                let shrunk = weigh(n, scores, panel);
                let shrunk = (first > 0).then_some(shrunk);
                average(padded, n, values.add(first * padded), scores, panel.averages, shrunk);
            }
        }
        for (n, panel) in panels.iter().flatten().enumerate() {
            hand_out(panel, shape.values, WIDTH.min(count - n * WIDTH), out.from(n * WIDTH));
        }
    }
}

/// Scores [keys, 16].
#[target_feature(enable = "avx2,fma")]
unsafe fn score(channels: usize, count: usize, keys: *const f32, queries: *const f32, scores: *mut f32) {
    for first in (0..count).step_by(ROWS) {
        // SAFETY: as `part` was promised: scores have room for whole sixes.
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

/// Scores become weights beside the greatest so far; returns what averages so far are to be multiplied by.
#[target_feature(enable = "avx2,fma")]
unsafe fn weigh(count: usize, scores: *mut f32, panel: &mut Panel) -> [__m256; 2] {
    let mut shrunk = [_mm256_setzero_ps(); 2];
    for (half, shrunk) in shrunk.iter_mut().enumerate() {
        // SAFETY: as `part` was promised.
        unsafe {
            let scores = scores.add(8 * half);
            let before = panel.greatest[half];
            let mut most = before;
            for key in 0..count {
                most = _mm256_max_ps(most, _mm256_load_ps(scores.add(key * WIDTH)));
            }
            let mut total = _mm256_setzero_ps();
            for key in 0..count {
                let at = scores.add(key * WIDTH);
                let weight = exp2(_mm256_sub_ps(_mm256_load_ps(at), most));
                total = _mm256_add_ps(total, weight);
                _mm256_store_ps(at, weight);
            }
            *shrunk = exp2(_mm256_sub_ps(before, most)); // as good as zero where there was nothing before
            panel.sums[half] = _mm256_fmadd_ps(panel.sums[half], *shrunk, total);
            panel.greatest[half] = most;
        }
    }
    shrunk
}

/// `averages` [channels, 16] = themselves * shrunk, where there are any, + values x weights.
#[target_feature(enable = "avx2,fma")]
unsafe fn average(
    channels: usize,
    count: usize,
    values: *const f32,
    weights: *const f32,
    averages: *mut f32,
    shrunk: Option<[__m256; 2]>,
) {
    for first in (0..channels).step_by(ROWS) {
        // SAFETY: as `part` was promised.
        unsafe {
            let sums = tile(count, values.add(first * count), weights);
            for (row, sums) in sums.into_iter().enumerate() {
                for (half, sum) in sums.into_iter().enumerate() {
                    let at = averages.add((first + row) * WIDTH + 8 * half);
                    let sum = match shrunk {
                        Some(shrunk) => _mm256_fmadd_ps(_mm256_load_ps(at), shrunk[half], sum),
                        None => sum,
                    };
                    _mm256_store_ps(at, sum);
                }
            }
        }
    }
}

/// Averages over the sums of their weights, as rows of the result.
#[target_feature(enable = "avx2,fma")]
unsafe fn hand_out(panel: &Panel, channels: usize, count: usize, out: RowsMut) {
    // SAFETY: as `part` was promised.
    unsafe {
        let one = _mm256_set1_ps(1.0);
        for (half, sums) in panel.sums.into_iter().enumerate() {
            let (factor, first) = (_mm256_div_ps(one, sums), 8 * half);
            let at = |channel: usize| panel.averages.add(channel * WIDTH + first);
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
