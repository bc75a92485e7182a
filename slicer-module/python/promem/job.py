"""Jobs: propagations in the background."""

import ctypes
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional

from . import _abi, _follow
from ._handle import Handle, Owner
from .errors import PromemError, error
from .progress import ProgressCallback, SliceResult

if TYPE_CHECKING:
    from .session import Session

# Ctrl-C and a close from another thread are noticed this often, in seconds.
_PATIENCE = 0.1


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    done: how many slices times objects; expected: of how many (it falls when a run ends early). error: why it ended
    without success; None while it runs and where it succeeded.
    """

    running: bool
    done: int
    expected: int
    error: Optional[PromemError]


class Job(Owner):
    """A propagation, or a computation ahead, in a thread of libpromem. While it runs, what changes its session raises
    Busy; what reads does not.

    Made by `Session.start_propagate` and `Session.start_precompute`. Any number of threads may use it. At the end of a
    `with`, and with the last reference to it, it is cancelled if it still runs, and freed. It keeps its session alive.
    """

    _instead_of_a_copy = (
        "it is one computation of this process; threads share it, and session.labels() gives an array of its own"
    )

    def __init__(
        self, session: "Session", make: Callable[[Any], Any], progress: Optional[ProgressCallback] = None
    ) -> None:
        self._session = session
        self._handle = Handle(self, "job", _abi.Job, make, "promem_job_free", "promem_job_cancel", keep=session)
        self._feed = _follow.SliceFeed(self._handle, 1 if progress is None else 2)
        self._follower = None if progress is None else _follow.Follower(self._handle, self._feed, 1, progress)

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
        return self._feed.take(0)

    def cancel(self) -> None:
        """Asks it to end after the slice that it is at; what is done is kept. Does nothing where it has ended."""
        self._handle.call("promem_job_cancel")

    def wait(self, timeout: Optional[float] = None) -> JobState:
        """Waits until it has ended and every call of its progress callback has returned, at most `timeout` seconds;
        returns how far it is then.

        Errors: Cancelled, ComputeError, or whatever else ended it; what its progress callback raised, unchanged. Ctrl-C
        interrupts the wait, not the job.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _PATIENCE if limit is None else min(_PATIENCE, max(0.0, limit - time.monotonic()))
            state = _follow.wait(self._handle, left)
            if not state.running or (limit is not None and time.monotonic() >= limit):
                break
        told = self._state(state)
        if self._follower is not None and not told.running:
            self._follower.join(limit)
            if self._follower.error is not None:
                raise self._follower.error
        if told.error is not None:
            raise told.error
        return told

    def close(self) -> None:
        """Cancels it if it still runs, waits for its end and for a call of its progress callback, and frees it. Closing
        twice is allowed.
        """
        super().close()
        if self._follower is not None:
            self._follower.join()

    def _describe(self) -> str:
        state = self.poll()
        how = "running" if state.running else "ended"
        if state.error is not None:
            how += f" by {type(state.error).__name__}"
        return f"{how}, {state.done} of {state.expected} slices"

    def _state(self, state: _abi.JobState) -> JobState:
        failure = None
        if not state.running and state.status != _abi.STATUSES["PROMEM_OK"]:
            failure = error(state.status, self._handle.call("promem_job_error_message").decode(errors="replace"))
        return JobState(bool(state.running), state.done, state.expected, failure)
