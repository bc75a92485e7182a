//! Rotary encodings: queries and keys are turned to their places on a feature map. Source: `position_encoding.py`, `apply_rotary_enc`.

use super::position::axial_rotation;
use once_cell::sync::OnceCell;
use tch::{Device, Kind, Tensor};

/// Cosines and sines of a square map's places, and of one place more, where nothing is turned.
///
/// Products of queries and keys do not depend on the order of their channels. SAM 2 keeps a number's two parts side by side; libtorch turns them
/// faster where real parts stand first.
#[derive(Debug)]
pub struct Rotary {
    /// A channel's share of itself, and that of the other part of its number: [2, n + 1, d], real parts first.
    turns: Tensor,
    /// The same, parts side by side.
    pairs: Tensor,
    /// Of channels, real parts first.
    order: Tensor,
    places: usize,
}

impl Rotary {
    /// Of channels `dim` and a map of `side` x `side` places.
    pub fn new(dim: i64, side: i64) -> Self {
        let rotation = axial_rotation(dim, side, Device::Cpu);
        let (places, size) = (rotation.size()[1], [1, dim / 2]);
        let options = (Kind::Float, Device::Cpu);
        let (cos, sin) = (
            Tensor::cat(&[rotation.get(0), Tensor::ones(size, options)], 0),
            Tensor::cat(&[rotation.get(1), Tensor::zeros(size, options)], 0),
        );
        let beside = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], -1);
        let pairs = |a: &Tensor, b: &Tensor| Tensor::stack(&[a, b], -1).flatten(-2, -1);
        let both = |make: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
            Tensor::stack(&[make(&cos, &cos), make(&sin.neg(), &sin)], 0).contiguous()
        };
        let part = |first: i64| Tensor::arange_start_step(first, dim, 2, (Kind::Int64, Device::Cpu));
        Self { turns: both(&beside), pairs: both(&pairs), order: beside(&part(0), &part(1)), places: places as usize }
    }

    /// Follows the weights to `device`.
    pub fn move_to(&mut self, device: Device) {
        for tensor in [&mut self.turns, &mut self.pairs, &mut self.order] {
            *tensor = tensor.to_device(device);
        }
    }

    /// How many places the map has; the place of this number turns nothing.
    pub fn places(&self) -> usize {
        self.places
    }

    pub fn pairs(&self) -> &Tensor {
        &self.pairs
    }

    pub fn order(&self) -> &Tensor {
        &self.order
    }
}

/// The places of tokens on a [`Rotary`]'s map.
#[derive(Debug)]
pub struct Placed {
    /// Of each; none: of the map, one after the other, as often as there are tokens.
    places: Option<Vec<u32>>,
    turns: OnceCell<Tensor>,
}

impl Placed {
    /// A map's own tokens.
    pub fn map() -> Self {
        Self { places: None, turns: OnceCell::new() }
    }

    pub fn at(places: Vec<u32>) -> Self {
        Self { places: Some(places), turns: OnceCell::new() }
    }

    pub fn places(&self) -> Option<&[u32]> {
        self.places.as_deref()
    }

    /// What [`rotate`] multiplies by, [2, N, d], in the number format of the computation; made once.
    fn turns(&self, rotary: &Rotary, kind: Kind) -> &Tensor {
        self.turns.get_or_init(|| {
            let all = rotary.turns.to_kind(kind);
            match &self.places {
                None => all.narrow(1, 0, rotary.places as i64),
                Some(places) => {
                    let places: Vec<i64> = places.iter().map(|&place| i64::from(place)).collect();
                    all.index_select(1, &Tensor::from_slice(&places).to_device(all.device()))
                }
            }
        })
    }

    /// Turns tokens [B, N, d], channels in the order of [`Rotary::order`], to their places.
    pub fn rotate(&self, x: &Tensor, rotary: &Rotary) -> Tensor {
        let turns = self.turns(rotary, x.kind());
        let half = x.size()[2] / 2;
        (x * turns.get(0)).addcmul(&x.roll([half], [-1]), &turns.get(1))
    }
}
