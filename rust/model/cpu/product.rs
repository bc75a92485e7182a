//! The matrix product with its epilogue, and the tile of sums that attention computes with, too.

use super::arithmetic::gelu;
use super::panels::{pack_rows, Panels, Rows, RowsMut, K_BLOCK, OVERRUN, ROWS, WIDTH};
use crate::model::activation::Activation;
use std::arch::x86_64::*;
use std::ptr::null;

/// The sums of a tile, [`ROWS`] x [`WIDTH`].
pub type Sums = [[__m256; 2]; ROWS];

/// Steps of k in the unrolled loop.
const STEPS: usize = 4;

/// The sums of a tile over `k_len` steps of packed operands.
///
/// # Safety
/// - The processor has AVX2 and FMA.
/// - `left`: `k_len * ROWS` floats; no alignment.
/// - `right`: `k_len * WIDTH` floats, aligned to 32 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn tile(k_len: usize, mut left: *const f32, mut right: *const f32) -> Sums {
    // SAFETY: the two loops together take `k_len` steps of `ROWS` and `WIDTH` floats; `WIDTH` floats keep the
    // alignment.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        for _ in 0..k_len / STEPS {
            for step in 0..STEPS {
                add(&mut sums, left.add(step * ROWS), right.add(step * WIDTH));
            }
            (left, right) = (left.add(STEPS * ROWS), right.add(STEPS * WIDTH));
        }
        for step in 0..k_len % STEPS {
            add(&mut sums, left.add(step * ROWS), right.add(step * WIDTH));
        }
        sums
    }
}

/// One step of [`tile`].
///
/// # Safety
/// AVX2 and FMA; `left`: `ROWS` floats; `right`: `WIDTH` floats, aligned to 32 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add(sums: &mut Sums, left: *const f32, right: *const f32) {
    // SAFETY: `WIDTH` is two registers of eight floats; `sums` has `ROWS` rows.
    unsafe {
        let halves = [_mm256_load_ps(right), _mm256_load_ps(right.add(8))];
        for (row, sums) in sums.iter_mut().enumerate() {
            let value = _mm256_broadcast_ss(&*left.add(row));
            for (sum, half) in sums.iter_mut().zip(halves) {
                *sum = _mm256_fmadd_ps(value, half, *sum);
            }
        }
    }
}

/// Rotary encoding of rows, by pointers: the position of row r is `indices[(first + r) % period]`, or `(first + r) %
/// period` if `indices` is null.
///
/// Whoever makes one guarantees that `indices` is null or has `period` indices, `period` is not 0, and `cosines` and
/// `sines` have, for every position that occurs, a row with as many floats as the product has columns.
#[derive(Debug, Clone, Copy)]
pub struct RotaryRows {
    pub cosines: Rows,
    /// Of the other part of a number: negative for the real part.
    pub sines: Rows,
    pub indices: *const u32,
    pub period: usize,
    pub first: usize,
}

impl RotaryRows {
    /// The same for rows from `row` on.
    fn from(self, row: usize) -> Self {
        Self { first: self.first + row, ..self }
    }

    /// Cosines and sines of a row, from `column` on.
    ///
    /// # Safety
    /// The guarantees of the type hold, and `column` is at most the number of columns.
    unsafe fn at(&self, row: usize, column: usize) -> [*const f32; 2] {
        let row = (self.first + row) % self.period;
        // SAFETY: `row` is less than `period`, the length of the indices; the tables have a row for each position that
        // occurs.
        unsafe {
            let position = if self.indices.is_null() { row } else { *self.indices.add(row) as usize };
            [self.cosines, self.sines].map(|table| table.from(position).column(column).at)
        }
    }
}

/// [`Epilogue`](super::epilogue::Epilogue) with the bias, by pointers: activation(rotary(sum + bias)) + residual.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowEpilogue {
    /// One float for each column.
    pub bias: Option<*const f32>,
    pub rotary: Option<RotaryRows>,
    pub activation: Option<Activation>,
    /// Rows of as many columns as the product.
    pub residual: Option<Rows>,
}

// SAFETY: what it points to is only read.
unsafe impl Send for RowEpilogue {}
// SAFETY: as above.
unsafe impl Sync for RowEpilogue {}

impl RowEpilogue {
    /// The same for rows from `row` on.
    ///
    /// # Safety
    /// The residual, if there is one, has at least `row` rows.
    pub unsafe fn from(self, row: usize) -> Self {
        // SAFETY: by the contract.
        let residual = self.residual.map(|residual| unsafe { residual.from(row) });
        Self { residual, rotary: self.rotary.map(|rotary| rotary.from(row)), ..self }
    }
}

/// Floats of scratch memory that [`product`] packs `rows` rows in.
pub fn scratch_len(rows: usize) -> usize {
    (rows.div_ceil(ROWS) * ROWS * K_BLOCK + OVERRUN).next_multiple_of(WIDTH)
}

/// `out` [rows, columns] = epilogue(`left` [rows, K] x `panels` [K, columns]).
///
/// # Safety
/// - The processor has AVX2 and FMA.
/// - `left`: `rows` rows of `panels.k_len` floats.
/// - `panels`: of a [`PackedWeight`](super::panels::PackedWeight) that lives until the call returns.
/// - `out`: `rows` rows of `panels.columns` floats to write, which nobody else uses and which overlap nothing else
///   here.
/// - `epilogue`: a bias of `panels.columns` floats, a residual of `rows` rows with `panels.columns` floats, and a
///   rotary encoding with the guarantees of [`RotaryRows`] for `rows` rows; each if it is there.
/// - `scratch`: [`scratch_len`]`(rows)` floats that nobody else uses.
///
/// No pointer needs an alignment beyond that of a float.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn product(
    rows: usize,
    left: Rows,
    panels: &Panels,
    out: RowsMut,
    epilogue: &RowEpilogue,
    scratch: *mut f32,
) {
    const NOTHING: Rows = Rows { at: null(), stride: 0 };
    for k_block in panels.k_blocks() {
        let (first, last) = (k_block.start == 0, k_block.end == panels.k_len);
        let k_len = k_block.len();
        for row in (0..rows).step_by(ROWS) {
            // SAFETY: up to `ROWS` of the rows from `row` on are there, with `k_len` floats from the block's first on.
            // A block is at most `K_BLOCK` long, so scratch memory has `ROWS * k_len` floats for each `ROWS` rows, and
            // `OVERRUN` at the end; what is written beyond a pack is overwritten by the next.
            unsafe {
                let from = left.from(row).column(k_block.start);
                pack_rows(from, ROWS.min(rows - row), k_len, 1.0, scratch.add(row * k_len));
            }
        }
        for panel in 0..panels.columns / WIDTH {
            let (right, column) = (panels.panel(&k_block, panel), panel * WIDTH);
            for row in (0..rows).step_by(ROWS) {
                // SAFETY: the tile reads what was packed above, and a panel, which is aligned. Its `WIDTH` columns from
                // `column` on and at most `ROWS` rows from `row` on are there in `out`, in the bias and in the
                // residual.
                unsafe {
                    let to = RowsMut { at: out.from(row).at.add(column), stride: out.stride };
                    let tile_epilogue = TileEpilogue {
                        sums: if first { NOTHING } else { to.as_const() },
                        bias: epilogue.bias.filter(|_| last).map_or(null(), |bias| bias.add(column)),
                        rotary: epilogue.rotary.filter(|_| last).map(|rotary| (rotary.from(row), column)),
                        activation: epilogue.activation.filter(|_| last),
                        residual: epilogue
                            .residual
                            .filter(|_| last)
                            .map_or(NOTHING, |residual| residual.from(row).column(column)),
                    };
                    let sums = tile(k_len, scratch.add(row * k_len), right);
                    tile_epilogue.store(sums, ROWS.min(rows - row), to);
                }
            }
        }
    }
}

/// [`RowEpilogue`] of one tile, whose pointers are to its first row and column; null where there is nothing.
struct TileEpilogue {
    /// Sums over the blocks of K before.
    sums: Rows,
    bias: *const f32,
    /// And the tile's first column.
    rotary: Option<(RotaryRows, usize)>,
    activation: Option<Activation>,
    residual: Rows,
}

impl TileEpilogue {
    /// Applies the epilogue to the first `rows` rows of `sums` and writes them to `out`.
    ///
    /// # Safety
    /// AVX2 and FMA. `out` has `rows` rows (at most [`ROWS`]) of [`WIDTH`] floats to write. Where they are not null, so
    /// have the sums and the residual, and the bias has `WIDTH` floats; the rotary encoding keeps its guarantees.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store(&self, sums: Sums, rows: usize, out: RowsMut) {
        // SAFETY: all accesses are unaligned, to eight floats at column 0 or 8 of a row below `rows`.
        unsafe {
            for (row, sums) in sums.into_iter().enumerate().take(rows) {
                for (half, mut sum) in sums.into_iter().enumerate() {
                    let at = 8 * half;
                    if !self.sums.at.is_null() {
                        sum = _mm256_add_ps(sum, _mm256_loadu_ps(self.sums.from(row).at.add(at)));
                    }
                    if !self.bias.is_null() {
                        sum = _mm256_add_ps(sum, _mm256_loadu_ps(self.bias.add(at)));
                    }
                    if let Some((rotary, column)) = &self.rotary {
                        const SWAPPED: i32 = 0b10_11_00_01; // the two parts of each number
                        let [cosines, sines] = rotary.at(row, column + at);
                        let others = _mm256_mul_ps(_mm256_permute_ps::<SWAPPED>(sum), _mm256_loadu_ps(sines));
                        sum = _mm256_fmadd_ps(sum, _mm256_loadu_ps(cosines), others);
                    }
                    match self.activation {
                        None => {}
                        Some(Activation::Relu) => sum = _mm256_max_ps(_mm256_setzero_ps(), sum),
                        Some(Activation::Gelu) => sum = gelu(sum),
                    }
                    if !self.residual.at.is_null() {
                        sum = _mm256_add_ps(sum, _mm256_loadu_ps(self.residual.from(row).at.add(at)));
                    }
                    _mm256_storeu_ps(out.from(row).at.add(at), sum);
                }
            }
        }
    }
}
