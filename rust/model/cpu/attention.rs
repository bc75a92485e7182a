//! Attention on tensors: checks sizes, allocates, and calls `attend`.

use super::heads::{Attention, AttentionShape, Heads};
use super::panels::{RowsMut, ALIGNMENT, K_BLOCK};
use super::processor::is_supported;
use super::softmax::attend;
use tch::{Device, Kind, Tensor};

/// Scores of a head, at least; with fewer, packing costs more than the kernel gains.
const MIN_SCORES: i64 = 64;

/// softmax(q kᵀ / sqrt(d)) v for q [B, heads, N, d], k [B, heads, M, d] and v [B, heads, M, d'] -> [B, heads, N, d'],
/// with the memory layout [B, N, heads, d']. None if d is more than 384, or there are too few scores to gain.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Option<Tensor> {
    let (images, heads, queries, _) = q.size4().ok()?;
    let out = Tensor::empty([images, queries, heads, v.size()[3]], (Kind::Float, Device::Cpu)).transpose(1, 2);
    PreparedAttention::new([q, k, v], &out).map(|prepared| {
        // SAFETY: a `PreparedAttention` points to memory of its shape, which it keeps; the output is new.
        unsafe { attend(&[prepared.attention]) };
        out
    })
}

/// The same of one head for K q [N, d], k [M, d] and v [M, d'], whose M may differ: [K, N, d'].
pub fn attentions(all: &[[&Tensor; 3]]) -> Option<Tensor> {
    let [q, _, v] = all.first()?;
    let out = Tensor::empty([all.len() as i64, 1, 1, q.size()[0], v.size()[1]], (Kind::Float, Device::Cpu));
    let one_head = |x: &Tensor| x.unsqueeze(0).unsqueeze(0);
    let prepared: Option<Vec<PreparedAttention>> = (all.iter().zip(0..))
        .map(|([q, k, v], n)| PreparedAttention::new([&one_head(q), &one_head(k), &one_head(v)], &out.get(n)))
        .collect();
    prepared.map(|prepared| {
        let all: Vec<Attention> = prepared.iter().map(|prepared| prepared.attention).collect();
        // SAFETY: as above; each writes its own part of the new output.
        unsafe { attend(&all) };
        out.flatten(0, 2)
    })
}

/// An attention by pointers, and the tensors that own the memory.
struct PreparedAttention {
    attention: Attention,
    _owners: [Tensor; 5],
}

impl PreparedAttention {
    /// Of q, k and v [B, heads, N or M, channels], fp32 on the CPU, and a new output [B, heads, N, channels of v].
    fn new([q, k, v]: [&Tensor; 3], out: &Tensor) -> Option<Self> {
        let ((images, heads, queries, channels), (_, _, keys, values)) = (q.size4().ok()?, v.size4().ok()?);
        if channels > K_BLOCK as i64 || keys * queries < MIN_SCORES || !is_supported() {
            return None;
        }
        assert!(
            [q, k, v].iter().all(|x| x.kind() == Kind::Float && x.device() == Device::Cpu),
            "queries, keys and values in fp32 on the CPU"
        );
        assert_eq!(k.size(), [images, heads, keys, channels], "as many keys as values, with the queries' channels");
        assert_eq!(v.size()[..2], [images, heads], "values of as many heads");
        assert_eq!(out.size(), [images, heads, queries, values], "an output row for each query");
        let [images, heads, queries, keys, channels, values] =
            [images, heads, queries, keys, channels, values].map(|n| n as usize);
        let shape = AttentionShape { images, heads, queries, keys, channels, values };
        let with_contiguous_rows = |x: &Tensor| if x.stride()[3] == 1 { x.shallow_clone() } else { x.contiguous() };
        let [q, k, v] = [q, k, v].map(with_contiguous_rows);
        let scratch = Tensor::empty([(images * heads * shape.scratch_len()) as i64], (Kind::Float, Device::Cpu));
        let scratch_at: *mut f32 = scratch.data_ptr().cast();
        assert!(scratch_at as usize % ALIGNMENT == 0, "libtorch aligns tensors to {ALIGNMENT} bytes");
        let attention = Attention {
            shape,
            q: heads_of(&q, q.data_ptr().cast_const().cast()),
            k: heads_of(&k, k.data_ptr().cast_const().cast()),
            v: heads_of(&v, v.data_ptr().cast_const().cast()),
            out: heads_of(out, out.data_ptr().cast()),
            scratch: RowsMut { at: scratch_at, stride: shape.scratch_len() },
        };
        Some(Self { attention, _owners: [q, k, v, out.shallow_clone(), scratch] })
    }
}

fn heads_of<P>(x: &Tensor, at: P) -> Heads<P> {
    let stride = x.stride();
    let [image, head, row] = [0, 1, 2].map(|axis| stride[axis] as usize);
    Heads { at, image, head, row }
}
