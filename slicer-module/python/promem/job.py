"""Jobs: propagations in the background."""

import ctypes
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional

from . import _abi
from ._handle import Handle
from .errors import PromemError, error

if TYPE_CHECKING:
    from .session import Session

# Ctrl-C and a close from another thread are noticed this often, in seconds.
_PATIENCE = 0.1


@dataclass(frozen=True)
class SliceResult:
    """A slice that a propagation has made.

    score: the mask's predicted IoU; 1 for a mask that was given. found: False where the object was not found and its run ended.
    """

    object: int
    slice: int
    score: float
    found: bool


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    done: how many slices times objects; expected: of how many (it falls when a run ends early). error: why it ended without success;
    None while it runs and where it succeeded.
    """

    running: bool
    done: int
    expected: int
    error: Optional[PromemError]


class Job:
    """A propagation, or a computation ahead, in a thread of libpromem. While it runs, what changes its session raises Busy; what reads does not.

    Made by `Session.start_propagate` and `Session.start_precompute`. Any number of threads may use it. At the end of a `with` it is
    cancelled if it still runs, and freed. It keeps its session alive.
    """

    def __init__(self, session: "Session", make: Callable[[Any], Any]) -> None:
        self._session = session
        self._handle = Handle(self, "job", _abi.Job, make, "promem_job_free", "promem_job_cancel", keep=session)

    @property
    def session(self) -> "Session":
        return self._session

    def poll(self) -> JobState:
        """How far it is, at once."""
        state = _abi.JobState(struct_size=ctypes.sizeof(_abi.JobState))
        self._handle.call("promem_job_poll", ctypes.byref(state))
        return self._state(state)

    def ready(self) -> list[SliceResult]:
        """The slices that have become ready and were not taken yet, oldest first. Masks are read from the session."""
        taken: list[SliceResult] = []
        room, count = (_abi.SliceResult * 256)(), ctypes.c_size_t()
        while True:
            self._handle.call("promem_job_take_ready", room, len(room), ctypes.byref(count))
            taken += [SliceResult(r.object, r.slice, r.score, bool(r.found)) for r in room[: count.value]]
            if count.value < len(room):
                return taken

    def cancel(self) -> None:
        """Asks it to end after the slice that it is at; what is done is kept. Does nothing where it has ended."""
        self._handle.call("promem_job_cancel")

    def wait(self, timeout: Optional[float] = None) -> JobState:
        """Waits until it has ended, at most `timeout` seconds, and returns how far it is then.

        Errors: Cancelled, ComputeError, or whatever else ended it. Ctrl-C interrupts the wait, not the job.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        state = _abi.JobState(struct_size=ctypes.sizeof(_abi.JobState))
        while True:
            left = _PATIENCE if limit is None else min(_PATIENCE, max(0.0, limit - time.monotonic()))
            self._handle.call("promem_job_wait", round(1000 * left), ctypes.byref(state))
            if not state.running or (limit is not None and time.monotonic() >= limit):
                break
        told = self._state(state)
        if told.error is not None:
            raise told.error
        return told

    def close(self) -> None:
        """Cancels it if it still runs, waits for its end, and frees it. Closing twice is allowed."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _state(self, state: _abi.JobState) -> JobState:
        failure = None
        if not state.running and state.status != _abi.STATUSES["PROMEM_OK"]:
            failure = error(state.status, self._handle.call("promem_job_error_message").decode(errors="replace"))
        return JobState(bool(state.running), state.done, state.expected, failure)
