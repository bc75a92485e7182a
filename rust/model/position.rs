//! Position encodings without weights. Source: `position_encoding.py`, and `get_1d_sine_pe` of `sam2_utils.py`.

use tch::{Device, Kind, Tensor};

/// Base of the wavelengths, in all encodings.
const TEMPERATURE: f64 = 10_000.0;

fn float(device: Device) -> (Kind, Device) {
    (Kind::Float, device)
}

/// Wavelengths of a sine encoding with `n` values: temperature ^ (2 floor(i / 2) / n), [n].
fn wavelengths(n: i64, device: Device) -> Tensor {
    let exponent = Tensor::arange(n, float(device)).floor_divide_scalar(2) * 2.0 / n as f64;
    Tensor::full([1], TEMPERATURE, float(device)).pow(&exponent)
}

/// `PositionEmbeddingSine` with `normalize`: [1, channels, h, w]; the first half of the channels
/// encodes the row, the second the column.
pub fn sine_2d(channels: i64, h: i64, w: i64, device: Device) -> Tensor {
    let half = channels / 2;
    let scale = 2.0 * std::f64::consts::PI;
    let waves = wavelengths(half, device);
    let encode = |n: i64| {
        let position = Tensor::arange_start(1, n + 1, float(device)) / (n as f64 + 1e-6) * scale;
        let phase = position.unsqueeze(1) / &waves; // [n, half]
        let even = phase.slice(1, 0, None, 2).sin();
        let odd = phase.slice(1, 1, None, 2).cos();
        Tensor::stack(&[even, odd], 2).flatten(1, 2)
    };
    let rows = encode(h).unsqueeze(1).expand([h, w, half], false);
    let columns = encode(w).unsqueeze(0).expand([h, w, half], false);
    Tensor::cat(&[rows, columns], 2).permute([2, 0, 1]).unsqueeze(0).contiguous()
}

/// `get_1d_sine_pe`: `[N]` -> `[N, dim]`, sines first.
pub fn sine_1d(positions: &Tensor, dim: i64) -> Tensor {
    let phase = positions.unsqueeze(-1) / wavelengths(dim / 2, positions.device());
    Tensor::cat(&[phase.sin(), phase.cos()], -1)
}

/// Rotation angles of axial rotary encoding on a square grid (`compute_axial_cis`): cosines and sines,
/// [2, side * side, dim / 2].
pub fn axial_rotation(dim: i64, side: i64, device: Device) -> Tensor {
    let exponent = Tensor::arange_start_step(0, dim, 4, float(device)).slice(0, 0, dim / 4, 1) / dim as f64;
    let frequencies = Tensor::full([1], TEMPERATURE, float(device)).pow(&exponent).reciprocal();
    let cells = Tensor::arange(side * side, (Kind::Int64, device));
    let x = cells.remainder(side).to_kind(Kind::Float);
    let y = cells.floor_divide_scalar(side).to_kind(Kind::Float);
    let angles = Tensor::cat(&[x.outer(&frequencies), y.outer(&frequencies)], 1);
    Tensor::stack(&[angles.cos(), angles.sin()], 0)
}
