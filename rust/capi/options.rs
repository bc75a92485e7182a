//! How a propagation goes.

use super::arguments::{init_struct, object, slice, Sized32};
use super::engine::Claim;
use super::status::{boundary, promem_status, BoundaryError, Outcome};
use crate::geometry::SliceRange;
use crate::session::{Direction, PropagateOptions};
use crate::tracking::{FieldOfView, MaskPrior, PointerRule, PromptMemory, SearchOptions};

/// Both ways from every prompted slice.
pub const PROMEM_BOTH: u32 = 0;
/// Towards higher slice numbers.
pub const PROMEM_UP: u32 = 1;
/// Towards lower slice numbers.
pub const PROMEM_DOWN: u32 = 2;

/// Memory window search, the paper's method.
pub const PROMEM_SEARCH: u32 = 0;
/// Plain SAM 2 propagation: one window of 6 slices, the prompt's memory always attended to.
pub const PROMEM_SAM2: u32 = 1;

/// As the method or the model has it.
pub const PROMEM_DEFAULT: u32 = 0;
/// Not.
pub const PROMEM_NO: u32 = 1;
/// Always.
pub const PROMEM_YES: u32 = 2;

/// Nothing: memory alone, the paper's method.
pub const PROMEM_PRIOR_NONE: u32 = 1;
/// The mask of the slice before.
pub const PROMEM_PRIOR_PREVIOUS: u32 = 2;
/// The mask of the slice before, moved by registration of the two slices.
pub const PROMEM_PRIOR_REGISTERED: u32 = 3;

/// All of a slice: objects share what is computed of it.
pub const PROMEM_VIEW_SLICE: u32 = 1;
/// The object and its surroundings.
pub const PROMEM_VIEW_OBJECT: u32 = 2;

/// How a propagation goes. All zero but the size is the default: every object, both ways, until it ends.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_propagate_options {
    /// sizeof(promem_propagate_options)
    pub struct_size: u32,
    /// PROMEM_BOTH, PROMEM_UP or PROMEM_DOWN.
    pub direction: u32,
    /// The only object to propagate; 0: all.
    pub object: u32,
    /// Not 0: no further than first_slice and last_slice, both inside.
    pub use_range: u32,
    /// With use_range: the lowest slice.
    pub first_slice: i64,
    /// With use_range: the highest slice.
    pub last_slice: i64,
    /// Not 0: predict every slice, also where the object seems to have ended.
    pub never_stop: u32,
    /// PROMEM_SEARCH or PROMEM_SAM2: what the following zeros stand for.
    pub memory: u32,
    /// Memory windows to try on each slice, 1 to 6 slices each, then zeros; all zero: 1 and 6 (PROMEM_SAM2: 6).
    pub windows: [u32; 6],
    /// Banks kept from slice to slice, at most 16; 0: 2 (PROMEM_SAM2: 1).
    pub beams: u32,
    /// Whether every candidate attends to the prompt's memory: PROMEM_DEFAULT (PROMEM_SEARCH: only within the window),
    /// PROMEM_NO, PROMEM_YES.
    pub include_prompt: u32,
    /// Whether candidates attend to object pointers beyond their window, as SAM 2 does: PROMEM_DEFAULT, PROMEM_NO,
    /// PROMEM_YES.
    pub all_pointers: u32,
    /// The mask prior that the decoder gets from the previous slice: PROMEM_DEFAULT (as the model was trained),
    /// PROMEM_PRIOR_NONE, PROMEM_PRIOR_PREVIOUS or PROMEM_PRIOR_REGISTERED.
    pub prior: u32,
    /// What of a slice the network is shown: PROMEM_DEFAULT (what the model was trained with), PROMEM_VIEW_SLICE,
    /// PROMEM_VIEW_OBJECT.
    pub field_of_view: u32,
    /// A run goes on while the object is there with at least this probability; 0: what the model was calibrated to,
    /// else 0.5.
    pub presence_threshold: f32,
    /// Further candidates are tried only where the first one's predicted IoU is below this; 0: all on every slice.
    pub accept_iou: f32,
    /// Weight of what intensities on the prompt's slice say beside the network, at most 4; 0: what the model was
    /// calibrated to, below 0: none.
    pub intensity_weight: f32,
}

// SAFETY: a size of 96, every number is allowed.
unsafe impl Sized32 for promem_propagate_options {
    const NAME: &'static str = "promem_propagate_options";
}

/// Sets all options to their defaults; `struct_size` is sizeof(promem_propagate_options).
///
/// # Safety
/// `options` is writable for `struct_size` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_propagate_options_init(
    options: *mut promem_propagate_options,
    struct_size: usize,
) -> promem_status {
    // SAFETY: as this function's caller promises.
    boundary(|| unsafe { init_struct(options, struct_size) })
}

fn unknown<T>(what: &str, found: u32, expected: &str) -> Outcome<T> {
    Err(BoundaryError::invalid(format!("{what} {found}: expected {expected}")))
}

/// What a caller's options stand for in a session.
pub(super) fn propagate_options(given: Option<promem_propagate_options>, claim: &Claim) -> Outcome<PropagateOptions> {
    let axis = claim.with(|session| Ok(session.axis()))?;
    let Some(given) = given else {
        return Ok(PropagateOptions::whole(SearchOptions::promem()));
    };
    let mut search = match given.memory {
        PROMEM_SEARCH => SearchOptions::promem(),
        PROMEM_SAM2 => SearchOptions { stop_when_absent: true, ..SearchOptions::sam2() },
        other => return unknown("memory", other, "PROMEM_SEARCH (0) or PROMEM_SAM2 (1)"),
    };
    search.stop_when_absent &= given.never_stop == 0;
    let used = given.windows.iter().take_while(|&&window| window != 0).count();
    if given.windows[used..].iter().any(|&window| window != 0) {
        return Err(BoundaryError::invalid(format!("windows {:?}: expected zeros only at the end", given.windows)));
    }
    if used > 0 {
        search.windows = given.windows[..used].iter().map(|&window| window as usize).collect();
    }
    if given.beams > 0 {
        search.beams = given.beams as usize;
    }
    match given.include_prompt {
        PROMEM_DEFAULT => {}
        PROMEM_NO => search.prompt = PromptMemory::InWindow,
        PROMEM_YES => search.prompt = PromptMemory::Pinned,
        other => return unknown("include_prompt", other, "PROMEM_DEFAULT (0), PROMEM_NO (1) or PROMEM_YES (2)"),
    }
    match given.all_pointers {
        PROMEM_DEFAULT => {}
        PROMEM_NO => search.pointers = PointerRule::Window,
        PROMEM_YES => search.pointers = PointerRule::Sam2,
        other => return unknown("all_pointers", other, "PROMEM_DEFAULT (0), PROMEM_NO (1) or PROMEM_YES (2)"),
    }
    match given.prior {
        PROMEM_DEFAULT => {}
        PROMEM_PRIOR_NONE => search.prior = Some(MaskPrior::None),
        PROMEM_PRIOR_PREVIOUS => search.prior = Some(MaskPrior::Previous),
        PROMEM_PRIOR_REGISTERED => search.prior = Some(MaskPrior::Registered),
        other => return unknown("prior", other, "PROMEM_DEFAULT (0) to PROMEM_PRIOR_REGISTERED (3)"),
    }
    search.field_of_view = field_of_view(given.field_of_view)?;
    search.presence_threshold = (given.presence_threshold != 0.0).then_some(f64::from(given.presence_threshold));
    search.accept_iou = (given.accept_iou != 0.0).then_some(f64::from(given.accept_iou));
    if given.intensity_weight != 0.0 {
        search.intensity_weight =
            Some(if given.intensity_weight < 0.0 { 0.0 } else { f64::from(given.intensity_weight) });
    }
    search.validate()?;
    let direction = match given.direction {
        PROMEM_BOTH => Direction::Both,
        PROMEM_UP => Direction::Up,
        PROMEM_DOWN => Direction::Down,
        other => return unknown("direction", other, "PROMEM_BOTH (0), PROMEM_UP (1) or PROMEM_DOWN (2)"),
    };
    let count = claim.engine().dims.along(axis);
    let range = match given.use_range {
        0 => None,
        _ => Some(SliceRange::new(slice(given.first_slice, count)?, slice(given.last_slice, count)?)?),
    };
    let object = (given.object > 0).then(|| object(given.object)).transpose()?;
    Ok(PropagateOptions { direction, range, object, ..PropagateOptions::whole(search) })
}

pub(super) fn field_of_view(number: u32) -> Outcome<Option<FieldOfView>> {
    match number {
        PROMEM_DEFAULT => Ok(None),
        PROMEM_VIEW_SLICE => Ok(Some(FieldOfView::Slice)),
        PROMEM_VIEW_OBJECT => Ok(Some(FieldOfView::Object)),
        other => unknown("field_of_view", other, "PROMEM_DEFAULT (0), PROMEM_VIEW_SLICE (1) or PROMEM_VIEW_OBJECT (2)"),
    }
}
