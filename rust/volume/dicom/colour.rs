//! Colours as DICOM stores them: CIELab in three 16-bit numbers, for the white of daylight (D65).

/// White, for the sums of sRGB's primaries.
const WHITE: [f64; 3] = [0.95047, 1.0, 1.08883];
/// Below this the cube root gives way to a line.
const DARK: f64 = 6.0 / 29.0;

/// Red, green and blue, 0 to 1.
pub(super) fn cielab_to_rgb(stored: [f64; 3]) -> [f64; 3] {
    let lightness = stored[0] / 65535.0 * 100.0;
    let [a, b] = [stored[1], stored[2]].map(|v| v / 65535.0 * 255.0 - 128.0);
    let y = (lightness + 16.0) / 116.0;
    let linear = |t: f64| if t > DARK { t * t * t } else { 3.0 * DARK * DARK * (t - 4.0 / 29.0) };
    let [x, y, z] = [y + a / 500.0, y, y - b / 200.0].map(linear);
    let [x, y, z] = [x * WHITE[0], y * WHITE[1], z * WHITE[2]];
    [
        3.2404542 * x - 1.5371385 * y - 0.4985314 * z,
        -0.9692660 * x + 1.8760108 * y + 0.0415560 * z,
        0.0556434 * x - 0.2040259 * y + 1.0572252 * z,
    ]
    .map(|v| if v <= 0.0031308 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 })
    .map(|v| v.clamp(0.0, 1.0))
}

/// Three 16-bit numbers.
pub(super) fn rgb_to_cielab(rgb: [f64; 3]) -> [u16; 3] {
    let [r, g, b] = rgb.map(|v| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) });
    let xyz = [
        0.4124564 * r + 0.3575761 * g + 0.1804375 * b,
        0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
        0.0193339 * r + 0.1191920 * g + 0.9503041 * b,
    ];
    let root = |t: f64| if t > DARK.powi(3) { t.cbrt() } else { t / (3.0 * DARK * DARK) + 4.0 / 29.0 };
    let [x, y, z] = [0, 1, 2].map(|n| root(xyz[n] / WHITE[n]));
    let stored = [(116.0 * y - 16.0) / 100.0, (500.0 * (x - y) + 128.0) / 255.0, (200.0 * (y - z) + 128.0) / 255.0];
    stored.map(|v| (v.clamp(0.0, 1.0) * 65535.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back_and_white_and_red_are_known() {
        for rgb in [[0.1, 0.5, 0.9], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.867, 0.51, 0.396]] {
            let back = cielab_to_rgb(rgb_to_cielab(rgb).map(f64::from));
            assert!(rgb.iter().zip(back).all(|(a, b)| (a - b).abs() < 2e-3), "{rgb:?} is not {back:?}");
        }
        // CIELab of sRGB's red: 53.24, 80.09, 67.20.
        let [l, a, b] = rgb_to_cielab([1.0, 0.0, 0.0]).map(f64::from);
        assert!((l / 655.35 - 53.24).abs() < 0.05 && (a / 257.0 - 128.0 - 80.09).abs() < 0.1, "{l} {a}");
        assert!((b / 257.0 - 128.0 - 67.2).abs() < 0.1, "{b}");
    }
}
