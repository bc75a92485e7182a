//! What a network computes most, in fp32 on processors with AVX2 and FMA but no wider registers: products of matrices with all that follows
//! them, and attention.
//!
//! libtorch's library multiplies there at seven to eight tenths of what the processor can, and each bias, activation and sum is a journey
//! through memory of its own. In: tensors that need no gradient. Out: the same as libtorch's operations, up to the order of sums.
//! Elsewhere (`usable` says no) the callers use libtorch.

mod arithmetic;
mod asked;
mod panels;
mod product;
mod softmax;
#[cfg(test)]
mod tests;
mod threads;

pub use asked::{After, Places, Ready, Turned};
pub use panels::Packed;

use super::layers::Activation;
use once_cell::sync::OnceCell;
use panels::{Rows, RowsMut, DEPTH, ROWS};
use product::{product, room, Finish, Turn};
use softmax::{attend, Attention, Heads, Shape};
use tch::{Device, Kind, Tensor};

/// Rows of one piece of work, at most: with what a row becomes inside of an MLP, they fit the second cache.
const MOST_ROWS: usize = 16 * ROWS;
const MOST_ROWS_OF_MLP: usize = 8 * ROWS;
/// Of a head; fewer are not worth the laying out.
const LEAST_SCORES: i64 = 64;

/// For comparisons and tests: 0 switches the kernels off, 1 switches them on wherever the processor can run them.
const SWITCH: &str = "PROMEM_KERNELS";

/// Whether the processor has what the code here is written in.
pub fn supported() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether it is the faster way, too: with registers of 512 bits, libtorch's is.
fn wanted() -> bool {
    static WANTED: OnceCell<bool> = OnceCell::new();
    *WANTED.get_or_init(|| {
        let faster = match std::env::var(SWITCH).as_deref() {
            Ok("0") => false,
            Ok("1") => true,
            _ => !is_x86_feature_detected!("avx512f"),
        };
        let wanted = faster && supported() && threads::at_hand();
        log::debug!("fp32 products on the CPU: {}", if wanted { "kernels for AVX2" } else { "libtorch's" });
        wanted
    })
}

/// Whether these tensors can be computed with here.
pub fn usable(tensors: &[&Tensor]) -> bool {
    wanted() && tensors.iter().all(|x| x.device() == Device::Cpu && x.kind() == Kind::Float && !x.requires_grad())
}

fn read(x: &Tensor, columns: i64) -> Rows {
    Rows { at: x.data_ptr().cast_const().cast(), stride: columns as usize }
}

/// A layer's bias, as a product adds it.
fn bias_of(layer: Ready) -> Option<*const f32> {
    let columns = layer.weight.panels.columns as i64;
    assert!(layer.bias.size() == [columns] && layer.bias.is_contiguous(), "a bias for each column");
    Some(read(layer.bias, 0).at)
}

/// New memory for what becomes of `x`, with so many columns, and what is added to it, row beside row.
fn result(x: &Tensor, columns: usize, onto: Option<&Tensor>) -> (Tensor, Option<Tensor>) {
    let mut size = x.size();
    *size.last_mut().expect("tokens have channels") = columns as i64;
    let onto = onto.map(|onto| {
        assert_eq!(onto.size(), size, "what is added to the result");
        onto.contiguous()
    });
    (Tensor::empty(&size, (Kind::Float, Device::Cpu)), onto)
}

/// Rows of [..., C], which follow each other in memory.
fn rows_of(x: &Tensor) -> (Tensor, usize, i64) {
    let columns = *x.size().last().expect("tokens have channels");
    let x = x.contiguous();
    let rows = x.numel() as i64 / columns;
    (x, rows as usize, columns)
}

/// Rows of a piece of work: enough pieces for every thread to take its share of.
fn piece(rows: usize, most: usize) -> usize {
    (rows / threads::pieces() / ROWS * ROWS).clamp(2 * ROWS, most)
}

impl Turned<'_> {
    /// For `rows` of `columns`.
    fn turn(&self, rows: usize, columns: i64) -> Turn {
        let (_, count, channels) = self.turns.size3().expect("turns are [2, places, channels]");
        assert!(channels == columns && self.turns.is_contiguous(), "turns of as many channels, contiguous");
        let (places, period) = match self.places {
            Places::Of(places) => (places.as_ptr(), places.len()),
            Places::Every(period) => (std::ptr::null(), period),
        };
        let known = match self.places {
            Places::Of(places) => places.iter().all(|&place| i64::from(place) < count),
            Places::Every(period) => period as i64 <= count,
        };
        assert!(known && period > 0 && rows % period == 0, "a place for each token");
        let table = |part: i64| read(&self.turns.get(part), columns);
        Turn { cosines: table(0), sines: table(1), places, period, first: 0 }
    }
}

/// activation(turned(x weightᵀ + bias)) + onto: [..., in] -> [..., out].
pub fn linear(x: &Tensor, layer: Ready, After { turned, activation, onto }: After) -> Tensor {
    let (x, rows, columns) = rows_of(x);
    assert_eq!(columns as usize, layer.weight.panels.depth, "channels of the tokens");
    let panels = layer.weight.panels;
    let (out, onto) = result(&x, panels.columns, onto);
    let finish = Finish {
        bias: bias_of(layer),
        turn: turned.map(|turned| turned.turn(rows, panels.columns as i64)),
        activation,
        onto: onto.as_ref().map(|onto| read(onto, panels.columns as i64)),
    };
    let (left, to) = (read(&x, columns), RowsMut { at: out.data_ptr().cast(), stride: panels.columns });
    let size = piece(rows, MOST_ROWS);
    threads::each(rows.div_ceil(size), &|item| {
        let first = item * size;
        let count = size.min(rows - first);
        threads::with_memory(room(count), |room| {
            // SAFETY: `wanted` has asked the processor; sizes were compared above; each piece has rows of its own.
            unsafe { product(count, left.from(first), &panels, to.from(first), &finish.from(first), room) };
        });
    });
    out
}

/// activation(x W1ᵀ + b1) W2ᵀ + b2 + onto: [..., in] -> [..., out], whose middle is never written as a whole.
pub fn mlp(x: &Tensor, [first, second]: [Ready; 2], activation: Activation, onto: Option<&Tensor>) -> Tensor {
    let (x, rows, columns) = rows_of(x);
    let [into, out_of] = [first, second].map(|layer| layer.weight.panels);
    let hidden = into.columns;
    assert_eq!(
        [columns as usize, hidden],
        [into.depth, out_of.depth],
        "channels of the tokens, and between the layers"
    );
    let (out, onto) = result(&x, out_of.columns, onto);
    let inner = Finish { bias: bias_of(first), activation: Some(activation), ..Finish::default() };
    let outer = Finish {
        bias: bias_of(second),
        onto: onto.as_ref().map(|onto| read(onto, out_of.columns as i64)),
        ..Finish::default()
    };
    let (left, to) = (read(&x, columns), RowsMut { at: out.data_ptr().cast(), stride: out_of.columns });
    let size = piece(rows, MOST_ROWS_OF_MLP);
    threads::each(rows.div_ceil(size), &|item| {
        let begin = item * size;
        let count = size.min(rows - begin);
        threads::with_memory(room(count) + count * hidden, |memory| {
            // SAFETY: as in `linear`; the middle is the thread's own.
            unsafe {
                let middle = RowsMut { at: memory.add(room(count)), stride: hidden };
                product(count, left.from(begin), &into, middle, &inner, memory);
                product(count, middle.read(), &out_of, to.from(begin), &outer.from(begin), memory);
            }
        });
    });
    out
}

/// softmax(q kᵀ / sqrt(d)) v for q [B, heads, N, d], k [B, heads, M, d] and v [B, heads, M, d'] -> [B, heads, N, d'], which lies in memory as
/// [B, N, heads, d']. None where channels are too many for a panel, or scores too few to gain.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Option<Tensor> {
    let (images, heads, queries, _) = q.size4().ok()?;
    let out = Tensor::empty([images, queries, heads, v.size()[3]], (Kind::Float, Device::Cpu)).transpose(1, 2);
    Laid::new([q, k, v], &out).map(|laid| {
        // SAFETY: `wanted` has asked the processor, `Laid` keeps all that is pointed to.
        unsafe { attend(&[laid.attention]) };
        out
    })
}

/// The same of one head for several q [N, d], k [M, d] and v [M, d'], where M may differ: [K, N, d'] together.
pub fn attentions(all: &[[&Tensor; 3]]) -> Option<Tensor> {
    let [q, _, v] = all.first()?;
    let out = Tensor::empty([all.len() as i64, 1, 1, q.size()[0], v.size()[1]], (Kind::Float, Device::Cpu));
    let one_head = |x: &Tensor| x.unsqueeze(0).unsqueeze(0);
    let laid: Option<Vec<Laid>> = (all.iter().zip(0..))
        .map(|([q, k, v], n)| Laid::new([&one_head(q), &one_head(k), &one_head(v)], &out.get(n)))
        .collect();
    laid.map(|laid| {
        let all: Vec<Attention> = laid.iter().map(|laid| laid.attention).collect();
        // SAFETY: as above; each has a part of the result.
        unsafe { attend(&all) };
        out.flatten(0, 2)
    })
}

/// An attention and what keeps its memory.
struct Laid {
    attention: Attention,
    _kept: [Tensor; 5],
}

impl Laid {
    /// Of [B, heads, N or M, channels] and an output [B, heads, N, channels of the values].
    fn new([q, k, v]: [&Tensor; 3], out: &Tensor) -> Option<Self> {
        let ((images, heads, queries, channels), (_, _, keys, values)) = (q.size4().ok()?, v.size4().ok()?);
        if channels > DEPTH as i64 || keys * queries < LEAST_SCORES {
            return None;
        }
        assert_eq!(k.size(), [images, heads, keys, channels], "keys as many as values, of the queries' channels");
        assert_eq!(v.size()[..2], [images, heads], "values of as many heads");
        assert_eq!(out.size(), [images, heads, queries, values], "a result for each query");
        let [images, heads, queries, keys, channels, values] =
            [images, heads, queries, keys, channels, values].map(|n| n as usize);
        let shape = Shape { images, heads, queries, keys, channels, values };
        let in_rows = |x: &Tensor| if x.stride()[3] == 1 { x.shallow_clone() } else { x.contiguous() };
        let [q, k, v] = [q, k, v].map(in_rows);
        let room = Tensor::empty([(images * heads * shape.room()) as i64], (Kind::Float, Device::Cpu));
        let attention = Attention {
            shape,
            q: heads_of(&q, q.data_ptr().cast_const().cast()),
            k: heads_of(&k, k.data_ptr().cast_const().cast()),
            v: heads_of(&v, v.data_ptr().cast_const().cast()),
            out: heads_of(out, out.data_ptr().cast()),
            room: RowsMut { at: room.data_ptr().cast(), stride: shape.room() },
        };
        Some(Self { attention, _kept: [q, k, v, out.shallow_clone(), room] })
    }
}

fn heads_of<P>(x: &Tensor, at: P) -> Heads<P> {
    let stride = x.stride();
    let [image, head, row] = [0, 1, 2].map(|axis| stride[axis] as usize);
    Heads { at, image, head, row }
}
