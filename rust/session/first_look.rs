//! The first prompt of a slice: which part of the slice the network gets for it.
//!
//! A box tells an extent, a click does not: the object is looked for in the whole slice, then nearer.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::SlicePrompt;
use crate::session::masks::{dice, CroppedMask};
use crate::session::prompted::Pointed;
use crate::session::slice_state::SliceState;
use crate::session::Session;
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::roi::Roi;
use crate::slices::SliceView;
use crate::tracking::FieldOfView;

/// How much surer a finer look must be than the whole slice, as a difference of predicted IoU, to count by itself: before
/// and after its closer look. Chosen, as the two below, on generated scans and on scans kept for choosing settings
/// (docs/notes/clicks.md).
const MUCH_SURER: [f64; 2] = [0.25, 0.2];
/// The same where it agrees with an even finer one.
const SURER: f64 = 0.1;
/// Dice from which on two looks show the same object.
const AGREEING_LOOKS: f64 = 0.6;

impl Session {
    /// What the first points or the first box of a slice select.
    pub(super) fn first_look(
        &mut self,
        slice: SliceIndex,
        pointed: Pointed,
        field_of_view: FieldOfView,
    ) -> Result<SliceState> {
        let whole = self.whole_view();
        if field_of_view == FieldOfView::Slice {
            return self.decode(slice, whole, None, None, &pointed);
        }
        let plane = self.inputs.plane();
        let Some(extent) = pointed.bounds.and_then(|_| pointed.extent(plane.size)) else {
            return match self.found_by_points(slice, whole, &pointed)? {
                Some(found) => Ok(found),
                None => self.decode(slice, whole, None, None, &pointed),
            };
        };
        // A box tells no intensities: what it selects does.
        let view = SliceView { roi: plane.around(&extent), ..whole };
        let found = self.decode(slice, view, None, None, &pointed)?;
        let Some(mask) = found.mask.clone() else { return Ok(found) };
        let view = self.view_around(slice, &mask, Some(extent), field_of_view);
        self.decode(slice, view, None, None, &pointed)
    }

    /// The view in which a mask is refined and followed; `extent`: what a box spans.
    pub(super) fn view_around(
        &mut self,
        slice: SliceIndex,
        mask: &CroppedMask,
        extent: Option<Roi>,
        field_of_view: FieldOfView,
    ) -> SliceView {
        let mut view = self.whole_view();
        if field_of_view == FieldOfView::Slice {
            return view;
        }
        let plane = self.inputs.plane();
        view.roi = plane.around(&extent.map_or(mask.bounds(), |extent| extent.joined(&mask.bounds())));
        if self.window == Window::Auto {
            let pixels = self.inputs.scan().slice(self.axis(), slice);
            let visible = self.inputs.frame(view.roi).crop(pixels.view()).iter().copied().collect();
            let object = mask.pixels().map(|at| pixels[at]).collect();
            view.range = IntensityRange::around_object(object, visible, 1.0).unwrap_or(view.range);
        }
        view
    }

    /// The view that a slice's prompts will be decoded in, for encoding ahead.
    pub(super) fn view_of(
        &mut self,
        slice: SliceIndex,
        given: &SlicePrompt,
        field_of_view: FieldOfView,
    ) -> Result<SliceView> {
        if field_of_view == FieldOfView::Slice {
            return Ok(self.whole_view());
        }
        let (points, bounds) = given.decoded_at(given.steps().len() - 1);
        let mask = given.newest_mask().and_then(|mask| CroppedMask::new(mask.view()));
        match mask {
            Some(mask) => Ok(self.view_around(slice, &mask, None, field_of_view)),
            None => Ok(self.first_look(slice, Pointed { points: &points, bounds }, field_of_view)?.view),
        }
    }

    /// What points select, zooming out, then in.
    ///
    /// What is found in the whole slice says where to look closer, and the closer look refines it. A small object
    /// vanishes in a whole slice: looks at squares around the points compete.
    fn found_by_points(
        &mut self,
        slice: SliceIndex,
        whole: SliceView,
        pointed: &Pointed,
    ) -> Result<Option<SliceState>> {
        let plane = self.inputs.plane();
        let Some(points) = pointed.foreground(plane.size) else { return Ok(None) };
        let mut looks = Vec::new();
        for roi in plane.zooms(&points) {
            if let Some(look) = self.look_closer(slice, SliceView { roi, ..whole }, pointed)? {
                looks.push(look);
            }
        }
        Ok(chosen(&looks).map(|n| looks.swap_remove(n).closer))
    }

    /// What points select in a view, and what a closer look makes of it.
    fn look_closer(&mut self, slice: SliceIndex, view: SliceView, pointed: &Pointed) -> Result<Option<Look>> {
        let plane = self.inputs.plane();
        let found = self.decode(slice, view, None, None, pointed)?;
        let Some(mask) = found.mask.clone() else { return Ok(None) };
        let closer = self.view_around(slice, &mask, pointed.foreground(plane.size), FieldOfView::Object);
        let (score, shown) = (found.score, plane.shows_all(&view.roi, &mask.bounds()));
        let refitted = self.refit(found, closer.roi)?;
        let closer = self.decode(slice, closer, Some(&refitted.output), None, pointed)?;
        Ok(Some(Look { score, shown, closer }))
    }
}

/// What points select in one part of a slice.
struct Look {
    /// Predicted IoU before the closer look.
    score: f64,
    /// Whether the object seemed to lie in the frame as a whole.
    shown: bool,
    /// What the closer look made of it.
    closer: SliceState,
}

/// Which of several looks counts, widest first: the widest, unless a finer one is much surer both before and after its
/// closer look, or is surer and agrees with an even finer one.
fn chosen(looks: &[Look]) -> Option<usize> {
    let widest = looks.first()?;
    let finer = |n: &usize| looks[*n].shown;
    let much_surer = |n: &usize| {
        looks[*n].score > widest.score + MUCH_SURER[0] && looks[*n].closer.score > widest.closer.score + MUCH_SURER[1]
    };
    let by_score = |a: &usize, b: &usize| looks[*a].closer.score.total_cmp(&looks[*b].closer.score);
    let surest = (1..looks.len()).filter(finer).filter(much_surer).max_by(by_score);
    let agreed = || {
        (1..looks.len().saturating_sub(1))
            .filter(finer)
            .find(|&n| looks[n].score >= widest.score + SURER && looks[n].agrees(&looks[n + 1]))
    };
    Some(surest.or_else(agreed).unwrap_or(0))
}

impl Look {
    fn agrees(&self, other: &Look) -> bool {
        dice(self.closer.mask.as_deref(), other.closer.mask.as_deref()) >= AGREEING_LOOKS
    }
}
