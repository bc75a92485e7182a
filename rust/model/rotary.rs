//! Axial rotary position encoding (RoPE) of queries and keys on a feature map. Source: `position_encoding.py`,
//! `apply_rotary_enc`.

use super::position::axial_rotation;
use tch::{Device, Kind, Tensor};

/// The rotation at each position of a square map, and at one position more, which rotates nothing.
///
/// Two channels are the real and the imaginary part of a complex number, which is multiplied by exp(i angle). SAM 2
/// keeps the two parts of a number beside each other; libtorch computes faster where all real parts come first. Dot
/// products of queries and keys do not depend on the order of their channels.
#[derive(Debug)]
pub struct Rotary {
    /// [2, n + 1, d]: the factor of a channel itself (cosine), and that of the other part of its number (signed sine).
    /// Real parts first.
    table: Tensor,
    /// The same with the two parts of a number beside each other.
    interleaved: Tensor,
    /// [d]: the index of each channel of `table` in `interleaved`.
    order: Tensor,
    positions: usize,
}

impl Rotary {
    /// For `dim` channels and a map of `side` x `side` positions; on the CPU.
    pub fn new(dim: i64, side: i64) -> Self {
        let rotation = axial_rotation(dim, side, Device::Cpu); // [2, n, d / 2]
        let (positions, size) = (rotation.size()[1], [1, dim / 2]);
        let options = (Kind::Float, Device::Cpu);
        let (cos, sin) = (
            Tensor::cat(&[rotation.get(0), Tensor::ones(size, options)], 0),
            Tensor::cat(&[rotation.get(1), Tensor::zeros(size, options)], 0),
        );
        let real_first = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], -1);
        let interleaved = |a: &Tensor, b: &Tensor| Tensor::stack(&[a, b], -1).flatten(-2, -1);
        let table = |join: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
            Tensor::stack(&[join(&cos, &cos), join(&sin.neg(), &sin)], 0).contiguous()
        };
        let part = |first: i64| Tensor::arange_start_step(first, dim, 2, (Kind::Int64, Device::Cpu));
        Self {
            table: table(&real_first),
            interleaved: table(&interleaved),
            order: real_first(&part(0), &part(1)),
            positions: positions as usize,
        }
    }

    /// Follows the weights to `device`.
    pub fn move_to(&mut self, device: Device) {
        for tensor in [&mut self.table, &mut self.interleaved, &mut self.order] {
            *tensor = tensor.to_device(device);
        }
    }

    /// Number of positions on the map, n. Position n rotates nothing.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Factors with the two parts of a number beside each other, contiguous: [2, n + 1, d].
    pub fn interleaved(&self) -> &Tensor {
        &self.interleaved
    }

    /// Channels of the checkpoint in the order of [`Positions::rotate`], real parts first: [d].
    pub fn order(&self) -> &Tensor {
        &self.order
    }

    /// Factors at these positions, [2, N, d], in the number format of the computation.
    fn factors(&self, indices: Option<&[u32]>, kind: Kind) -> Tensor {
        let all = self.table.to_kind(kind);
        match indices {
            None => all.narrow(1, 0, self.positions as i64),
            Some(indices) => {
                let indices: Vec<i64> = indices.iter().map(|&index| i64::from(index)).collect();
                all.index_select(1, &Tensor::from_slice(&indices).to_device(all.device()))
            }
        }
    }
}

/// The positions of N tokens on a [`Rotary`]'s map.
#[derive(Debug)]
pub struct Positions {
    /// One for each token; none: those of the map, in their order, as often as there are tokens.
    indices: Option<Vec<u32>>,
    /// [2, N, d]: see [`Rotary::factors`]; none where the CPU kernels look the factors up by index.
    factors: Option<Tensor>,
}

impl Positions {
    /// Tokens at `indices`, or a whole map's tokens in their order. `rotary`: looks the factors up once for all layers,
    /// for computing in this number format.
    pub fn new(indices: Option<Vec<u32>>, rotary: Option<(&Rotary, Kind)>) -> Self {
        let factors = rotary.map(|(rotary, kind)| rotary.factors(indices.as_deref(), kind));
        Self { indices, factors }
    }

    /// One for each token; none: those of the map, in their order.
    pub fn indices(&self) -> Option<&[u32]> {
        self.indices.as_deref()
    }

    /// Applies the rotation to tokens [B, N, d], whose channels are in the order of [`Rotary::order`].
    pub fn rotate(&self, x: &Tensor, rotary: &Rotary) -> Tensor {
        let factors = match &self.factors {
            Some(factors) => factors.shallow_clone(),
            None => rotary.factors(self.indices(), x.kind()),
        };
        let half = x.size()[2] / 2;
        (x * factors.get(0)).addcmul(&x.roll([half], [-1]), &factors.get(1))
    }
}
