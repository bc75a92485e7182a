//! The first prompt of a slice: which part of the slice the network gets for it.
//!
//! A box tells an extent, a click does not: the object is looked for in the whole slice, then nearer.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::SlicePrompt;
use crate::session::masks::CroppedMask;
use crate::session::prompted::{Pointed, SliceState};
use crate::session::Session;
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::roi::Roi;
use crate::slices::SliceView;
use crate::tracking::FieldOfView;

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
        let extent = pointed.bounds.and_then(|_| pointed.extent(plane.size));
        let found = match extent {
            // A box tells no intensities: what it selects does.
            Some(extent) => {
                let view = SliceView { roi: plane.around(&extent), ..whole };
                Some(self.decode(slice, view, None, None, &pointed)?)
            }
            None => self.found_by_points(slice, whole, &pointed)?,
        };
        let mask = found.as_ref().and_then(|found| found.mask.clone());
        let view = match mask {
            Some(mask) => self.view_around(slice, &mask, extent, field_of_view),
            None => SliceView { roi: extent.map_or(whole.roi, |extent| plane.around(&extent)), ..whole },
        };
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

    /// What points select, looked for in the whole slice and nearer and nearer: an object fills a frame of its own size
    /// best, and the predicted IoU says where it does.
    fn found_by_points(
        &mut self,
        slice: SliceIndex,
        whole: SliceView,
        pointed: &Pointed,
    ) -> Result<Option<SliceState>> {
        let plane = self.inputs.plane();
        let Some(points) = pointed.foreground(plane.size) else { return Ok(None) };
        let mut best: Option<SliceState> = None;
        for roi in plane.zooms(&points) {
            let found = self.decode(slice, SliceView { roi, ..whole }, None, None, pointed)?;
            let shown = found.mask.as_ref().is_some_and(|mask| plane.shows_all(&roi, &mask.bounds()));
            if shown && best.as_ref().is_none_or(|best| found.score > best.score) {
                best = Some(found);
            }
        }
        match best {
            Some(best) => Ok(Some(best)),
            // It reaches out of every frame.
            None => Ok(Some(self.decode(slice, whole, None, None, pointed)?)),
        }
    }
}
