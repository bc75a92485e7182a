//! What several test programs need.

use tch::Tensor;

/// `phantom` of `tests/golden/reference.py`: normalised images [1, 3, S, S] and masks [1, 1, S, S] per slice.
pub fn phantom(depth: usize, size: i64) -> (Vec<Tensor>, Vec<Tensor>) {
    let (d, s) = (depth as f64, size as f64);
    let radii = [d * 0.6, s * 0.2, s * 0.16];
    let planes = (0..depth).map(|z| {
        let mut grey = Vec::new();
        let mut mask = Vec::new();
        for (y, x) in (0..size).flat_map(|y| (0..size).map(move |x| (y as f64, x as f64))) {
            let z = z as f64;
            let offsets = [(z - d / 2.0) / radii[0], (y - s * 0.45) / radii[1], (x - s * 0.55) / radii[2]];
            let inside = f64::from(u8::from(offsets.iter().map(|o| o * o).sum::<f64>() <= 1.0));
            grey.push((0.5 * (x / 23.0 + z / 5.0).sin() + 0.5 * (y / 31.0 - z / 7.0).cos() + 1.5 * inside) as f32);
            mask.push(inside as f32);
        }
        let grid = |values: &[f32]| Tensor::from_slice(values).reshape([1, 1, size, size]);
        (grid(&grey).repeat([1, 3, 1, 1]), grid(&mask))
    });
    planes.unzip()
}
