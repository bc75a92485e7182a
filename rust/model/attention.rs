//! Softmax attention, by the fastest of three: the CPU kernels of [`cpu`], libtorch's fused kernel, or two matrix
//! products.

use super::cpu;
use tch::{Kind, Tensor};

/// Scores that [`attention`] may hold at once, in bf16 on CPUs: 128 MiB.
const MAX_SCORES: i64 = 1 << 26;

/// softmax(q k^T / sqrt(d)) v for q [B, heads, N, d], k [B, heads, M, d] and v [B, heads, M, d'] -> [B, heads, N, d'].
///
/// On CPUs without AMX, libtorch's fused kernel converts bf16 matrices to fp32 before it multiplies. As separate matrix
/// products oneDNN multiplies them in bf16: three times as fast on AVX-512 BF16. Scores are rounded to bf16; the sums
/// of the softmax are fp32.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    if let Some(attended) = cpu::usable(&[q, k, v]).then(|| cpu::attention(q, k, v)).flatten() {
        return attended;
    }
    let scores: i64 = q.size()[..3].iter().product::<i64>() * k.size()[2];
    if q.kind() == Kind::BFloat16 && !q.device().is_cuda() && scores <= MAX_SCORES {
        let scale = (q.size()[3] as f64).sqrt().recip();
        return (q * scale).matmul(&k.transpose(-2, -1)).softmax(-1, None::<Kind>).matmul(v);
    }
    Tensor::scaled_dot_product_attention(q, k, v, None::<Tensor>, 0.0, false, None, false)
}

/// softmax(q k^T / sqrt(d)) v for each of K q [B, N, d], k [B, M, d] and v [B, M, d'], whose M may differ:
/// [K B, N, d'], concatenated.
pub fn weighted_means(all: &[[Tensor; 3]], scratch: &Scratch) -> Tensor {
    let usable = all.iter().all(|[q, k, v]| q.size()[0] == 1 && cpu::usable(&[q, k, v]));
    if usable {
        let rows: Vec<[Tensor; 3]> = all.iter().map(|one| one.each_ref().map(|x| x.squeeze_dim(0))).collect();
        if let Some(means) = cpu::attentions(&rows.iter().map(|one| one.each_ref()).collect::<Vec<_>>()) {
            return means;
        }
    }
    Tensor::cat(&all.iter().map(|[q, k, v]| weighted_mean(q, k, v, scratch)).collect::<Vec<_>>(), 0)
}

/// One of [`weighted_means`]: [B, N, d'].
fn weighted_mean(q: &Tensor, k: &Tensor, v: &Tensor, scratch: &Scratch) -> Tensor {
    let (b, n, d) = q.size3().expect("queries are [B, N, d]");
    let (q, k) = (q * (d as f64).sqrt().recip(), k.transpose(1, 2));
    match scratch.rows(n, k.size()[2]).filter(|_| b == 1) {
        None => q.matmul(&k).softmax(-1, None::<Kind>).matmul(v),
        Some(scores) => {
            let (q, k, v) = (q.squeeze_dim(0), k.squeeze_dim(0), v.squeeze_dim(0));
            let mean = |q: &Tensor| {
                let scores = scores.narrow(0, 0, q.size()[0]);
                let _ = q.mm_out(&scores, &k);
                let _ = scores.shallow_clone().internal_softmax_out(&scores, -1, false);
                scores.mm(&v)
            };
            let parts: Vec<Tensor> = q.split(scores.size()[0], 0).iter().map(mean).collect();
            Tensor::cat(&parts, 0).unsqueeze(0)
        }
    }
}

/// Scratch memory for the scores of [`weighted_means`], which all calls for a slice share: on a CPU, allocating it
/// costs as much as computing with it.
#[derive(Debug)]
pub struct Scratch(Option<Tensor>);

impl Scratch {
    /// Scores at once, at most: 32 MiB in fp32. Smaller parts are slower.
    const MAX: i64 = 1 << 23;

    /// For `n` queries and at most `m` of the `keys`. Empty where gradients need the scores, on GPUs, whose allocator
    /// caches memory, and where the CPU kernels compute, which never hold all scores.
    pub fn new(n: i64, m: i64, keys: &Tensor) -> Self {
        let wanted = !keys.device().is_cuda() && !keys.requires_grad() && !cpu::usable(&[keys]);
        Self(wanted.then(|| Tensor::empty([(n * m).min(Self::MAX).max(m)], (keys.kind(), keys.device()))))
    }

    /// As many of `n` rows of `m` scores as fit: [rows, m].
    fn rows(&self, n: i64, m: i64) -> Option<Tensor> {
        let memory = self.0.as_ref()?;
        let rows = (memory.numel() as i64 / m).clamp(1, n);
        Some(memory.narrow(0, 0, rows * m).reshape([rows, m]))
    }
}

/// [B, N, C] -> [B, heads, N, C / heads]
pub fn separate_heads(x: &Tensor, heads: i64) -> Tensor {
    let (b, n, c) = x.size3().expect("attention tokens are [B, N, C]");
    x.reshape([b, n, heads, c / heads]).transpose(1, 2)
}

/// [B, heads, N, d] -> [B, N, heads * d]
pub fn recombine_heads(x: &Tensor) -> Tensor {
    let (b, heads, n, d) = x.size4().expect("attention heads are [B, heads, N, d]");
    x.transpose(1, 2).reshape([b, n, heads * d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn weighted_mean_in_parts_equals_the_whole_and_the_fused_attention() {
        let options = (Kind::Float, Device::Cpu);
        let [q, k, v] = [(1, 10), (2, 7), (3, 7)]
            .map(|(seed, rows)| (Tensor::arange(rows * 4, options) * 0.7 + seed).sin().reshape([1, rows, 4]));
        let heads = |x: &Tensor| x.unsqueeze(1);
        let parts = Scratch(Some(Tensor::empty([3 * 7], options))); // three rows at once, and one at the end
        let found = weighted_mean(&q, &k, &v, &parts);
        for expected in
            [weighted_mean(&q, &k, &v, &Scratch(None)), attention(&heads(&q), &heads(&k), &heads(&v)).squeeze_dim(1)]
        {
            assert!((&found - expected).abs().max().double_value(&[]) < 1e-6);
        }
    }
}
