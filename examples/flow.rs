use ndarray::Array2;
use promem::geometry::{Axis, SliceIndex};
use promem::slices::{
    self,
    intensity::{IntensityRange, Window},
    region::{Plane, Region},
    registration::{displacement, halve, mask_displacement, warp},
    resize::{resize, Frame},
};
use promem::volume;
use std::path::Path;
fn main() {
    let side: usize = std::env::args().nth(1).map_or(128, |s| s.parse().unwrap());
    let adaptive = std::env::args().nth(2).as_deref() == Some("a");
    let mut all = vec![];
    for c in [1, 2, 3, 5, 8, 10, 13, 15] {
        let image = volume::read_image(Path::new(&format!("../shared/data/mr_chaos_t2/image_{c}.nii.gz"))).unwrap();
        let labels = volume::read_labels(Path::new(&format!("../shared/data/mr_chaos_t2/label_{c}.nii.gz"))).unwrap();
        let plane: Plane = slices::plane(image.geometry(), Axis::K);
        let n = image.geometry().dims.along(Axis::K);
        let global = Window::Auto.resolve(image.voxels());
        for l in 1..=4u16 {
            let masks: Vec<Array2<bool>> =
                (0..n).map(|z| slices::extract(labels.voxels(), Axis::K, SliceIndex(z)).mapv(|v| v == l)).collect();
            let present: Vec<usize> = (0..n).filter(|&z| masks[z].iter().any(|&v| v)).collect();
            let (a, b) = (present[0], *present.last().unwrap());
            let p = (a + b) / 2;
            let region = plane.around(&Region::of_mask(masks[p].view()).unwrap());
            let frame = Frame::new(region, plane.spacing, side);
            let slice = |z: usize| slices::extract(image.voxels(), Axis::K, SliceIndex(z));
            let s = slice(p);
            let object = s.iter().zip(&masks[p]).filter(|x| *x.1).map(|x| *x.0).collect();
            let range = if adaptive {
                IntensityRange::around_object(object, frame.shown(s.view()).iter().copied().collect(), 1.0).unwrap()
            } else {
                global
            };
            let pic =
                |z: usize| {
                    halve(&frame.padded(
                        &resize(frame.shown(slice(z).view()).mapv(|v| range.apply(v)).view(), frame.valid()),
                        0.0,
                    ))
                };
            let (mut inter, mut sum) = (0f64, 0f64);
            for up in [true, false] {
                let m = frame.mask_to_network(masks[p].view()).mapv(|v| if v { 1f32 } else { 0.0 });
                let mut cur = halve(&frame.padded(&m, 0.0));
                let mut prev = pic(p);
                let zs: Vec<usize> = if up { (p + 1..=b).collect() } else { (a..p).rev().collect() };
                for z in zs {
                    let now = pic(z);
                    let d = mask_displacement(&now, &prev, 2);
                    cur = warp(cur.view(), &d);
                    prev = now;
                    let back = frame.logits_to_region(cur.mapv(|v| v - 0.5).view()).mapv(|v| v > 0.0);
                    let mut full = Array2::from_elem(masks[z].dim(), false);
                    full.slice_mut(ndarray::s![region.first[0]..region.end(0), region.first[1]..region.end(1)])
                        .assign(&back);
                    inter += full.iter().zip(&masks[z]).filter(|x| *x.0 && *x.1).count() as f64;
                    sum += (full.iter().filter(|x| **x).count() + masks[z].iter().filter(|x| **x).count()) as f64;
                }
            }
            all.push((l, 2.0 * inter / sum));
        }
    }
    for l in 1..=4 {
        let v: Vec<f64> = all.iter().filter(|x| x.0 == l).map(|x| x.1).collect();
        print!("{l}: {:.3} ", v.iter().sum::<f64>() / v.len() as f64);
    }
    println!("mean {:.3}", all.iter().map(|x| x.1).sum::<f64>() / all.len() as f64);
    let _ = displacement;
}
