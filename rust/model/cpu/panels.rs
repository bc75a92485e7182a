//! The packed layout of a product's two operands.
//!
//! A product [rows, K] x [K, columns] is computed in tiles of [`ROWS`] x [`WIDTH`] sums. A tile reads, for each k,
//! `ROWS` floats of the left operand and `WIDTH` of the right; packing puts these next to each other in memory, one k
//! after the other. K is divided into blocks, whose panels stay in the first-level cache.

use super::processor::is_supported;
use super::threads;
use std::arch::x86_64::*;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Rows of a tile: with [`WIDTH`], 6 x 2 of the 16 vector registers are sums.
pub const ROWS: usize = 6;
/// Columns of a tile: two vector registers.
pub const WIDTH: usize = 16;
/// Length of a block of K, at most.
pub const K_BLOCK: usize = 384;
/// Floats that [`pack_rows`] may write beyond the end of its output.
pub const OVERRUN: usize = 8 - ROWS;
/// Bytes to whose multiple packed right operands and scratch memory are aligned; the kernels need 32, a cache line has
/// 64.
pub const ALIGNMENT: usize = 64;

/// Rows of a matrix to read: `at` is the first float of the first row, and each row begins `stride` floats after the
/// one before. How many rows and columns there are is for whoever uses it to say. No alignment beyond that of a float.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    pub at: *const f32,
    pub stride: usize,
}

/// [`Rows`] to write.
#[derive(Debug, Clone, Copy)]
pub struct RowsMut {
    pub at: *mut f32,
    pub stride: usize,
}

// SAFETY: a pointer and a number; the contracts of the functions that dereference it say what other threads may do.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}
// SAFETY: as above; they demand that every thread has its own rows to write.
unsafe impl Send for RowsMut {}
// SAFETY: as above.
unsafe impl Sync for RowsMut {}

impl Rows {
    /// The rows from `row` on.
    ///
    /// # Safety
    /// There are at least `row` rows in the same allocation.
    pub unsafe fn from(self, row: usize) -> Self {
        // SAFETY: `row * stride` floats ahead is inside the allocation or at its end, by the contract.
        Self { at: unsafe { self.at.add(row * self.stride) }, ..self }
    }

    /// The columns from `column` on.
    ///
    /// # Safety
    /// Each row has at least `column` floats.
    pub unsafe fn column(self, column: usize) -> Self {
        // SAFETY: `column` floats ahead is inside the row or at its end, by the contract.
        Self { at: unsafe { self.at.add(column) }, ..self }
    }
}

impl RowsMut {
    /// The rows from `row` on.
    ///
    /// # Safety
    /// There are at least `row` rows in the same allocation.
    pub unsafe fn from(self, row: usize) -> Self {
        // SAFETY: `row * stride` floats ahead is inside the allocation or at its end, by the contract.
        Self { at: unsafe { self.at.add(row * self.stride) }, ..self }
    }

    /// The same rows, to read.
    pub fn as_const(self) -> Rows {
        Rows { at: self.at, stride: self.stride }
    }
}

/// A packed right operand [K, columns]: for each block of K, panels of [`WIDTH`] columns, one after the other; each
/// panel has `WIDTH` floats for each k. `k_len * columns` floats in all, aligned to [`ALIGNMENT`].
#[derive(Debug, Clone, Copy)]
pub struct Panels {
    at: *const f32,
    /// The product's inner dimension, K.
    pub k_len: usize,
    /// A multiple of [`WIDTH`].
    pub columns: usize,
}

// SAFETY: the memory is only read, and `PackedWeight` keeps it.
unsafe impl Send for Panels {}
// SAFETY: as above.
unsafe impl Sync for Panels {}

impl Panels {
    /// The panel of columns from `WIDTH * panel` on for a block of K, one of [`Panels::k_blocks`]: `WIDTH *
    /// k_block.len()` floats, aligned to [`ALIGNMENT`], because every offset is a multiple of `WIDTH` floats.
    pub fn panel(&self, k_block: &Range<usize>, panel: usize) -> *const f32 {
        assert!(k_block.end <= self.k_len && (panel + 1) * WIDTH <= self.columns, "a panel of the matrix");
        // SAFETY: panels before this one have `k_block.start * columns + panel * k_block.len() * WIDTH` floats, less
        // than all.
        unsafe { self.at.add(k_block.start * self.columns + panel * k_block.len() * WIDTH) }
    }

    /// The blocks of K, of at most [`K_BLOCK`] and about equal length.
    pub fn k_blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let k_len = self.k_len;
        let length = k_len.div_ceil(k_len.div_ceil(K_BLOCK)).next_multiple_of(8);
        (0..k_len).step_by(length).map(move |begin| begin..k_len.min(begin + length))
    }
}

/// A packed weight, which owns its memory.
#[derive(Debug)]
pub struct PackedWeight {
    memory: Tensor,
    panels: Panels,
}

impl PackedWeight {
    /// Packs a weight [columns, K], fp32 on the CPU, whose transpose is a right operand; none if its columns are not a
    /// multiple of [`WIDTH`]. Panics without AVX2 and FMA.
    pub fn new(weight: &Tensor) -> Option<Self> {
        let (columns, k_len) = weight.size2().ok()?;
        if columns % WIDTH as i64 != 0 {
            return None;
        }
        assert!(is_supported(), "a processor with AVX2 and FMA");
        assert!(weight.kind() == Kind::Float && weight.device() == Device::Cpu, "a weight in fp32 on the CPU");
        let weight = weight.contiguous();
        let memory = Tensor::empty([k_len * columns], (Kind::Float, Device::Cpu));
        let panels = Panels { at: memory.data_ptr().cast(), k_len: k_len as usize, columns: columns as usize };
        assert!(panels.at as usize % ALIGNMENT == 0, "libtorch aligns tensors to {ALIGNMENT} bytes");
        let rows = Rows { at: weight.data_ptr().cast_const().cast(), stride: k_len as usize };
        threads::for_each(panels.columns / WIDTH, &|panel| {
            for k_block in panels.k_blocks() {
                // SAFETY: AVX2 and FMA were asked for. The weight has `columns` contiguous rows of `k_len` floats; the
                // panel has `WIDTH` floats for each k of the block in the new memory, and belongs to this item alone.
                unsafe {
                    let rows = rows.from(panel * WIDTH).column(k_block.start);
                    pack_columns(rows, WIDTH, k_block.len(), 1.0, panels.panel(&k_block, panel).cast_mut());
                }
            }
        });
        Some(Self { memory, panels })
    }

    /// For [`product`](super::product::product); valid as long as the weight.
    pub fn panels(&self) -> Panels {
        self.panels
    }

    /// The weight as it was, [columns, K].
    pub fn unpacked(&self) -> Tensor {
        let columns = self.panels.columns as i64;
        let k_blocks = self.panels.k_blocks().map(|k_block| {
            let (begin, k_len) = (k_block.start as i64, k_block.len() as i64);
            let panels = self.memory.narrow(0, begin * columns, k_len * columns);
            panels.reshape([-1, k_len, WIDTH as i64]).transpose(1, 2).reshape([columns, k_len])
        });
        Tensor::cat(&k_blocks.collect::<Vec<_>>(), 1)
    }
}

/// Packs `count` rows (1 to [`WIDTH`]) of `k_len` floats, times `factor`, as the columns of a panel; missing columns
/// repeat the last.
///
/// # Safety
/// - The processor has AVX2 and FMA.
/// - `rows`: `count` rows of `k_len` floats.
/// - `to`: `k_len * WIDTH` floats to write, which nobody else uses and which overlap no row; no alignment.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn pack_columns(rows: Rows, count: usize, k_len: usize, factor: f32, to: *mut f32) {
    let whole = k_len / 8 * 8;
    // SAFETY: rows beyond `count` are the last one; a row's floats are read up to `k_len`, and for each k `WIDTH` are
    // written.
    unsafe {
        let times = _mm256_set1_ps(factor);
        for half in (0..WIDTH).step_by(8) {
            let rows: [*const f32; 8] = std::array::from_fn(|row| rows.from((half + row).min(count - 1)).at);
            for at in (0..whole).step_by(8) {
                let mut eight = [times; 8];
                for (eight, row) in eight.iter_mut().zip(rows) {
                    *eight = _mm256_mul_ps(_mm256_loadu_ps(row.add(at)), times);
                }
                for (n, column) in transposed(eight).into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((at + n) * WIDTH + half), column);
                }
            }
            for at in whole..k_len {
                for (row, from) in rows.iter().enumerate() {
                    *to.add(at * WIDTH + half + row) = *from.add(at) * factor;
                }
            }
        }
    }
}

/// Transposes a matrix of 8 x 8 floats.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn transposed(rows: [__m256; 8]) -> [__m256; 8] {
    // Of the upper and of the lower four rows: columns 0 to 3, with 4 to 7 in the upper half of each register.
    let mut fours = [[rows[0]; 4]; 2];
    for (four, rows) in fours.iter_mut().zip(rows.chunks_exact(4)) {
        let (low, high) = (_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[0], rows[1]));
        let (low2, high2) = (_mm256_unpacklo_ps(rows[2], rows[3]), _mm256_unpackhi_ps(rows[2], rows[3]));
        *four = [
            _mm256_shuffle_ps::<0x44>(low, low2),
            _mm256_shuffle_ps::<0xEE>(low, low2),
            _mm256_shuffle_ps::<0x44>(high, high2),
            _mm256_shuffle_ps::<0xEE>(high, high2),
        ];
    }
    let mut columns = rows;
    for n in 0..4 {
        columns[n] = _mm256_permute2f128_ps::<0x20>(fours[0][n], fours[1][n]);
        columns[4 + n] = _mm256_permute2f128_ps::<0x31>(fours[0][n], fours[1][n]);
    }
    columns
}

/// Packs `count` rows (1 to [`ROWS`]) of `k_len` floats, times `factor`, as a left operand: `ROWS` floats for each k.
/// Missing rows repeat the last.
///
/// # Safety
/// - The processor has AVX2 and FMA.
/// - `rows`: `count` rows of `k_len` floats.
/// - `to`: `k_len * ROWS + OVERRUN` floats to write, which nobody else uses and which overlap no row; no alignment. The
///   last [`OVERRUN`] floats have no meaning afterwards.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn pack_rows(rows: Rows, count: usize, k_len: usize, factor: f32, to: *mut f32) {
    let whole = k_len / 8 * 8;
    // SAFETY: rows beyond `count` are the last one; a row's floats are read up to `k_len`. For each k eight floats are
    // written, six of them for good: the last two reach at most `OVERRUN` beyond `k_len * ROWS`.
    unsafe {
        let rows: [*const f32; ROWS] = std::array::from_fn(|row| rows.from(row.min(count - 1)).at);
        let times = _mm256_set1_ps(factor);
        for at in (0..whole).step_by(8) {
            let mut eight = [times; 8]; // the last two have no meaning, and the next k overwrites them
            for (eight, row) in eight.iter_mut().zip(rows) {
                *eight = _mm256_mul_ps(_mm256_loadu_ps(row.add(at)), times);
            }
            for (n, column) in transposed(eight).into_iter().enumerate() {
                _mm256_storeu_ps(to.add((at + n) * ROWS), column);
            }
        }
        for at in whole..k_len {
            for (row, from) in rows.iter().enumerate() {
                *to.add(at * ROWS + row) = *from.add(at) * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_operands_have_the_layout_of_a_tile() {
        if !is_supported() {
            eprintln!("skipped: this processor has no AVX2 and FMA");
            return;
        }
        for (count, k_len) in [(6, 8), (6, 19), (2, 24), (1, 3)] {
            let stride = k_len + 5;
            let from: Vec<f32> = (0..count * stride).map(|n| n as f32).collect();
            let rows = Rows { at: from.as_ptr(), stride };
            let value = |row: usize, at: usize| from[row * stride + at];
            let mut six = vec![f32::NAN; k_len * ROWS + OVERRUN];
            let mut sixteen = vec![f32::NAN; k_len * WIDTH];
            // SAFETY: the outputs are as large as the contracts say; AVX2 and FMA were asked for.
            unsafe {
                pack_rows(rows, count, k_len, 2.0, six.as_mut_ptr());
                pack_columns(rows, count, k_len, 2.0, sixteen.as_mut_ptr());
            }
            for at in 0..k_len {
                for row in 0..ROWS {
                    assert_eq!(
                        six[at * ROWS + row],
                        2.0 * value(row.min(count - 1), at),
                        "{count} x {k_len}: {row}, {at}"
                    );
                }
                for column in 0..WIDTH {
                    let expected = 2.0 * value(column.min(count - 1), at);
                    assert_eq!(sixteen[at * WIDTH + column], expected, "{count} x {k_len}: {column}, {at}");
                }
            }
        }
    }
}
