//! Products: the arithmetic of everything here.

use super::arithmetic::gelu;
use super::panels::{six_rows, Panels, Rows, RowsMut, BEYOND, DEPTH, ROWS, WIDTH};
use crate::model::layers::Activation;
use std::arch::x86_64::*;
use std::ptr::null;

/// Sums of a tile: six rows of sixteen columns.
pub type Sums = [[__m256; 2]; ROWS];

/// Steps of the depth that are written out.
const STEPS: usize = 4;

/// The sums of `depth` steps: `left` six numbers at each, `right` sixteen.
///
/// # Safety
/// The processor must have AVX2 and FMA; the numbers must be there, the right's at a multiple of 32 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn tile(depth: usize, mut left: *const f32, mut right: *const f32) -> Sums {
    // SAFETY: as the caller promised.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        for _ in 0..depth / STEPS {
            for step in 0..STEPS {
                add(&mut sums, left.add(step * ROWS), right.add(step * WIDTH));
            }
            (left, right) = (left.add(STEPS * ROWS), right.add(STEPS * WIDTH));
        }
        for step in 0..depth % STEPS {
            add(&mut sums, left.add(step * ROWS), right.add(step * WIDTH));
        }
        sums
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add(sums: &mut Sums, left: *const f32, right: *const f32) {
    // SAFETY: as `tile` was promised.
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

/// How pairs of columns are turned, by the cosines and sines of a row's place ([`crate::model::position::turns_of_pairs`]).
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub cosines: Rows,
    pub sines: Rows,
    /// The place of each row; null: they follow each other.
    pub places: *const u32,
    /// Rows before places begin anew.
    pub period: usize,
    /// The first row's number.
    pub first: usize,
}

impl Turn {
    unsafe fn at(&self, row: usize, column: usize) -> [*const f32; 2] {
        // SAFETY: as `product` was promised.
        unsafe {
            let row = (self.first + row) % self.period;
            let place = if self.places.is_null() { row } else { *self.places.add(row) as usize };
            [self.cosines, self.sines].map(|table| table.from(place).column(column).at)
        }
    }
}

/// What becomes of a sum s on its way to memory: activation(turned(s + bias)) + onto.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish {
    /// One for each column.
    pub bias: Option<*const f32>,
    pub turn: Option<Turn>,
    pub activation: Option<Activation>,
    /// Rows of as many columns.
    pub onto: Option<Rows>,
}

// SAFETY: it is read only.
unsafe impl Send for Finish {}
// SAFETY: as above.
unsafe impl Sync for Finish {}

impl Finish {
    /// The same for rows from `row` on.
    ///
    /// # Safety
    /// They must be there.
    pub unsafe fn from(self, row: usize) -> Self {
        // SAFETY: as the caller promised.
        let onto = self.onto.map(|onto| unsafe { onto.from(row) });
        Self { onto, turn: self.turn.map(|turn| Turn { first: turn.first + row, ..turn }), ..self }
    }
}

/// Numbers of the room that [`product`] lays so many rows out in.
pub fn room(rows: usize) -> usize {
    (rows.div_ceil(ROWS) * ROWS * DEPTH + BEYOND).next_multiple_of(WIDTH)
}

/// `out` = finish(`left` [rows, depth] x `panels` [depth, columns]). `room`: of so many rows.
///
/// # Safety
/// The processor must have AVX2 and FMA; all rows must be there, and those of `out` and the `room` belong to the caller alone.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn product(rows: usize, left: Rows, panels: &Panels, out: RowsMut, finish: &Finish, room: *mut f32) {
    const NOTHING: Rows = Rows { at: null(), stride: 0 };
    // SAFETY: as the caller promised; tiles cover the rows and columns, none beyond.
    unsafe {
        for stretch in panels.stretches() {
            let (first, last) = (stretch.start == 0, stretch.end == panels.depth);
            let depth = stretch.len();
            for row in (0..rows).step_by(ROWS) {
                let from = left.from(row).column(stretch.start);
                six_rows(from, ROWS.min(rows - row), depth, 1.0, room.add(row * depth));
            }
            for panel in 0..panels.columns / WIDTH {
                let (right, column) = (panels.panel(&stretch, panel), panel * WIDTH);
                for row in (0..rows).step_by(ROWS) {
                    let to = RowsMut { at: out.from(row).at.add(column), stride: out.stride };
                    let end = End {
                        sums: if first { NOTHING } else { to.read() },
                        bias: finish.bias.filter(|_| last).map_or(null(), |bias| bias.add(column)),
                        turn: finish
                            .turn
                            .filter(|_| last)
                            .map(|turn| (Turn { first: turn.first + row, ..turn }, column)),
                        activation: finish.activation.filter(|_| last),
                        onto: finish.onto.filter(|_| last).map_or(NOTHING, |onto| onto.from(row).column(column)),
                    };
                    let sums = tile(depth, room.add(row * depth), right);
                    end.write(sums, ROWS.min(rows - row), to);
                }
            }
        }
    }
}

/// One tile's way to memory; null where there is nothing.
struct End {
    /// Sums of what came before in the depth.
    sums: Rows,
    bias: *const f32,
    /// From this column on.
    turn: Option<(Turn, usize)>,
    activation: Option<Activation>,
    onto: Rows,
}

impl End {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn write(&self, sums: Sums, rows: usize, out: RowsMut) {
        // SAFETY: as `product` was promised.
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
                    if let Some((turn, column)) = &self.turn {
                        const SWAPPED: i32 = 0b10_11_00_01; // of each pair, the other
                        let [cosines, sines] = turn.at(row, column + at);
                        let others = _mm256_mul_ps(_mm256_permute_ps::<SWAPPED>(sum), _mm256_loadu_ps(sines));
                        sum = _mm256_fmadd_ps(sum, _mm256_loadu_ps(cosines), others);
                    }
                    match self.activation {
                        None => {}
                        Some(Activation::Relu) => sum = _mm256_max_ps(_mm256_setzero_ps(), sum),
                        Some(Activation::Gelu) => sum = gelu(sum),
                    }
                    if !self.onto.at.is_null() {
                        sum = _mm256_add_ps(sum, _mm256_loadu_ps(self.onto.from(row).at.add(at)));
                    }
                    _mm256_storeu_ps(out.from(row).at.add(at), sum);
                }
            }
        }
    }
}
