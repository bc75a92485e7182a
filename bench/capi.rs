//! The overhead of the C interface: the time of a slice through it and through the Rust interface, alternating.
//! `cargo bench --bench capi`.

use ndarray::{Array2, Array3};
use promem::capi::*;
use promem::geometry::{Axis, Dims, Geometry, IjkToRas, SliceIndex, Spacing};
use promem::prompt::ObjectId;
use promem::session::{self, DeviceChoice, Flow, PrecisionChoice, PropagateOptions, Session, SliceReport};
use promem::slices::intensity::Window;
use promem::tracking::SearchOptions;
use promem::volume::{raw::RawVolume, Scalar};
use std::ffi::CString;
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

const DIMS: [usize; 3] = [256, 256, 24];
const ROUNDS: usize = 15;

fn voxels() -> Array3<i16> {
    Array3::from_shape_fn((DIMS[2], DIMS[1], DIMS[0]), |(k, j, i)| {
        let (y, x) = (j as f32 - 120.0, i as f32 - 110.0 - k as f32);
        (60.0 + if y.hypot(x) < 40.0 { 90.0 } else { 0.0 } + 10.0 * (x / 9.0).sin() + 10.0 * (y / 11.0).cos()) as i16
    })
}

fn disk() -> Array2<bool> {
    Array2::from_shape_fn((DIMS[1], DIMS[0]), |(j, i)| (j as f32 - 120.0).hypot(i as f32 - 122.0) < 40.0)
}

fn through_rust(model: &session::SharedModel, voxels: &Array3<i16>, disk: &Array2<bool>) -> Duration {
    let begin = Instant::now();
    let geometry = Geometry { dims: Dims(DIMS), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 3.0])) };
    // SAFETY: the voxels outlive the session.
    let scan = unsafe { RawVolume::new(geometry, Scalar::I16, voxels.as_ptr().cast(), None) }.unwrap();
    let mut session = Session::new(model.clone(), scan, Axis::K, Window::Auto, 1 << 30).unwrap();
    session.prompts_mut().add_mask(ObjectId::new(1).unwrap(), SliceIndex(12), disk.clone()).unwrap();
    let search = SearchOptions { stop_when_absent: false, ..SearchOptions::promem() };
    let outcome =
        session.propagate(&PropagateOptions::whole(search), &mut |_: SliceReport| Ok(Flow::Continue)).unwrap();
    let mut labels = Array3::<u16>::zeros(voxels.dim());
    outcome.masks.write(Axis::K, labels.view_mut());
    begin.elapsed()
}

unsafe extern "C" fn go_on(_: *const promem_progress, _: *mut std::ffi::c_void) -> i32 {
    1
}

/// # Safety
/// `model` is live.
unsafe fn through_c(model: *const promem_model, voxels: &Array3<i16>, disk: &[u8]) -> Duration {
    let begin = Instant::now();
    let mut labels = vec![0u16; voxels.len()];
    // SAFETY: every pointer is to something above or to a handle of this function.
    unsafe {
        let mut volume = std::mem::zeroed::<promem_volume>();
        promem_volume_init(&mut volume, size_of::<promem_volume>());
        volume.scalar_type = PROMEM_INT16;
        volume.voxels = voxels.as_ptr().cast();
        volume.dims = DIMS.map(|n| n as u64);
        volume.ijk_to_ras[2][2] = 3.0;
        let mut session = null_mut();
        assert_eq!(promem_session_new(model, &volume, null(), &mut session), PROMEM_OK);
        assert_eq!(promem_session_add_mask(session, 1, 12, disk.as_ptr(), disk.len()), PROMEM_OK);
        let mut options = std::mem::zeroed::<promem_propagate_options>();
        promem_propagate_options_init(&mut options, size_of::<promem_propagate_options>());
        options.never_stop = 1;
        assert_eq!(promem_session_propagate(session, &options, Some(go_on), null_mut()), PROMEM_OK);
        assert_eq!(promem_session_read_labels(session, null(), labels.as_mut_ptr(), labels.len()), PROMEM_OK);
        promem_session_free(session);
    }
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() {
    let path =
        std::env::var_os("MODEL").map_or_else(|| PathBuf::from("models/promem-compact.safetensors"), PathBuf::from);
    let loaded = session::load(&path, None, DeviceChoice::Cpu, PrecisionChoice::Auto).unwrap_or_else(|e| panic!("{e}"));
    let (voxels, disk) = (voxels(), disk());
    let bytes: Vec<u8> = disk.iter().map(|&inside| u8::from(inside)).collect();
    let name = CString::new(path.to_string_lossy().as_bytes()).unwrap();
    let mut model = null_mut();
    // SAFETY: text and place are valid; the model is freed at the end.
    unsafe { assert_eq!(promem_model_load(name.as_ptr(), null(), &mut model), PROMEM_OK) };
    let (mut rust, mut c) = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS {
        rust.push(through_rust(&loaded.model, &voxels, &disk));
        // SAFETY: the model is live.
        c.push(unsafe { through_c(model, &voxels, &bytes) });
    }
    // SAFETY: nobody uses it any more.
    unsafe { promem_model_free(model) };
    let differences: Vec<f64> =
        rust.iter().zip(&c).skip(1).map(|(rust, c)| (c.as_secs_f64() - rust.as_secs_f64()) * 1e3).collect();
    let (rust, c) = (median(rust[1..].to_vec()), median(c[1..].to_vec()));
    let mut sorted = differences.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let slices = DIMS[2] as f64;
    eprintln!("a scan of {DIMS:?} voxels, {ROUNDS} rounds in turns, medians of a slice:");
    eprintln!("  Rust {:.3} ms, C {:.3} ms, ratio {:.4}", rust / slices, c / slices, c / rust);
    eprintln!(
        "  difference within a round: {:+.4} ms a slice, {:+.2} %",
        sorted[ROUNDS / 2] / slices,
        100.0 * sorted[ROUNDS / 2] / rust
    );
}
