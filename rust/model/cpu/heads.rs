//! The operands of attention: the rows of each head, and how keys and values are packed.

use super::panels::{pack_rows, Rows, RowsMut, K_BLOCK, OVERRUN, ROWS, WIDTH};
use std::arch::x86_64::*;

/// Keys of a block.
pub const KEY_BLOCK: usize = 42 * ROWS;
/// Queries of a work item, at most: keys and values that are in the caches serve them all.
pub const QUERY_BLOCK: usize = 2 * WIDTH;
/// Panels of [`WIDTH`] queries in it.
pub const QUERY_PANELS: usize = QUERY_BLOCK / WIDTH;

/// The rows of many heads: those of head h of image b begin at `at + b * image + h * head`, and are `row` floats apart.
#[derive(Debug, Clone, Copy)]
pub struct Heads<P> {
    pub at: P,
    pub image: usize,
    pub head: usize,
    pub row: usize,
}

// SAFETY: a pointer and numbers; the contract of `attend` says what other threads may do.
unsafe impl<P> Send for Heads<P> {}
// SAFETY: as above.
unsafe impl<P> Sync for Heads<P> {}

/// The sizes of an attention. `channels` is at most [`K_BLOCK`], and no size is 0.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    pub images: usize,
    pub heads: usize,
    pub queries: usize,
    pub keys: usize,
    /// Of queries and keys.
    pub channels: usize,
    /// Channels of the values.
    pub values: usize,
}

impl AttentionShape {
    /// Channels of the values with padding to a multiple of [`ROWS`].
    pub fn padded_values(&self) -> usize {
        self.values.next_multiple_of(ROWS)
    }

    /// Floats of a head's packed keys, a multiple of [`WIDTH`].
    pub fn packed_keys_len(&self) -> usize {
        (self.keys.next_multiple_of(ROWS) * self.channels + OVERRUN).next_multiple_of(WIDTH)
    }

    /// Floats of scratch memory for the packed keys and values of one head, a multiple of [`WIDTH`].
    pub fn scratch_len(&self) -> usize {
        self.packed_keys_len() + (self.keys * self.padded_values()).next_multiple_of(WIDTH)
    }

    /// Floats of scratch memory for one block of queries, a multiple of [`WIDTH`]: the scores of a block of keys, then
    /// for each panel the packed queries and the accumulated output.
    pub fn query_scratch_len(&self) -> usize {
        WIDTH * (KEY_BLOCK + QUERY_PANELS * (self.channels + self.padded_values()))
    }

    /// Whether one work item packs a head's keys and attends to them: these are few, and there are heads enough for
    /// `items` work items.
    pub fn is_small(&self, items: usize) -> bool {
        self.keys <= KEY_BLOCK && (self.queries <= QUERY_BLOCK || self.images * self.heads >= items)
    }
}

/// One of several attentions that are computed together, by pointers. Rows have contiguous channels.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    pub shape: AttentionShape,
    pub q: Heads<*const f32>,
    pub k: Heads<*const f32>,
    pub v: Heads<*const f32>,
    pub out: Heads<*mut f32>,
    /// A row of [`AttentionShape::scratch_len`] floats for each head of each image.
    pub scratch: RowsMut,
}

impl Attention {
    /// Where the packed keys and values of a head are in the scratch memory.
    ///
    /// # Safety
    /// The attention is as [`attend`](super::softmax::attend) demands; `head` counts the heads of all images and is
    /// less than their number.
    pub unsafe fn packed(&self, head: usize) -> (*mut f32, *mut f32) {
        // SAFETY: the scratch memory has a row for each head, and keys are less than a row.
        unsafe {
            let keys = self.scratch.from(head).at;
            (keys, keys.add(self.shape.packed_keys_len()))
        }
    }

    /// Offsets of a head's rows in queries, keys, values and outputs.
    fn offset<P>(&self, x: &Heads<P>, head: usize) -> usize {
        head / self.shape.heads * x.image + head % self.shape.heads * x.head
    }

    /// A head's rows of `x`, which is `q`, `k` or `v`, from `first` on.
    ///
    /// # Safety
    /// As [`Attention::packed`]; `first` is less than the number of rows.
    pub unsafe fn rows(&self, x: &Heads<*const f32>, head: usize, first: usize) -> Rows {
        // SAFETY: the strides lead to the rows of every head, by the contract of `attend`.
        unsafe { Rows { at: x.at.add(self.offset(x, head)), stride: x.row }.from(first) }
    }

    /// A head's rows of the output, from `first` on.
    ///
    /// # Safety
    /// As [`Attention::rows`].
    pub unsafe fn out_rows(&self, head: usize, first: usize) -> RowsMut {
        // SAFETY: as in `rows`.
        unsafe { RowsMut { at: self.out.at.add(self.offset(&self.out, head)), stride: self.out.row }.from(first) }
    }
}

/// Packs `count` keys and values of a head, from `first` on.
///
/// # Safety
/// As [`attend`](super::softmax::attend); `head` and `first + count - 1` are below their numbers, and `keys` and
/// `values` have the floats of [`pack_keys`] and [`pack_values`].
pub unsafe fn pack_keys_and_values(
    one: &Attention,
    head: usize,
    first: usize,
    count: usize,
    keys: *mut f32,
    values: *mut f32,
) {
    // SAFETY: the head has `count` rows from `first` on, of `channels` and `values` floats.
    unsafe {
        pack_keys(one.shape.channels, count, one.rows(&one.k, head, first), keys);
        pack_values(one.shape.values, count, one.rows(&one.v, head, first), values);
    }
}

/// Packs keys as left operands, [`ROWS`] at a time. Writes no overrun: another thread's keys may follow.
///
/// # Safety
/// AVX2 and FMA. `keys`: `count` rows (at least 1) of `channels` floats. `to`: `count.next_multiple_of(ROWS) *
/// channels` floats to write, which nobody else uses; no alignment.
#[target_feature(enable = "avx2,fma")]
unsafe fn pack_keys(channels: usize, count: usize, keys: Rows, to: *mut f32) {
    let last = (count - 1) / ROWS * ROWS;
    // SAFETY: every pack but the last has another behind it, which is longer than the overrun. The last is written to
    // the array, which has room for it (`channels` is at most `K_BLOCK`), and copied without the overrun.
    unsafe {
        for first in (0..last).step_by(ROWS) {
            pack_rows(keys.from(first), ROWS, channels, 1.0, to.add(first * channels));
        }
        let mut end = [0.0; ROWS * K_BLOCK + OVERRUN];
        pack_rows(keys.from(last), count - last, channels, 1.0, end.as_mut_ptr());
        std::ptr::copy_nonoverlapping(end.as_ptr(), to.add(last * channels), ROWS * channels);
    }
}

/// Packs the transposed values as left operands: for each [`ROWS`] channels, key after key. Channels beyond the last
/// are 0.
///
/// # Safety
/// AVX2 and FMA. `values`: `count` rows of `channels` floats. `to`: `channels.next_multiple_of(ROWS) * count` floats to
/// write, which nobody else uses; no alignment.
#[target_feature(enable = "avx2,fma")]
unsafe fn pack_values(channels: usize, count: usize, values: Rows, to: *mut f32) {
    for first in (0..channels).step_by(ROWS) {
        // Eight channels are read and written at once where the row has them, except for the last key: the two channels
        // too many are overwritten by the next key.
        let vectorised = if first + 8 <= channels { count - 1 } else { 0 };
        // SAFETY: reads stay inside the rows: `first + 8` or `first + channel` is checked. Writes are `ROWS` floats for
        // each key at `first * count`, and two more only before another key.
        unsafe {
            let to = to.add(first * count);
            for key in 0..vectorised {
                _mm256_storeu_ps(to.add(key * ROWS), _mm256_loadu_ps(values.from(key).at.add(first)));
            }
            for key in vectorised..count {
                for channel in 0..ROWS {
                    let there = first + channel < channels;
                    let value = if there { *values.from(key).at.add(first + channel) } else { 0.0 };
                    *to.add(key * ROWS + channel) = value;
                }
            }
        }
    }
}
