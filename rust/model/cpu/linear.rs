//! Linear layers and MLPs on tensors: checks sizes, divides rows among threads, and calls `product`.

use super::epilogue::{Epilogue, PositionIndices, RotaryEpilogue};
use super::panels::{PackedWeight, Rows, RowsMut, ROWS};
use super::processor::is_supported;
use super::product::{product, scratch_len, RotaryRows, RowEpilogue};
use super::threads;
use crate::model::activation::Activation;
use tch::{Device, Kind, Tensor};

/// Rows of one work item, at most; with an MLP's hidden rows, so many fit into the second-level cache.
const MAX_ROWS: usize = 16 * ROWS;
const MAX_ROWS_OF_MLP: usize = 8 * ROWS;

/// The parameters of a linear layer as the kernels read them.
#[derive(Debug)]
pub struct PackedLinear {
    weight: PackedWeight,
    /// [out], contiguous, fp32 on the CPU.
    bias: Tensor,
}

impl PackedLinear {
    /// Packs `weight` [out, in] and `bias` [out], fp32 on the CPU; none if `out` is not a multiple of 16, or the
    /// processor lacks AVX2 or FMA.
    pub fn new(weight: &Tensor, bias: &Tensor) -> Option<Self> {
        assert!(bias.kind() == Kind::Float && bias.device() == Device::Cpu, "a bias in fp32 on the CPU");
        assert_eq!(weight.size().first(), bias.size().first(), "a bias for each output channel");
        let weight = is_supported().then(|| PackedWeight::new(weight)).flatten()?;
        Some(Self { weight, bias: bias.contiguous() })
    }

    /// The weight as libtorch reads it, [out, in].
    pub fn weight(&self) -> Tensor {
        self.weight.unpacked()
    }

    /// [out]
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }
}

/// The elements of a contiguous fp32 tensor on the CPU as rows of `columns` floats.
fn rows_of(x: &Tensor, columns: usize) -> Rows {
    debug_assert!(x.is_contiguous() && x.kind() == Kind::Float && x.device() == Device::Cpu);
    Rows { at: x.data_ptr().cast_const().cast(), stride: columns }
}

/// The same of a new tensor, to write to.
fn rows_of_mut(x: &Tensor, columns: usize) -> RowsMut {
    debug_assert!(x.is_contiguous() && x.kind() == Kind::Float && x.device() == Device::Cpu);
    RowsMut { at: x.data_ptr().cast(), stride: columns }
}

/// [..., C] as contiguous rows [N, C]; returns the tensor that holds them, N and C.
fn contiguous_rows(x: &Tensor) -> (Tensor, usize, usize) {
    let columns = *x.size().last().expect("tokens have channels");
    let x = x.contiguous();
    let rows = x.numel() as i64 / columns;
    (x, rows as usize, columns as usize)
}

/// A new output for the input `x` with this number of columns, and the residual of its size, contiguous.
fn output_like(x: &Tensor, columns: usize, residual: Option<&Tensor>) -> (Tensor, Option<Tensor>) {
    let mut size = x.size();
    *size.last_mut().expect("tokens have channels") = columns as i64;
    let residual = residual.map(|residual| {
        assert_eq!(residual.size(), size, "the residual has the size of the output");
        residual.contiguous()
    });
    (Tensor::empty(&size, (Kind::Float, Device::Cpu)), residual)
}

/// Rows of one work item, at most `max`: few enough that every thread has its share of items.
fn rows_per_item(rows: usize, max: usize) -> usize {
    (rows / threads::item_count() / ROWS * ROWS).clamp(2 * ROWS, max)
}

/// The encoding of `rows` rows with this number of columns, by pointers into its table.
fn rotary_rows(rotary: &RotaryEpilogue, rows: usize, columns: usize) -> RotaryRows {
    let (_, count, channels) = rotary.table.size3().expect("a rotary table is [2, positions, channels]");
    assert!(
        channels == columns as i64 && rotary.table.is_contiguous(),
        "a contiguous rotary table of as many channels as the output"
    );
    let (indices, period, known) = match rotary.positions {
        PositionIndices::Given(indices) => {
            (indices.as_ptr(), indices.len(), indices.iter().all(|&index| i64::from(index) < count))
        }
        PositionIndices::Sequential(period) => (std::ptr::null(), period, period as i64 <= count),
    };
    assert!(known && period > 0 && rows % period == 0, "a position in the table for each token");
    let part = |part: i64| rows_of(&rotary.table.get(part), columns);
    RotaryRows { cosines: part(0), sines: part(1), indices, period, first: 0 }
}

/// activation(rotary(x weightᵀ + bias)) + residual: [..., in] -> [..., out].
pub fn linear(x: &Tensor, layer: &PackedLinear, Epilogue { rotary, activation, residual }: Epilogue) -> Tensor {
    let (x, rows, columns) = contiguous_rows(x);
    let panels = layer.weight.panels();
    assert_eq!(columns, panels.k_len, "channels of the tokens");
    let (out, residual) = output_like(&x, panels.columns, residual);
    let epilogue = RowEpilogue {
        bias: Some(rows_of(&layer.bias, 0).at),
        rotary: rotary.map(|rotary| rotary_rows(&rotary, rows, panels.columns)),
        activation,
        residual: residual.as_ref().map(|residual| rows_of(residual, panels.columns)),
    };
    let (left, to) = (rows_of(&x, columns), rows_of_mut(&out, panels.columns));
    let size = rows_per_item(rows, MAX_ROWS);
    threads::for_each(rows.div_ceil(size), &|item| {
        let first = item * size;
        let count = size.min(rows - first);
        threads::with_scratch(scratch_len(count), |scratch| {
            // SAFETY: a `PackedLinear` exists only where the processor has AVX2 and FMA. `left`, `to` and the residual
            // have `rows` rows of the columns that were compared above, the bias has one float for each column, every
            // position is in the table. An item's rows of `out` are its own, and so is the thread's scratch memory.
            unsafe { product(count, left.from(first), &panels, to.from(first), &epilogue.from(first), scratch) };
        });
    });
    out
}

/// activation(x W1ᵀ + b1) W2ᵀ + b2 + residual: [..., in] -> [..., out]. Hidden rows never leave the caches.
pub fn mlp(
    x: &Tensor,
    [first, second]: [&PackedLinear; 2],
    activation: Activation,
    residual: Option<&Tensor>,
) -> Tensor {
    let (x, rows, columns) = contiguous_rows(x);
    let [into, out_of] = [first, second].map(|layer| layer.weight.panels());
    let hidden = into.columns;
    assert_eq!([columns, hidden], [into.k_len, out_of.k_len], "channels of the tokens, and between the layers");
    let (out, residual) = output_like(&x, out_of.columns, residual);
    let bias = |layer: &PackedLinear| Some(rows_of(&layer.bias, 0).at);
    let inner = RowEpilogue { bias: bias(first), activation: Some(activation), ..RowEpilogue::default() };
    let outer = RowEpilogue {
        bias: bias(second),
        residual: residual.as_ref().map(|residual| rows_of(residual, out_of.columns)),
        ..RowEpilogue::default()
    };
    let (left, to) = (rows_of(&x, columns), rows_of_mut(&out, out_of.columns));
    let size = rows_per_item(rows, MAX_ROWS_OF_MLP);
    threads::for_each(rows.div_ceil(size), &|item| {
        let begin = item * size;
        let count = size.min(rows - begin);
        threads::with_scratch(scratch_len(count) + count * hidden, |scratch| {
            // SAFETY: as in `linear`. The thread's scratch memory is that of `product` for `count` rows, and behind it
            // `count` rows of `hidden` floats, which the first product writes and the second reads.
            unsafe {
                let middle = RowsMut { at: scratch.add(scratch_len(count)), stride: hidden };
                product(count, left.from(begin), &into, middle, &inner, scratch);
                product(count, middle.as_const(), &out_of, to.from(begin), &outer.from(begin), scratch);
            }
        });
    });
    out
}
