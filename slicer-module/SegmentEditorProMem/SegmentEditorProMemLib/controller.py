"""Controls the effect without a widget: previews of prompts, propagations, and writes of their slices to the scene.

In: prompts, options, and a tick every few milliseconds. Out: a state that a panel shows, previews and segments in the
scene. Knows neither Qt nor MRML: `scene` has the methods of `scene.Scene`, `engine` those of `promem.worker.Engine`.

A job is a generator that yields after each piece of work and wherever it waits for the engine. One job runs at a time.
A tick takes about TICK_SECONDS at most, so that the application stays responsive.
"""

import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, Callable, Optional

from . import jobs
from .connection import EngineConnection, RequestFailed
from .grid import AXES, Extent, ObliqueView, OutsideScan, axis_of_view
from .i18n import _
from .options import DIRECTIONS, BadOption, Options
from .propagation import Propagation
from .report import Progress, Report
from .segment_axes import SegmentAxes
from .slice_history import History
from .ui_text import plane_of

# Seconds of work in one tick.
TICK_SECONDS = 0.012
# Seconds between two writes to the scene: each write redraws the views.
WRITE_INTERVAL = 0.15


class Controller:
    """One per editor. `on_change` is called, in `tick` or the methods below, when the displayed state has changed."""

    def __init__(self, engine: Any, scene: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.scene = scene
        self.options = Options()
        self.state = "off"
        self.message = ""
        self.error: Optional[str] = None
        self.progress: Optional[Progress] = None
        self.on_change: Callable[[], None] = lambda: None
        # The axis of segments without prompts and painted slices: that of the slice view used last.
        self.view_axis: Optional[str] = None
        self.connection = EngineConnection(engine, scene)
        self.propagation: Optional[Propagation] = None
        self.initial_masks: dict[tuple[str, int], Any] = {}
        self._clock = clock
        self._histories: dict[str, History] = {}
        self.axes = SegmentAxes(scene)
        self._reports: dict[str, Report] = {}
        self._queue: deque[tuple[str, Generator]] = deque()
        self._job: Optional[tuple[str, Generator]] = None
        self._next_write = 0.0
        # The segments of the last propagation, and the scene's edits at its end.
        self._last_run: Optional[tuple[list[str], Any]] = None
        self._cancelled: Optional[bool] = None
        engine.on_event = self._event
        engine.on_died = self._died
        scene.on_prompts_changed = self._prompts_changed

    # Actions of the user.

    def activate(self) -> None:
        """Starts the engine and loads the model, so that the first click finds it ready."""
        if self.state == "off":
            self._enqueue("activate", jobs.activate(self))

    def deactivate(self) -> None:
        """Another effect becomes active: removes previews, keeps prompts, continues a propagation."""
        self.scene.clear_previews()
        self._remove_queued("preview")
        if self._job is not None and self._job[0] == "preview":
            self._end_job()
            self._finish(self.message)

    def close(self) -> None:
        """Ends the engine, every job and the scene's observers."""
        try:
            self.connection.close()
        finally:
            self._queue.clear()
            self._end_job()
            self.scene.close()
            self.state = "off"

    def click(self, segment: str, ras: Sequence[float], axis: str, positive: bool = True) -> None:
        """Adds a point and previews its slice. axis: that of the view, for a segment that has none yet. Raises
        OutsideScan, SceneError.
        """
        axis = self.axes.of(segment) or axis
        slice_ = self.scene.grid().slice_of(ras, axis)
        self.axes.keep(segment, axis)
        self._keep_initial_mask(segment, slice_, axis)
        self.scene.add_point(segment, ras, positive)
        self.preview(segment, slice_)

    def box(self, segment: str, ras: Sequence[float], opposite: Sequence[float], axis: str) -> None:
        """Sets the box of a slice and previews it. Raises BadOption if the segment has another axis, OutsideScan,
        SceneError.
        """
        grid, kept = self.scene.grid(), self.axes.of(segment)
        if kept not in (None, axis):
            raise BadOption(
                _(
                    "{name}: its slices are {plane}, the box was drawn on "
                    "{other} slices. Draw it in a view of its slices, or choose other slices in the panel."
                ).format(name=self.scene.name(segment), plane=plane_of(grid, kept), other=plane_of(grid, axis))
            )
        slice_ = grid.slice_of(ras, axis)
        self.axes.keep(segment, axis)
        self._keep_initial_mask(segment, slice_, axis)
        self.scene.set_box(segment, ras, opposite, axis)
        self.preview(segment, slice_)

    def set_view_axis(self, slice_to_ras: Any) -> str:
        """Sets the default axis to that of a slice view, and returns it. Raises ObliqueView."""
        self.view_axis = axis_of_view(slice_to_ras, self.scene.grid())
        return self.view_axis

    def set_axis(self, segment: str, axis: str) -> None:
        """Chooses the axis of a segment. Its finished slices are prompts along the new axis. Raises BadOption."""
        if axis not in AXES:
            raise BadOption(_("axis: {axis!r}, expected one of {choices}").format(axis=axis, choices=", ".join(AXES)))
        if self.is_propagating:
            raise BadOption(_("A propagation is running: wait for it or cancel it."))
        self.axes.choose(segment, axis)
        self.scene.clear_previews()
        self._remove_queued("preview")
        self._changed()

    def undo_prompt(self, segment: str) -> None:
        """Removes the newest point."""
        self.scene.remove_last_point(segment)
        self.axes.forget_unused(segment)
        self._prompts_changed(segment)

    def clear_prompts(self, segment: str) -> None:
        """Removes every point and the box. Painted slices stay."""
        self.scene.clear_prompts(segment)
        self.axes.forget_unused(segment)
        self.scene.clear_previews()
        self._remove_queued("preview")
        for key in [key for key in self.initial_masks if key[0] == segment]:
            del self.initial_masks[key]
        self._changed()

    def preview(self, segment: str, slice_: int) -> None:
        """Shows the mask that the prompts of a slice predict, when the engine has it. A newer preview replaces an
        older one.
        """
        self._remove_queued("preview")
        self._enqueue("preview", jobs.preview(self, segment, slice_))

    def propagate(
        self,
        segments: Optional[Sequence[str]] = None,
        direction: str = "both",
        range: Optional[tuple[int, int]] = None,
        axis: Optional[str] = None,
    ) -> None:
        """Propagates the prompts to other slices.

        segments: None: the selected segment. Several segments share slice embeddings; the higher predicted IoU wins
        where they overlap.
        direction: "both", "up" (towards higher slice numbers) or "down".
        range: the first and the last slice, counted from 0, both included; None: the whole scan.
        axis: "i", "j" or "k"; None: that of the segment's prompts or painted slices, else of the view used last.
        Raises BadOption, SceneError.
        """
        if direction not in DIRECTIONS:
            raise BadOption(
                _("direction: {direction!r}, expected one of {choices}").format(
                    direction=direction, choices=", ".join(DIRECTIONS)
                )
            )
        if self.is_propagating:
            raise BadOption(_("A propagation is running: wait for it or cancel it."))
        chosen = [self.scene.selected()] if segments is None else list(segments)
        if not chosen or chosen[0] is None:
            raise BadOption(_("No segment is selected: add one or select one."))
        self._remove_queued("preview")
        self._cancelled = None
        self._enqueue("propagate", jobs.propagate(self, chosen, direction, range, axis))

    def cancel(self, keep: bool = True) -> None:
        """Ends the propagation after the current slice. keep: finished slices stay; otherwise the segments are
        restored.
        """
        if not self.is_propagating:
            return
        self._remove_queued("propagate")
        if self._job is not None and self._job[0] == "propagate":
            self._cancelled = keep
            if self.propagation is None:
                self._end_job()
                self._finish(_("Cancelled before the propagation started."))
            else:
                self.connection.send("cancel")
        self._changed()

    @property
    def can_discard(self) -> bool:
        """Whether the last propagation can be undone here: nothing was edited since."""
        return bool(self._last_run) and not self.is_propagating and self._last_run[1] == self.scene.edit_stamp()

    def discard_last(self) -> None:
        """Restores the segments as they were before the last propagation. Raises BadOption."""
        if not self.can_discard:
            raise BadOption(_("The segments were edited after the propagation: use the undo of the Segment Editor."))
        segments = self._last_run[0]
        self._last_run = None
        self.scene.undo()
        self.scene.update_surfaces()
        for segment in segments:
            self._reports.pop(segment, None)
        self._finish(_("Discarded: the segments are as before the propagation."))

    @property
    def is_propagating(self) -> bool:
        return any(name == "propagate" for name, _ in [*self._queue, *([self._job] if self._job else [])])

    @property
    def is_idle(self) -> bool:
        return self._job is None and not self._queue

    def report(self, segment: str) -> Optional[Report]:
        """The report of a segment's last propagation; None if there was none."""
        return self._reports.get(segment)

    def wait(self, seconds: float = 600.0) -> None:
        """Ticks until every job has ended; for scripts. Raises RuntimeError with the message of an error, or
        TimeoutError.
        """
        end = self._clock() + seconds
        while not self.is_idle:
            self.tick()
            if self._clock() > end:
                raise TimeoutError(
                    _("not finished after {seconds:g} s: {message}").format(seconds=seconds, message=self.message)
                )
            time.sleep(0.002)
        if self.error is not None:
            raise RuntimeError(self.error)

    # The timer.

    def tick(self) -> None:
        """Does a piece of work. To be called about every 15 ms."""
        self.connection.poll()
        until = self._clock() + TICK_SECONDS
        if self.propagation is not None and self._clock() >= self._next_write and self.propagation.pending:
            self.propagation.write(until, self._clock)
            self._next_write = self._clock() + WRITE_INTERVAL
        # At least one step, also on a computer that is busy with other programs.
        while True:
            if self._job is None:
                if not self._queue:
                    return
                self._job = self._queue.popleft()
                self.error = None
            if self.connection.is_waiting:
                return
            self._resume_job()
            if self._clock() >= until:
                return

    def _resume_job(self) -> None:
        try:
            self.connection.resume(self._job[1])
        except StopIteration:
            self._job = None
            if not self._queue:
                self._finish(self.message)
        except (RequestFailed, BadOption, OutsideScan, ObliqueView, self.scene.Error) as error:
            self._job = None
            self.propagation = None
            self._finish(str(error))
            self.error = str(error)
            self._changed()

    def _end_job(self) -> None:
        if self._job is not None:
            self._job[1].close()
            self._job = None
        self.propagation = None
        self.connection.forget()

    def _finish(self, message: str) -> None:
        self.progress = None
        self.show(self.connection.state, message)

    def _enqueue(self, name: str, job: Generator) -> None:
        self._queue.append((name, job))
        self._changed()

    def _remove_queued(self, name: str) -> None:
        """Removes jobs of one kind that have not begun."""
        self._queue = deque(job for job in self._queue if job[0] != name)

    def _changed(self) -> None:
        self.on_change()

    # Events of the engine and the scene.

    def _event(self, event: dict[str, Any]) -> None:
        if self.propagation is None:
            return
        if event["event"] == "progress":
            self.propagation.slice_finished(event["object"], event["slice"])
            self.progress = jobs.progress_of(self.propagation, event, self._clock())
            self.show("propagating", self.message)
        elif event["event"] == "changed":
            self.propagation.labels_updated()

    def _died(self, sentence: str) -> None:
        self.connection.died()
        if self._job is None:
            self.error = sentence
            self._finish(sentence)

    def _prompts_changed(self, segment: str) -> None:
        """The user moved or removed a prompt."""
        slices = self.connection.slices_with_changed_prompts(segment, self.axis_of(segment))
        self.scene.clear_previews()
        if slices:
            self.preview(segment, slices[-1])
        self._changed()

    # For jobs.

    def show(self, state: str, message: str) -> None:
        self.state, self.message = state, message
        self._changed()

    def history(self, segment: str) -> History:
        return self._histories.setdefault(segment, History())

    def keep_run(self, segments: list[str]) -> None:
        """A propagation has ended that has changed segments."""
        self._last_run = (list(segments), self.scene.edit_stamp())

    def keep_report(self, segment: str, report: Report) -> None:
        self._reports[segment] = report

    @property
    def cancelled(self) -> Optional[bool]:
        """None unless the propagation was cancelled; then whether its finished slices are kept."""
        return self._cancelled

    @property
    def now(self) -> float:
        return self._clock()

    def axis_of(self, segment: str) -> str:
        """The axis along which a segment is propagated."""
        return self.axes.of(segment) or self.view_axis or self.scene.grid().coarsest_axis

    def keep_axis(self, segment: str, axis: str) -> None:
        """A segment is propagated along an axis, and keeps it."""
        self.axes.keep(segment, axis)

    def _keep_initial_mask(self, segment: str, slice_: int, axis: str) -> None:
        """Keeps the mask of a slice when its first point is set: the points correct that mask."""
        if (segment, slice_) not in self.initial_masks:
            grid = self.scene.grid()
            box = Extent.of_slices(grid.shape, axis, slice_, slice_ + 1)
            self.initial_masks[segment, slice_] = self.scene.mask(segment, box).squeeze(AXES[axis])
