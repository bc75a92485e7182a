//! Prompts: points, scribbles, lassos, boxes and masks of objects, and masks that exist from the start.

use super::arguments::{object, slice, voxel, voxels};
use super::engine::Engine;
use super::handles;
use super::memory::InArray;
use super::session::promem_session;
use super::status::{boundary, promem_status, BoundaryError, Outcome};
use crate::prompt::{ObjectId, PointLabel, Prompt};
use ndarray::{Array2, ArrayView3};
use std::sync::Arc;

fn label(positive: u32) -> PointLabel {
    match positive {
        0 => PointLabel::Background,
        _ => PointLabel::Foreground,
    }
}

fn add(engine: &Arc<Engine>, object: ObjectId, prompt: &Prompt) -> Outcome {
    engine.change_prompts(|session| Ok(session.add_prompt(object, prompt)?))
}

/// Says that a voxel belongs to an object (`positive` not 0) or does not. `ijk`: its three indices. An object's number,
/// 1 to 65535, is its label in the label map.
///
/// Prompts of an object are an ordered history: each refines the mask that its slices have by then, of earlier prompts
/// or of a propagation. promem_session_undo takes back the newest.
///
/// Errors: PROMEM_INVALID_ARGUMENT for an object or a voxel that cannot be, and for `positive` 0 where the slice has no
/// mask of the object; PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_point(
    session: *mut promem_session,
    object: u32,
    ijk: *const i64,
    positive: u32,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, at) = unsafe { (handles::share(session)?, voxel(ijk, "point")?) };
        add(&engine, object, &Prompt::Clicks(vec![(at, label(positive))]))
    })
}

/// Gives an object's box on a slice: two opposite corners, both inside; it replaces an earlier box of that slice.
///
/// Errors: PROMEM_INVALID_ARGUMENT for corners outside the volume or on two slices, PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_box(
    session: *mut promem_session,
    object: u32,
    corner_ijk: *const i64,
    opposite_ijk: *const i64,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, corner, opposite) =
            unsafe { (handles::share(session)?, voxel(corner_ijk, "box corner")?, voxel(opposite_ijk, "box corner")?) };
        engine.change_prompts(|session| {
            let axis = session.axis();
            if corner.0[axis.index()] != opposite.0[axis.index()] {
                return Err(BoundaryError::invalid(format!(
                    "box: its corners lie on slices {} and {}, expected one slice; promem_session_add_box_3d takes \
                     others",
                    corner.0[axis.index()],
                    opposite.0[axis.index()]
                )));
            }
            Ok(session.add_prompt(object, &Prompt::Box([corner, opposite], PointLabel::Foreground))?)
        })
    })
}

/// Gives an object's mask on a slice: rows times columns bytes, row after row, not 0 inside (promem_session_slices
/// tells which axes they are). It is the result on its slice, voxel for voxel, and takes the place of the slice's
/// earlier prompts; later ones refine it.
///
/// Errors: PROMEM_INVALID_ARGUMENT for a count that is not rows times columns, or an empty mask; PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid; `mask` is readable for `count` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_mask(
    session: *mut promem_session,
    object: u32,
    slice: i64,
    mask: *const u8,
    count: usize,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, mask) = unsafe { (handles::share(session)?, InArray::new(mask, count, "mask")?) };
        engine.change_prompts(|session| {
            let [rows, columns] = session.slice_size();
            if mask.count() != rows * columns {
                return Err(BoundaryError::invalid(format!(
                    "mask: {} bytes, expected {rows} rows of {columns} columns, {}",
                    mask.count(),
                    rows * columns
                )));
            }
            let bytes = mask.slice(rows * columns)?;
            let slice = self::slice(slice, session.geometry().dims.along(session.axis()))?;
            let mask = Array2::from_shape_fn((rows, columns), |(r, c)| bytes[r * columns + c] != 0);
            Ok(session.add_prompt(object, &Prompt::Mask(slice, mask))?)
        })
    })
}

/// Draws a line on an object (`positive` not 0) or beside it: `count` voxels of three indices each, which are joined by
/// straight lines, on any plane or across planes. It becomes points on every slice that it crosses, which refine the
/// mask there.
///
/// Errors: as promem_session_add_point; PROMEM_INVALID_ARGUMENT also without a voxel.
///
/// # Safety
/// Pointers are NULL or valid; `ijk` is readable for three times `count` values.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_scribble(
    session: *mut promem_session,
    object: u32,
    ijk: *const i64,
    count: usize,
    positive: u32,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, voxels) = unsafe { (handles::share(session)?, voxels(ijk, count, "scribble")?) };
        add(&engine, object, &Prompt::Scribble(voxels, label(positive)))
    })
}

/// Draws a closed polygon on a plane of voxels: its `count` corners, at least 3, of three indices each, equal along one
/// axis.
///
/// On a slice, `positive` not 0: the region is added to the object's mask; on a slice without a mask it goes around the
/// object. `positive` 0: it is taken away from the mask, to the voxel. On another plane: points inside it, on every
/// slice that it crosses.
///
/// Errors: as promem_session_add_point; PROMEM_INVALID_ARGUMENT also for fewer than 3 corners or corners on several
/// planes.
///
/// # Safety
/// Pointers are NULL or valid; `ijk` is readable for three times `count` values.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_lasso(
    session: *mut promem_session,
    object: u32,
    ijk: *const i64,
    count: usize,
    positive: u32,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, corners) = unsafe { (handles::share(session)?, voxels(ijk, count, "lasso")?) };
        add(&engine, object, &Prompt::Lasso(corners, label(positive)))
    })
}

/// Gives a box between two opposite corners, both inside, which may span several slices.
///
/// `positive` not 0: the object lies on the slices of the box and on those of its other prompts only, so that
/// propagations end there. The box is a prompt on the middle one of its slices; where it is flat on a plane across the
/// slices, a point in its middle is. On one slice it is as promem_session_add_box. `positive` 0: what lies in the box
/// is taken away from the object's masks, to the voxel.
///
/// Errors: as promem_session_add_point.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_box_3d(
    session: *mut promem_session,
    object: u32,
    corner_ijk: *const i64,
    opposite_ijk: *const i64,
    positive: u32,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, corner, opposite) =
            unsafe { (handles::share(session)?, voxel(corner_ijk, "box corner")?, voxel(opposite_ijk, "box corner")?) };
        add(&engine, object, &Prompt::Box([corner, opposite], label(positive)))
    })
}

/// Begins with masks that exist, of a former result or another tool: a label map of the whole scan, contiguous, i
/// fastest, 0 where there is no object. They are the result until the next propagation, and its beginning: prompts
/// correct them. What was found before is dropped, and so are masks that were set before; prompts stay. A label map of
/// zeros sets none.
///
/// Errors: PROMEM_INVALID_ARGUMENT for a count that is not the number of voxels, PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid; `labels` is readable for `count` values.
#[no_mangle]
pub unsafe extern "C" fn promem_session_set_initial(
    session: *mut promem_session,
    labels: *const u16,
    count: usize,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (engine, labels) = unsafe { (handles::share(session)?, InArray::new(labels, count, "labels")?) };
        engine.claim()?.with(|session| {
            let [i, j, k] = session.geometry().dims.0;
            let labels = ArrayView3::from_shape((k, j, i), labels.slice(i * j * k)?)
                .map_err(|error| BoundaryError::invalid(format!("labels: {error}")))?;
            session.set_initial(labels)?;
            engine.results.lock().finish(session.initial());
            Ok(())
        })
    })
}
