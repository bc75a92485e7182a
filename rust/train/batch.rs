//! Clips of one length and size as tensors on a device.

use crate::model::average_pool;
use crate::train::clip::{log_likelihood_ratios, Clip};
use ndarray::{Array3, ArrayView2};
use tch::kind::Element;
use tch::{Device, Kind, Tensor};

/// Clips of one length and size as tensors.
pub struct Batch {
    /// Grey 0..1, [B, T, S, S].
    pub(super) images: Tensor,
    /// Bool, [B, T, S, S].
    masks: Tensor,
    /// [B, T, 2, m, m]
    pub(super) displacements: Option<Tensor>,
    /// What intensities say, [B, T, S, S].
    pub(super) log_likelihood_ratio: Option<Tensor>,
    pub(super) clips: Vec<Clip>,
}

impl Batch {
    /// `clips` are at least one, all of one length and size, and all with or without displacements and ratios.
    pub fn new(clips: Vec<Clip>, device: Device) -> Self {
        let (length, side, _) = clips[0].images.dim();
        let shape = [clips.len(), length, side, side].map(|n| n as i64);
        let images = join(clips.iter().map(|clip| clip.images.iter().copied()), &shape, device);
        let masks = join(clips.iter().map(|clip| clip.masks.iter().copied()), &shape, device);
        let ratios: Option<Vec<_>> =
            clips.iter().map(|clip| Some(clip.log_likelihood_ratio.as_ref()?.iter().copied())).collect();
        let ratios = ratios.map(|all| join(all.into_iter(), &shape, device));
        let displacements: Option<Vec<_>> =
            clips.iter().map(|clip| Some(clip.displacements.as_ref()?.iter().copied())).collect();
        let cells = clips[0].displacements.as_ref().map_or(0, |field| field.dim().2 as i64);
        let displacements =
            displacements.map(|all| join(all.into_iter(), &[shape[0], shape[1], 2, cells, cells], device));
        Self { images, masks, displacements, log_likelihood_ratio: ratios, clips }
    }

    /// Clips, slices, side.
    pub fn size(&self) -> (i64, i64, i64) {
        let size = self.masks.size();
        (size[0], size[1], size[2])
    }

    /// What intensities say where the first slices' masks are what was found there, logits [B, 1, S, S]: [B, T, S, S].
    pub(super) fn log_likelihood_ratio_of(&self, found: &Tensor) -> Tensor {
        let masks = masks_in(found);
        let work: Vec<(&Clip, ArrayView2<bool>)> = self.clips.iter().zip(masks.outer_iter()).collect();
        let device = self.images.device();
        // On a CPU another replica has the other cores.
        let threads = if device.is_cuda() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
        let of = |part: &[(&Clip, ArrayView2<bool>)]| -> Vec<Array3<f32>> {
            part.iter().map(|(clip, mask)| log_likelihood_ratios(&clip.images, *mask)).collect()
        };
        let all: Vec<Array3<f32>> = std::thread::scope(|scope| {
            let parts: Vec<_> =
                (work.chunks(work.len().div_ceil(threads).max(1))).map(|part| scope.spawn(move || of(part))).collect();
            parts.into_iter().flat_map(|part| part.join().expect("a thread that learns ratios ended")).collect()
        });
        join(all.iter().map(|ratios| ratios.iter().copied()), &self.images.size(), device)
    }

    /// 0 and 1, [B, 1, S, S].
    pub(super) fn mask(&self, t: i64) -> Tensor {
        self.masks.narrow(1, t, 1).to_kind(Kind::Float)
    }

    /// Masks of slice `t` at 1 / `stride` of the resolution, as shares: [B, 1, S / stride, S / stride].
    pub fn truth(&self, t: i64, stride: i64) -> Tensor {
        average_pool(&self.mask(t), stride)
    }
}

/// One tensor of all values, copied once.
fn join<T: Element, V: Iterator<Item = T>>(parts: impl Iterator<Item = V>, shape: &[i64], device: Device) -> Tensor {
    let mut values = Vec::with_capacity(shape.iter().product::<i64>() as usize);
    parts.for_each(|part| values.extend(part));
    Tensor::from_slice(&values).reshape(shape).to_device(device)
}

/// Where logits [B, 1, S, S] are above zero: [B, S, S].
pub(super) fn masks_in(logits: &Tensor) -> Array3<bool> {
    let size: Vec<usize> = logits.size().iter().map(|&n| n as usize).collect();
    let flat = logits.gt(0.0).to_kind(Kind::Uint8).to_device(Device::Cpu).contiguous().flatten(0, 3);
    let values = Vec::<u8>::try_from(&flat).expect("a flat tensor of bytes is a vector");
    let masks = values.into_iter().map(|value| value > 0).collect();
    Array3::from_shape_vec((size[0], size[2], size[3]), masks).expect("as many as the tensor has")
}
