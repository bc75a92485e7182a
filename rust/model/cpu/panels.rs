//! Both sides of a product, laid out as they are read: six rows of the left beside each other, sixteen columns of the right, one step of the
//! product's depth after the other.

use super::threads;
use std::arch::x86_64::*;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Rows of the left that are summed at once: 6 x 2 of 16 registers.
pub const ROWS: usize = 6;
/// Columns of the right: two registers.
pub const WIDTH: usize = 16;
/// So much of a product's depth is summed at once, at most: a panel of the right lies in the first cache.
pub const DEPTH: usize = 384;
/// What [`six_rows`] may write beyond its end.
pub const BEYOND: usize = 8 - ROWS;

/// Rows of a matrix that are read, `stride` numbers apart.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    pub at: *const f32,
    pub stride: usize,
}

/// Rows of a matrix that are written.
#[derive(Debug, Clone, Copy)]
pub struct RowsMut {
    pub at: *mut f32,
    pub stride: usize,
}

// SAFETY: whoever hands them to threads gives each its own rows to write.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}
// SAFETY: as above.
unsafe impl Send for RowsMut {}
// SAFETY: as above.
unsafe impl Sync for RowsMut {}

impl Rows {
    /// # Safety
    /// The rows must be there.
    pub unsafe fn from(self, row: usize) -> Self {
        // SAFETY: as the caller promised.
        Self { at: unsafe { self.at.add(row * self.stride) }, ..self }
    }

    /// # Safety
    /// The columns must be there.
    pub unsafe fn column(self, column: usize) -> Self {
        // SAFETY: as the caller promised.
        Self { at: unsafe { self.at.add(column) }, ..self }
    }
}

impl RowsMut {
    /// # Safety
    /// The rows must be there.
    pub unsafe fn from(self, row: usize) -> Self {
        // SAFETY: as the caller promised.
        Self { at: unsafe { self.at.add(row * self.stride) }, ..self }
    }

    pub fn read(self) -> Rows {
        Rows { at: self.at, stride: self.stride }
    }
}

/// A right side of `depth` rows and `columns` columns, a multiple of [`WIDTH`]: of each stretch of the rows, one panel after the
/// other.
#[derive(Debug, Clone, Copy)]
pub struct Panels {
    at: *const f32,
    pub depth: usize,
    pub columns: usize,
}

// SAFETY: it is read only, and `Packed` keeps the memory.
unsafe impl Send for Panels {}
// SAFETY: as above.
unsafe impl Sync for Panels {}

impl Panels {
    /// The panel of columns from `WIDTH * panel` on, of the rows `stretch`, one of [`Panels::stretches`].
    pub fn panel(&self, stretch: &Range<usize>, panel: usize) -> *const f32 {
        debug_assert!(stretch.end <= self.depth && (panel + 1) * WIDTH <= self.columns);
        // SAFETY: a number within the matrix.
        unsafe { self.at.add(stretch.start * self.columns + panel * stretch.len() * WIDTH) }
    }

    /// The stretches of the depth, of at most [`DEPTH`], about as long as each other.
    pub fn stretches(&self) -> impl Iterator<Item = Range<usize>> {
        let depth = self.depth;
        let length = depth.div_ceil(depth.div_ceil(DEPTH)).next_multiple_of(8);
        (0..depth).step_by(length).map(move |begin| begin..depth.min(begin + length))
    }
}

/// A weight [columns, depth] as panels, which keep their own memory.
#[derive(Debug)]
pub struct Packed {
    memory: Tensor,
    pub panels: Panels,
}

impl Packed {
    /// Of a weight [columns, depth] in fp32 on the CPU; none where its columns do not fill panels.
    pub fn of(weight: &Tensor) -> Option<Self> {
        let (columns, depth) = weight.size2().ok()?;
        if columns % WIDTH as i64 != 0 {
            return None;
        }
        let weight = weight.contiguous();
        let memory = Tensor::empty([depth * columns], (Kind::Float, Device::Cpu));
        let panels = Panels { at: memory.data_ptr().cast(), depth: depth as usize, columns: columns as usize };
        let rows = Rows { at: weight.data_ptr().cast_const().cast(), stride: depth as usize };
        threads::each(panels.columns / WIDTH, &|panel| {
            for stretch in panels.stretches() {
                // SAFETY: the new memory has room for all numbers of the weight, whose rows lie one after the other; each panel is one item's.
                unsafe {
                    let rows = rows.from(panel * WIDTH).column(stretch.start);
                    sixteen_columns(rows, WIDTH, stretch.len(), 1.0, panels.panel(&stretch, panel).cast_mut());
                }
            }
        });
        Some(Self { memory, panels })
    }

    /// The weight again, [columns, depth].
    pub fn weight(&self) -> Tensor {
        let columns = self.panels.columns as i64;
        let stretches = self.panels.stretches().map(|stretch| {
            let (begin, depth) = (stretch.start as i64, stretch.len() as i64);
            let panels = self.memory.narrow(0, begin * columns, depth * columns);
            panels.reshape([-1, depth, WIDTH as i64]).transpose(1, 2).reshape([columns, depth])
        });
        Tensor::cat(&stretches.collect::<Vec<_>>(), 1)
    }
}

/// `count` rows (at most [`WIDTH`]) of `depth` numbers, times `factor`, become columns of a panel; missing ones are as the last.
///
/// # Safety
/// The processor must have AVX2 and FMA; all must be there, and be apart.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn sixteen_columns(rows: Rows, count: usize, depth: usize, factor: f32, to: *mut f32) {
    let whole = depth / 8 * 8;
    // SAFETY: as the caller promised.
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
            for at in whole..depth {
                for (row, from) in rows.iter().enumerate() {
                    *to.add(at * WIDTH + half + row) = *from.add(at) * factor;
                }
            }
        }
    }
}

/// Eight rows of eight as columns.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn transposed(rows: [__m256; 8]) -> [__m256; 8] {
    // Of the rows above and below: columns 0 to 3, with 4 to 7 in the upper half of each register.
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

/// `count` rows (at most [`ROWS`]) of `depth` numbers, times `factor`, beside each other: number by number, six at each. Missing ones are as the
/// last.
///
/// # Safety
/// The processor must have AVX2 and FMA. All must be there, and be apart; [`BEYOND`] numbers are written beyond the end.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn six_rows(rows: Rows, count: usize, depth: usize, factor: f32, to: *mut f32) {
    let whole = depth / 8 * 8;
    // SAFETY: as the caller promised.
    unsafe {
        let rows: [*const f32; ROWS] = std::array::from_fn(|row| rows.from(row.min(count - 1)).at);
        let times = _mm256_set1_ps(factor);
        for at in (0..whole).step_by(8) {
            let mut eight = [times; 8]; // the last two are nobody's, and are written over by the next
            for (eight, row) in eight.iter_mut().zip(rows) {
                *eight = _mm256_mul_ps(_mm256_loadu_ps(row.add(at)), times);
            }
            for (n, column) in transposed(eight).into_iter().enumerate() {
                _mm256_storeu_ps(to.add((at + n) * ROWS), column);
            }
        }
        for at in whole..depth {
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
    fn rows_lie_beside_each_other_as_a_product_reads_them() {
        if !crate::model::cpu::supported() {
            eprintln!("skipped: this processor has no AVX2 and FMA");
            return;
        }
        for (count, depth) in [(6, 8), (6, 19), (2, 24), (1, 3)] {
            let stride = depth + 5;
            let from: Vec<f32> = (0..count * stride).map(|n| n as f32).collect();
            let rows = Rows { at: from.as_ptr(), stride };
            let value = |row: usize, at: usize| from[row * stride + at];
            let mut six = vec![f32::NAN; depth * ROWS + BEYOND];
            let mut sixteen = vec![f32::NAN; depth * WIDTH];
            // SAFETY: as large as the functions ask for; the processor has been asked.
            unsafe {
                six_rows(rows, count, depth, 2.0, six.as_mut_ptr());
                sixteen_columns(rows, count, depth, 2.0, sixteen.as_mut_ptr());
            }
            for at in 0..depth {
                for row in 0..ROWS {
                    assert_eq!(
                        six[at * ROWS + row],
                        2.0 * value(row.min(count - 1), at),
                        "{count} x {depth}: {row}, {at}"
                    );
                }
                for column in 0..WIDTH {
                    let expected = 2.0 * value(column.min(count - 1), at);
                    assert_eq!(sixteen[at * WIDTH + column], expected, "{count} x {depth}: {column}, {at}");
                }
            }
        }
    }
}
