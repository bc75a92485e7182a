//! Sessions: a scan seen through a model.

use super::arguments::{init_struct, optional_struct, reserved, Sized32};
use super::engine::Engine;
use super::handles::{self, Handle};
use super::memory::Out;
use super::model::promem_model;
use super::process::{self, Computing};
use super::status::{boundary, caught, promem_status, BoundaryError, Outcome};
use super::volume::{promem_volume, raw_volume};
use crate::geometry::Axis;
use crate::session::Session;
use crate::slices::intensity::Window;
use std::sync::Arc;

/// The axis of the largest spacing, along which the scan was cut into slices; at a tie k.
pub const PROMEM_AXIS_AUTO: u32 = 0;
/// Slices across i, the fastest index.
pub const PROMEM_AXIS_I: u32 = 1;
/// Slices across j.
pub const PROMEM_AXIS_J: u32 = 2;
/// Slices across k, the slowest index.
pub const PROMEM_AXIS_K: u32 = 3;

/// Bytes of embeddings that a session keeps where the caller does not say: 1 GiB.
pub const PROMEM_DEFAULT_CACHE_BYTES: u64 = 1 << 30;

/// How a session begins. All zero but the size is the default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_session_options {
    /// sizeof(promem_session_options)
    pub struct_size: u32,
    /// PROMEM_AXIS_AUTO to PROMEM_AXIS_K.
    pub axis: u32,
    /// The intensities that the network sees, as viewers have them: width; 0: chosen from the scan and the object.
    pub window_width: f64,
    /// And level, the middle.
    pub window_level: f64,
    /// Bound of the embeddings that are kept, in bytes; 0: PROMEM_DEFAULT_CACHE_BYTES.
    pub cache_bytes: u64,
    /// Not 0: copy the voxels (to 4 bytes each), so that the caller may free or change them. 0: read them where they
    /// lie whenever a slice is needed; they must stay and not change until the session is freed.
    pub copy_voxels: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: a size of 40, every number is allowed.
unsafe impl Sized32 for promem_session_options {
    const NAME: &'static str = "promem_session_options";
}

/// A scan seen along one axis through a model, with prompts and with what was found from them.
///
/// Threads: functions that take a const promem_session may be called from any thread at any time, also while a
/// propagation runs. Of the others one may run at a time; while it does, or while a job runs, they answer PROMEM_BUSY.
/// promem_session_free must be the last call.
pub struct promem_session {
    _opaque: [u8; 0],
}

impl Handle for promem_session {
    type Owner = Arc<Engine>;
    const NAME: &'static str = "session";
}

/// Sets all options to their defaults; `struct_size` is sizeof(promem_session_options).
///
/// # Safety
/// `options` is writable for `struct_size` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_session_options_init(
    options: *mut promem_session_options,
    struct_size: usize,
) -> promem_status {
    // SAFETY: as this function's caller promises.
    boundary(|| unsafe { init_struct(options, struct_size) })
}

fn axis(number: u32, auto: impl FnOnce() -> Axis) -> Outcome<Axis> {
    match number {
        PROMEM_AXIS_AUTO => Ok(auto()),
        PROMEM_AXIS_I => Ok(Axis::I),
        PROMEM_AXIS_J => Ok(Axis::J),
        PROMEM_AXIS_K => Ok(Axis::K),
        other => {
            Err(BoundaryError::invalid(format!("axis {other}: expected PROMEM_AXIS_AUTO (0) to PROMEM_AXIS_K (3)")))
        }
    }
}

fn window(width: f64, level: f64) -> Outcome<Window> {
    if width == 0.0 {
        return Ok(Window::Auto);
    }
    if !(width > 0.0 && width.is_finite() && level.is_finite()) {
        return Err(BoundaryError::invalid(format!(
            "window {width},{level}: expected a positive width and a level, or 0"
        )));
    }
    Ok(Window::WidthLevel { width, level })
}

fn cache_limit(bytes: u64) -> usize {
    let bytes = if bytes == 0 { PROMEM_DEFAULT_CACHE_BYTES } else { bytes };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Begins a session. `volume` and `options` are read during the call (options may be NULL); the voxels must stay,
/// unless they are copied. Free the session with promem_session_free.
///
/// Errors: PROMEM_INVALID_ARGUMENT for sizes, strides or an option, PROMEM_BAD_FORMAT for a map to patient space
/// without an inverse.
///
/// # Safety
/// Pointers are NULL or valid; every voxel that sizes and strides reach is readable.
#[no_mangle]
pub unsafe extern "C" fn promem_session_new(
    model: *const promem_model,
    volume: *const promem_volume,
    options: *const promem_session_options,
    session: *mut *mut promem_session,
) -> promem_status {
    boundary(|| {
        let _computing = Computing::begin()?;
        // SAFETY: as this function's caller promises.
        let (out, model, options, scan) = unsafe {
            (Out::new(session, "session")?, handles::borrow(model)?, optional_struct(options)?, raw_volume(volume)?)
        };
        let (mut chosen, mut shown, mut bytes, mut copy) = (PROMEM_AXIS_AUTO, Window::Auto, 0, false);
        if let Some(options) = options {
            reserved(promem_session_options::NAME, options.reserved)?;
            shown = window(options.window_width, options.window_level)?;
            (chosen, bytes, copy) = (options.axis, options.cache_bytes, options.copy_voxels != 0);
        }
        let along = axis(chosen, || scan.geometry().slice_axis())?;
        let (model, limit) = (model.shared.clone(), cache_limit(bytes));
        let made = match copy {
            true => Session::new(model, scan.to_volume()?, along, shown, limit)?,
            false => Session::new(model, scan, along, shown, limit)?,
        };
        out.write(handles::give(Engine::new(made)));
        Ok(())
    })
}

/// Frees a session; NULL is allowed. What runs is cancelled and waited for, so that the voxels may be freed afterwards.
///
/// In a callback of the session itself this is a mistake, which the log names: the propagation is cancelled, nobody may
/// use the session any more, and the voxels must stay until the call that called back has returned. In a forked child
/// nothing is freed.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_free(session: *mut promem_session) {
    // SAFETY: as this function's caller promises.
    if let Some(engine) = unsafe { handles::take(session) } {
        caught(|| {
            match process::not_forked() {
                Ok(()) => engine.close(),
                Err(_) => std::mem::forget(engine),
            }
            Ok(())
        });
    }
}

/// The axis that slices lie across (PROMEM_AXIS_I, _J or _K), their number, and rows and columns of one. Columns and
/// rows are the two other axes in rising order: across k columns are i and rows j; across j columns are i and rows k;
/// across i columns are j and rows k. Any of the four pointers to results may be NULL.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_slices(
    session: *const promem_session,
    axis: *mut u32,
    count: *mut u64,
    rows: *mut u64,
    columns: *mut u64,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (engine, axis, sizes) = unsafe {
            (
                handles::borrow(session)?,
                Out::optional(axis, "axis")?,
                [Out::optional(count, "size")?, Out::optional(rows, "size")?, Out::optional(columns, "size")?],
            )
        };
        let along = engine.results.lock().axis();
        let (columns_along, rows_along) = along.in_plane();
        if let Some(axis) = axis {
            axis.write([PROMEM_AXIS_I, PROMEM_AXIS_J, PROMEM_AXIS_K][along.index()]);
        }
        for (size, axis) in sizes.into_iter().zip([along, rows_along, columns_along]) {
            if let Some(size) = size {
                size.write(engine.dims.along(axis) as u64);
            }
        }
        Ok(())
    })
}

/// Sees the scan across another axis. Prompts, results and embeddings are dropped: they belong to the old slices.
///
/// Errors: PROMEM_BUSY, PROMEM_INVALID_ARGUMENT.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_set_axis(session: *mut promem_session, axis: u32) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let engine = unsafe { handles::share(session) }?;
        engine.claim()?.with(|session| {
            let along = self::axis(axis, || session.geometry().slice_axis())?;
            if along != session.axis() {
                engine.results.lock().clear(along);
                session.set_axis(along);
            }
            Ok(())
        })
    })
}

/// Shows the network other intensities: width and level; width 0: chosen from the scan and the object. Prompts and
/// results stay; the next propagation computes everything anew.
///
/// Errors: PROMEM_BUSY, PROMEM_INVALID_ARGUMENT.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_set_window(
    session: *mut promem_session,
    width: f64,
    level: f64,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let engine = unsafe { handles::share(session) }?;
        let window = window(width, level)?;
        engine.claim()?.with(|session| {
            session.set_window(window);
            Ok(())
        })
    })
}

/// Another bound of the embeddings that are kept, in bytes; 0: PROMEM_DEFAULT_CACHE_BYTES. What does not fit is
/// dropped.
///
/// Errors: PROMEM_BUSY.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_set_cache_limit(session: *mut promem_session, bytes: u64) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let engine = unsafe { handles::share(session) }?;
        engine.claim()?.with(|session| {
            session.set_cache_limit(cache_limit(bytes));
            Ok(())
        })
    })
}

/// Takes back every prompt, every mask that was set to begin with, and every result. Embeddings stay, so that what follows is quick. A session is good again
/// after this, whatever went wrong before.
///
/// Errors: PROMEM_BUSY.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_reset(session: *mut promem_session) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let engine = unsafe { handles::share(session) }?;
        engine.claim()?.with(|session| {
            session.reset();
            engine.results.lock().clear(session.axis());
            Ok(())
        })
    })
}
