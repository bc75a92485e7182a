//! From a scan's values to the 0..1 that the network sees.

use crate::error::{Error, Result};
use crate::slices::Scan;
use std::str::FromStr;

/// Which values are worth seeing. `auto | soft | lung | bone | brain | WIDTH,LEVEL`
///
/// ```
/// use promem::geometry::{Dims, Geometry, IjkToRas, Spacing};
/// use promem::slices::intensity::Window;
/// use promem::volume::Volume;
///
/// let geometry = Geometry { dims: Dims([2, 2, 1]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0; 3])) };
/// let ct = Volume::new(geometry, ndarray::array![[[-1000.0, -160.0], [40.0, 240.0]]])?;
/// let range = "soft".parse::<Window>()?.resolve(&ct);
/// assert_eq!((range.low, range.high), (-160.0, 240.0));
/// assert_eq!([-1000.0, 40.0, 240.0].map(|hounsfield| range.apply(hounsfield)), [0.0, 0.5, 1.0]);
/// # Ok::<(), promem::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Window {
    /// 0.5 to 99.5 percentile of the voxels that are not background.
    Auto,
    /// The values within half of `width` of `level`.
    WidthLevel {
        /// From the value that becomes 0 to the one that becomes 1.
        width: f64,
        /// The value in the middle.
        level: f64,
    },
}

impl Window {
    /// CT presets in Hounsfield units, as radiology viewers have them.
    pub const SOFT: Window = Window::WidthLevel { width: 400.0, level: 40.0 };
    /// Lung.
    pub const LUNG: Window = Window::WidthLevel { width: 1500.0, level: -600.0 };
    /// Bone.
    pub const BONE: Window = Window::WidthLevel { width: 1800.0, level: 400.0 };
    /// Brain.
    pub const BRAIN: Window = Window::WidthLevel { width: 80.0, level: 40.0 };

    /// The values that become 0 and 1 in this scan.
    pub fn resolve(self, scan: &(impl Scan + ?Sized)) -> IntensityRange {
        match self {
            Window::Auto => automatic(scan.sample(SAMPLE)),
            Window::WidthLevel { width, level } => {
                IntensityRange { low: (level - width / 2.0) as f32, high: (level + width / 2.0) as f32 }
            }
        }
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Window::Auto),
            "soft" => Ok(Window::SOFT),
            "lung" => Ok(Window::LUNG),
            "bone" => Ok(Window::BONE),
            "brain" => Ok(Window::BRAIN),
            _ => {
                let numbers: Vec<f64> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
                match numbers[..] {
                    [width, level]
                        if text.split(',').count() == 2 && width > 0.0 && width.is_finite() && level.is_finite() =>
                    {
                        Ok(Window::WidthLevel { width, level })
                    }
                    _ => Err(Error::invalid(format!(
                        "window `{text}`: expected auto, soft, lung, bone, brain or WIDTH,LEVEL with a positive width"
                    ))),
                }
            }
        }
    }
}

/// The values that become 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntensityRange {
    /// Becomes 0.
    pub low: f32,
    /// Becomes 1.
    pub high: f32,
}

impl Eq for IntensityRange {}

impl std::hash::Hash for IntensityRange {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        [self.low, self.high].map(f32::to_bits).hash(state);
    }
}

impl IntensityRange {
    /// Shows an object and what differs from it a little: the object's values and a margin, within those of its
    /// surroundings. A vessel beside
    /// the liver stays visible where the range also holds lung and bone.
    ///
    /// `object` and `surroundings`: values on the prompted slice; `margin`: 1, or another factor on the margin. `None` where they show nothing.
    pub fn around_object(mut object: Vec<f32>, mut surroundings: Vec<f32>, margin: f32) -> Option<Self> {
        let [mut low, mut high] = percentiles(&mut surroundings, PERCENTILES)?;
        let [darkest, brightest] = percentiles(&mut object, OBJECT_PERCENTILES)?;
        let beside = margin * (OBJECT_MARGIN * (brightest - darkest)).max(MIN_MARGIN * (high - low));
        low = low.max(darkest - beside);
        high = high.min(brightest + beside);
        (low < high).then_some(Self { low, high })
    }

    /// Linear between low and high, clamped. A range without width maps everything to 0.
    pub fn apply(&self, value: f32) -> f32 {
        let width = self.high - self.low;
        if width > 0.0 {
            ((value - self.low) / width).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

const PERCENTILES: [f64; 2] = [0.005, 0.995];
/// Of an object: what lies beyond is often its border.
const OBJECT_PERCENTILES: [f64; 2] = [0.1, 0.9];
/// The margin beside an object's values, in its own spread (five deviations, where values are normal), and at least so
/// large a share of the
/// surroundings' range.
const OBJECT_MARGIN: f32 = 2.0;
const MIN_MARGIN: f32 = 0.1;
/// A minimum that so large a share of the voxels has is padding or air, not anatomy.
const BACKGROUND_SHARE: f64 = 0.01;
/// Percentiles of more voxels than this are taken from evenly spread ones.
const SAMPLE: usize = 4_000_000;

/// Values at two shares of their order; `None` of no finite ones. Their order is lost.
fn percentiles(values: &mut Vec<f32>, shares: [f64; 2]) -> Option<[f32; 2]> {
    values.retain(|value| value.is_finite());
    let last = values.len().checked_sub(1)? as f64;
    Some(shares.map(|share| *values.select_nth_unstable_by((share * last).round() as usize, f32::total_cmp).1))
}

/// Scanners fill what they did not measure with the lowest value (0 in MR, -1024 or less in CT): where at least 1 % of
/// the voxels share the minimum, they are left out.
fn automatic(mut values: Vec<f32>) -> IntensityRange {
    values.sort_unstable_by(f32::total_cmp);
    let Some(&minimum) = values.first() else {
        return IntensityRange { low: 0.0, high: 0.0 };
    };
    let background = values.partition_point(|&v| v <= minimum);
    let spike = background as f64 >= BACKGROUND_SHARE * values.len() as f64 && background < values.len();
    let foreground = if spike { &values[background..] } else { &values[..] };
    let at = |share: f64| foreground[(share * (foreground.len() - 1) as f64).round() as usize];
    let [low, high] = PERCENTILES.map(at);
    if low < high {
        IntensityRange { low, high }
    } else {
        IntensityRange { low: values[0], high: values[values.len() - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Dims, Geometry, IjkToRas, Spacing};
    use crate::volume::Volume;
    use ndarray::Array3;

    fn scan(voxels: Array3<f32>) -> Volume<f32> {
        let (k, j, i) = voxels.dim();
        let ijk_to_ras = IjkToRas::from_spacing(Spacing([1.0; 3]));
        Volume::new(Geometry { dims: Dims([i, j, k]), ijk_to_ras }, voxels).unwrap()
    }

    #[test]
    fn width_and_level_map_to_zero_and_one() {
        let range = "400,40".parse::<Window>().unwrap().resolve(&scan(Array3::zeros((1, 1, 1))));
        assert_eq!(range, IntensityRange { low: -160.0, high: 240.0 });
        assert_eq!([-500.0, -160.0, 40.0, 240.0, 900.0].map(|v| range.apply(v)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert_eq!("soft".parse::<Window>().unwrap(), Window::SOFT);
    }

    #[test]
    fn around_an_object_its_neighbours_are_told_apart_and_the_rest_is_black_or_white() {
        // Liver of 100 +- 20 between lung and bone.
        let liver: Vec<f32> = (80..=120).map(|v| v as f32).collect();
        let surroundings: Vec<f32> = (0..1000).map(|n| if n % 2 == 0 { -900.0 } else { 1000.0 }).collect();
        let range = IntensityRange::around_object(liver.clone(), surroundings.clone(), 1.0).unwrap();
        assert_eq!(range, IntensityRange { low: 84.0 - 190.0, high: 116.0 + 190.0 });
        assert_eq!([-900.0, 1000.0].map(|v| range.apply(v)), [0.0, 1.0]);
        let narrow = IntensityRange::around_object(liver.clone(), surroundings, 0.5).unwrap();
        assert!(narrow.high - narrow.low < range.high - range.low);
        // Nothing is shown that is not there.
        let all = IntensityRange::around_object(liver.clone(), liver.clone(), 1.0).unwrap();
        assert_eq!(all, IntensityRange { low: 80.0, high: 120.0 });
        assert_eq!(IntensityRange::around_object(vec![5.0; 9], vec![5.0; 99], 1.0), None);
        assert_eq!(IntensityRange::around_object(Vec::new(), liver, 1.0), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "400", "400,40,3", "0,40", "-5,1", "nan,1", "inf,0", "Soft", "400,x,40"] {
            assert!(bad.parse::<Window>().is_err(), "`{bad}` was accepted");
        }
    }

    #[test]
    fn padding_and_outliers_do_not_set_the_range() {
        let volume = Array3::from_shape_fn((10, 10, 100), |(k, j, i)| match k * 1000 + j * 100 + i {
            0..=4999 => -2000.0,
            9999 => 1e6,
            n => (n % 100) as f32,
        });
        let range = Window::Auto.resolve(&scan(volume));
        assert_eq!(range, IntensityRange { low: 0.0, high: 99.0 });
    }

    #[test]
    fn a_constant_volume_has_a_range_that_maps_to_zero() {
        let volume = Array3::from_elem((2, 2, 2), 7.0);
        assert_eq!(Window::Auto.resolve(&scan(volume)).apply(7.0), 0.0);
        let two_values = Array3::from_shape_fn((2, 2, 2), |(k, _, _)| k as f32);
        assert_eq!(Window::Auto.resolve(&scan(two_values)).apply(1.0), 1.0);
    }
}
