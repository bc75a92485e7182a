"""What the effect does, without a widget: prompts become previews, segments become runs of the engine, slices become writes to the scene.

In: clicks, choices, and a tick every few milliseconds. Out: a state that a panel shows, previews and segments in the scene. Knows neither Qt
nor MRML: `scene` and `engine` are what `scene.Scene` and `promem.worker.Engine` are.

Work is cut into pieces: a job is a generator that yields after each piece and wherever it waits for the engine. One job runs at a time, and
none keeps a tick for longer than TICK_SECONDS, so that the application stays quick.
"""

import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, Callable, Optional

from . import jobs
from .connection import EngineConnection, RequestFailed
from .grid import AXES, Extent, ObliqueView, OutsideScan, axis_of_view
from .options import DIRECTIONS, BadOption, Options
from .propagation import Propagation
from .report import Progress, Report
from .slice_history import History, axis_of_single_slice

# Seconds of work in one tick.
TICK_SECONDS = 0.012
# Seconds between two looks at what the engine has found: each write redraws the views.
WRITE_INTERVAL = 0.15
# A segment's axis is looked for in its voxels only where they are so few.
MAX_VOXELS_FOR_AXIS = 16_000_000


class Controller:
    """One per editor. `on_change` is called, within `tick` or the calls below, when something that a panel shows has changed."""

    def __init__(self, engine: Any, scene: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.scene = scene
        self.options = Options()
        self.state = "off"
        self.message = ""
        self.error: Optional[str] = None
        self.progress: Optional[Progress] = None
        self.on_change: Callable[[], None] = lambda: None
        # The axis for what has none of its own: the host sets it to that of the view last used.
        self.view_axis: Optional[str] = None
        self.connection = EngineConnection(engine, scene)
        self.propagation: Optional[Propagation] = None
        self.initial_masks: dict[tuple[str, int], Any] = {}
        self._clock = clock
        self._histories: dict[str, History] = {}
        self._axes: dict[str, str] = {}
        self._reports: dict[str, Report] = {}
        self._queue: deque[tuple[str, Generator]] = deque()
        self._job: Optional[tuple[str, Generator]] = None
        self._next_write = 0.0
        self._cancelled: Optional[bool] = None
        engine.on_event = self._event
        engine.on_died = self._died
        scene.on_prompts_changed = self._prompts_changed

    # What a user does.

    def activate(self) -> None:
        """Starts the engine and loads the model, so that the first click finds it ready."""
        if self.state == "off":
            self._enqueue("activate", jobs.activate(self))

    def deactivate(self) -> None:
        """The user goes to another effect: previews go away, prompts stay, a propagation goes on."""
        self.scene.clear_previews()
        self._remove_queued("preview")
        if self._job is not None and self._job[0] == "preview":
            self._end_job()
            self._finish(self.message)

    def close(self) -> None:
        """Ends everything; nothing of it is left."""
        self._end_job()
        self._queue.clear()
        self.connection.close()
        self.scene.close()
        self.state = "off"

    def click(self, segment: str, ras: Sequence[float], axis: str, positive: bool = True) -> None:
        """Adds a point, and previews its slice. Raises OutsideScan, SceneError."""
        grid = self.scene.grid()
        slice_ = grid.slice_of(ras, axis)
        self._axes[segment] = axis
        self._keep_initial_mask(segment, slice_, axis)
        self.scene.add_point(segment, ras, positive)
        self.preview(segment, slice_)

    def box(self, segment: str, ras: Sequence[float], opposite: Sequence[float], axis: str) -> None:
        """Sets the box of a slice, and previews it. Raises OutsideScan, SceneError."""
        slice_ = self.scene.grid().slice_of(ras, axis)
        self._axes[segment] = axis
        self._keep_initial_mask(segment, slice_, axis)
        self.scene.set_box(segment, ras, opposite, axis)
        self.preview(segment, slice_)

    def set_view_axis(self, slice_to_ras: Any) -> str:
        """The axis of a slice view, kept for what has none of its own. Raises ObliqueView."""
        self.view_axis = axis_of_view(slice_to_ras, self.scene.grid())
        return self.view_axis

    def undo_prompt(self, segment: str) -> None:
        """Takes the newest point back."""
        self.scene.remove_last_point(segment)
        self._prompts_changed(segment)

    def clear_prompts(self, segment: str) -> None:
        """Takes back every point and the box; what is painted stays."""
        self.scene.clear_prompts(segment)
        self.scene.clear_previews()
        self._remove_queued("preview")
        self._axes.pop(segment, None)
        for key in [key for key in self.initial_masks if key[0] == segment]:
            del self.initial_masks[key]
        self._changed()

    def preview(self, segment: str, slice_: int) -> None:
        """Shows what the prompts of a slice select there, as soon as the engine has it; the newest wish wins."""
        self._remove_queued("preview")
        self._enqueue("preview", jobs.preview(self, segment, slice_))

    def propagate(
        self,
        segments: Optional[Sequence[str]] = None,
        direction: str = "both",
        range: Optional[tuple[int, int]] = None,
        axis: Optional[str] = None,
    ) -> None:
        """Segments the slices around the prompts.

        segments: None: the selected one; several share what the engine computes of a slice, and overlaps go to the better score.
        direction: "both", "up" (towards higher slice numbers) or "down". range: first and last slice to stay within, counted from 0, both
        inside. axis: "i", "j" or "k"; None: that of the clicks, else of what is painted, else of the view last used.
        Raises BadOption, SceneError.
        """
        if direction not in DIRECTIONS:
            raise BadOption(f"direction: {direction!r}, expected one of {', '.join(DIRECTIONS)}")
        if self.is_propagating:
            raise BadOption("A propagation is running: wait for it or cancel it.")
        chosen = [self.scene.selected()] if segments is None else list(segments)
        if not chosen or chosen[0] is None:
            raise BadOption("No segment is selected: add one or select one.")
        self._remove_queued("preview")
        self._cancelled = None
        self._enqueue("propagate", jobs.propagate(self, chosen, direction, range, axis))

    def cancel(self, keep: bool = True) -> None:
        """Ends the propagation after the slice that it is at. keep: what is there stays; else the segments become what they were."""
        if not self.is_propagating:
            return
        self._remove_queued("propagate")
        if self._job is not None and self._job[0] == "propagate":
            self._cancelled = keep
            if self.propagation is None:
                self._end_job()
                self._finish("Cancelled before the propagation started.")
            else:
                self.connection.send("cancel")
        self._changed()

    @property
    def is_propagating(self) -> bool:
        return any(name == "propagate" for name, _ in [*self._queue, *([self._job] if self._job else [])])

    @property
    def is_idle(self) -> bool:
        return self._job is None and not self._queue

    def report(self, segment: str) -> Optional[Report]:
        """What the last propagation of a segment found; None where there was none."""
        return self._reports.get(segment)

    def wait(self, seconds: float = 600.0) -> None:
        """Ticks until nothing is to be done; for scripts. Raises the sentence of what went wrong, or TimeoutError."""
        end = self._clock() + seconds
        while not self.is_idle:
            self.tick()
            if self._clock() > end:
                raise TimeoutError(f"not finished after {seconds:g} s: {self.message}")
            time.sleep(0.002)
        if self.error is not None:
            raise RuntimeError(self.error)

    # What the host's timer does.

    def tick(self) -> None:
        """A piece of work; to be called every 15 ms or so."""
        self.connection.poll()
        until = self._clock() + TICK_SECONDS
        if self.propagation is not None and self._clock() >= self._next_write and self.propagation.pending:
            self.propagation.write(until, self._clock)
            self._next_write = self._clock() + WRITE_INTERVAL
        while self._clock() < until:
            if self._job is None:
                if not self._queue:
                    return
                self._job = self._queue.popleft()
                self.error = None
            if self.connection.is_waiting:
                return
            self._resume_job()

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
        """Takes jobs back that have not begun."""
        self._queue = deque(job for job in self._queue if job[0] != name)

    def _changed(self) -> None:
        self.on_change()

    # What the engine and the scene tell.

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
        """A point was dragged or taken away."""
        slices = self.connection.slices_with_changed_prompts(segment, self.axis_of(segment))
        self.scene.clear_previews()
        if slices:
            self.preview(segment, slices[-1])
        self._changed()

    # What jobs need.

    def show(self, state: str, message: str) -> None:
        self.state, self.message = state, message
        self._changed()

    def history(self, segment: str) -> History:
        return self._histories.setdefault(segment, History())

    def keep_report(self, segment: str, report: Report) -> None:
        self._reports[segment] = report

    @property
    def cancelled(self) -> Optional[bool]:
        """Whether the run was cancelled: None, or whether what is there is kept."""
        return self._cancelled

    @property
    def now(self) -> float:
        return self._clock()

    def axis_of(self, segment: str) -> str:
        """The axis that a segment is propagated along."""
        if segment in self._axes:
            return self._axes[segment]
        box = self.scene.occupied(segment)
        if box is not None and box.shape[0] * box.shape[1] * box.shape[2] <= MAX_VOXELS_FOR_AXIS:
            painted = axis_of_single_slice(Extent.of(self.scene.mask(segment, box), box.first))
            if painted is not None:
                return painted
        return self.view_axis or self.scene.grid().coarsest_axis

    def _keep_initial_mask(self, segment: str, slice_: int, axis: str) -> None:
        """What is on a slice when the first point is set there: the points say what is wrong with it."""
        if (segment, slice_) not in self.initial_masks:
            grid = self.scene.grid()
            box = Extent.of_slices(grid.shape, axis, slice_, slice_ + 1)
            self.initial_masks[segment, slice_] = self.scene.mask(segment, box).squeeze(AXES[axis])
