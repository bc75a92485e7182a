"""The connection to the engine: its requests, and the model, the scan and the prompts that it holds.

In: an engine, options, the scene's scan. Out: an engine with that model and that scan. Voxels are copied in pieces,
and nothing is sent twice.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np
from promem.worker import EngineError

from .i18n import _
from .options import Options
from .prompts import placed_prompts

# Bytes of the scan that are copied between two yields, in a few milliseconds.
PIECE_BYTES = 4 << 20
# Objects are numbered from 1 to this in the engine's labels.
MAX_OBJECTS = 65535


class RequestFailed(Exception):
    """A request has failed. kind: the name of the exception in the worker, or "Died"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Request:
    """A request and, once it is settled, its result or failure."""

    def __init__(self) -> None:
        self.settled = False
        self.result: dict[str, Any] = {}
        self.failure: Optional[RequestFailed] = None

    def done(self, result: dict[str, Any]) -> None:
        self.settled, self.result = True, result

    def failed(self, error: Any) -> None:
        self.settled, self.failure = True, RequestFailed(error.kind, error.message)


@dataclass
class Scan:
    """The scan in the engine: identified by `stamp`, sliced across `axis`, with the intensity window `window`."""

    stamp: Any
    grid: Any
    voxels: Any
    results: Any
    axis: str
    window: Optional[tuple[float, float]]
    slices: int

    @property
    def labels(self) -> np.ndarray:
        """The object number of each voxel, [k, j, i]; written by the engine."""
        return self.results.array

    def close(self) -> None:
        self.voxels.close()
        self.results.close()


# A job yields a request to wait for, or None after a piece of work.
Steps = Generator[Optional[Request], dict[str, Any], Any]


class EngineConnection:
    """Keeps the engine's model, scan and prompts up to date."""

    def __init__(self, engine: Any, scene: Any) -> None:
        self._engine = engine
        self._scene = scene
        self._waiting_for: Optional[Request] = None
        self._model: Optional[tuple] = None
        self.model: Optional[dict[str, Any]] = None
        self.scan: Optional[Scan] = None
        self._objects: dict[str, int] = {}
        # The prompts in the engine: object -> slice -> key of its points and box.
        self.sent_prompts: dict[int, dict[int, Any]] = {}

    # Requests.

    def poll(self) -> None:
        self._engine.poll()

    def send(self, method: str, **arguments: Any) -> None:
        """Sends a request and ignores its reply."""
        self._engine.send(method, **arguments)

    def call(self, method: str, **arguments: Any) -> Request:
        """Sends a request. A job yields it to wait for the reply."""
        call = Request()
        self._engine.send(method, done=call.done, failed=call.failed, **arguments)
        return call

    @property
    def is_waiting(self) -> bool:
        return self._waiting_for is not None and not self._waiting_for.settled

    def resume(self, job: Steps) -> None:
        """Resumes a job with the reply that it waits for, up to its next yield. Raises StopIteration at its end."""
        call, self._waiting_for = self._waiting_for, None
        if call is None:
            self._waiting_for = next(job)
        elif call.failure is not None:
            self._waiting_for = job.throw(call.failure)
        else:
            self._waiting_for = job.send(call.result)

    def forget(self) -> None:
        """Ignores the reply of the last request."""
        self._waiting_for = None

    # The state of the engine.

    @property
    def state(self) -> str:
        if self._model is None:
            return "off"
        return "ready"

    def died(self) -> None:
        """The engine has ended. Its last labels can still be read."""
        self._model = self.model = None
        if self.scan is not None:
            self.scan.stamp = None
        self.sent_prompts.clear()

    def close(self) -> None:
        self._engine.stop()
        self._model = self.model = None
        self._drop_scan()
        self.sent_prompts.clear()

    def _drop_scan(self) -> None:
        if self.scan is not None:
            self.scan.close()
            self.scan = None

    def object(self, segment: str) -> int:
        """The object number of a segment."""
        if segment not in self._objects:
            self._objects[segment] = len(self._objects) % MAX_OBJECTS + 1
        return self._objects[segment]

    def load(self, options: Options, show: Callable[[str, str], None]) -> Steps:
        """Starts the engine and loads the model, unless that is done."""
        if self._engine.state == "stopped":
            show("starting", _("Starting the engine …"))
            self._engine.start()
            yield self.call("hello")
        arguments = options.model_arguments
        wanted = tuple(sorted((key, str(value)) for key, value in arguments.items()))
        if wanted != self._model:
            show("loading model", _("Loading the model …"))
            self._model = None
            self._drop_scan()
            self.sent_prompts.clear()
            self.model = yield self.call("load_model", **arguments)
            self._model = wanted

    def open(self, options: Options, axis: str, show: Callable[[str, str], None]) -> Steps:
        """Brings model, scan, axis and intensity window in the engine up to date."""
        yield from self.load(options, show)
        window = self._scene.window() if options.intensity == "displayed" else None
        stamp = self._scene.source_stamp()
        if self.scan is None or self.scan.stamp != stamp:
            yield from self._send_scan(stamp, axis, window, show)
        if self.scan.axis != axis:
            self.scan.slices = (yield self.call("set_axis", axis=axis))["slices"]
            self.scan.axis = axis
            self.sent_prompts.clear()
        if self.scan.window != window:
            yield self.call("set_window", window=window)
            self.scan.window = window

    def _send_scan(self, stamp: Any, axis: str, window: Any, show: Callable[[str, str], None]) -> Steps:
        show("sending scan", _("Sending the scan to the engine …"))
        self._drop_scan()
        self.sent_prompts.clear()
        grid, source = self._scene.grid(), self._scene.voxels()
        try:
            voxels = self._engine.scan_memory(source.shape, source.dtype)
            results = self._engine.scan_memory(source.shape, np.dtype(np.uint16))
        except EngineError as error:
            raise RequestFailed(error.kind, error.message) from error
        step = max(1, PIECE_BYTES // max(1, source[0].nbytes))
        for first in range(0, len(source), step):
            voxels.array[first : first + step] = source[first : first + step]
            yield None
        try:
            opened = yield self.call(
                "open_scan",
                memory=voxels.name,
                shape=list(source.shape),
                dtype=source.dtype.str,
                ijk_to_ras=grid.ijk_to_ras.tolist(),
                axis=axis,
                window=window,
                results=results.name,
            )
        except RequestFailed:
            voxels.close()
            results.close()
            raise
        self.scan = Scan(stamp, grid, voxels, results, axis, window, opened["slices"])

    # Prompts.

    def set_prompts(self, segment: str, prompts: dict[int, dict[str, Any]]) -> Steps:
        """Replaces all prompts of a segment: slice -> points, box and packed mask."""
        number = self.object(segment)
        yield self.call("set_prompts", object=number, slices=[{"slice": at, **prompts[at]} for at in sorted(prompts)])
        if prompts:
            self.sent_prompts[number] = {at: prompt_key(prompts[at]) for at in prompts}
        else:
            self.sent_prompts.pop(number, None)

    def clear_other_prompts(self, but: list[str]) -> Steps:
        """Removes the prompts of all other segments, so that they take no part in the propagation and its overlaps."""
        kept = {self.object(segment) for segment in but}
        for number in [number for number in self.sent_prompts if number not in kept]:
            yield self.call("set_prompts", object=number, slices=[])
            del self.sent_prompts[number]

    def slices_with_changed_prompts(self, segment: str, axis: str) -> list[int]:
        """Slices with points or a box that differ from those in the engine."""
        if self.scan is None or self.scan.stamp is None or self.scan.axis != axis:
            return []
        sent_prompts = self.sent_prompts.get(self.object(segment), {})
        placed = placed_prompts(self._scene, self.scan.grid, segment, axis)
        return [at for at in sorted(placed) if prompt_key(placed[at]) != sent_prompts.get(at)]


def prompt_key(prompts: dict[str, Any]) -> tuple:
    """A value to compare the points and the box of a slice by."""
    return repr(prompts.get("points") or []), repr(prompts.get("box"))
