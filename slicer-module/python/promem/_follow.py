"""Follows a job: its slices for everyone who asks for them, and a callback for each.

In: a job's handle. Out: slices, and calls on a thread of this package. The thread knows the handle, not the Job, which
may be forgotten meanwhile. Knows nothing of masks.
"""

import contextlib
import ctypes
import threading
import time
from typing import Optional

from . import _abi
from ._callbacks import goes_on
from ._handle import Handle
from .errors import Closed, PromemError
from .progress import Progress, ProgressCallback, SliceResult

# A slice is told of this late at most, in seconds.
_PATIENCE = 0.02


def wait(handle: Handle, seconds: float) -> _abi.JobState:
    """How far a job is when it has ended, or after so many seconds."""
    state = _abi.JobState(struct_size=ctypes.sizeof(_abi.JobState))
    handle.call("promem_job_wait", round(1000 * seconds), ctypes.byref(state))
    return state


class SliceFeed:
    """The slices that a job has made, of which each reader gets all, oldest first."""

    def __init__(self, handle: Handle, readers: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self._untaken: list[list[SliceResult]] = [[] for _ in range(readers)]

    def take(self, reader: int) -> list[SliceResult]:
        """What has come since this reader's last call."""
        with self._lock:
            made = self._fetch()
            for untaken in self._untaken:
                untaken += made
            taken, self._untaken[reader] = self._untaken[reader], []
            return taken

    def _fetch(self) -> list[SliceResult]:
        taken: list[SliceResult] = []
        room, count = (_abi.SliceResult * 256)(), ctypes.c_size_t()
        while True:
            self._handle.call("promem_job_take_ready", room, len(room), ctypes.byref(count))
            taken += [SliceResult(r.object, r.slice, r.score, bool(r.found)) for r in room[: count.value]]
            if count.value < len(room):
                return taken


class Follower:
    """A thread that tells of each slice until the job ends. What the callback raises cancels the job and stays in
    `error`.
    """

    def __init__(self, handle: Handle, feed: SliceFeed, reader: int, progress: ProgressCallback) -> None:
        self.error: Optional[BaseException] = None
        self._handle, self._feed, self._reader, self._progress = handle, feed, reader, progress
        self._thread = threading.Thread(target=self._follow, name="promem progress", daemon=True)
        self._thread.start()

    def join(self, limit: Optional[float] = None) -> None:
        """Waits until everything was told, at the latest until `limit` of the monotonic clock. Inside the callback it
        waits for nothing.
        """
        if threading.current_thread() is not self._thread:
            self._thread.join(None if limit is None else max(0.0, limit - time.monotonic()))

    def _follow(self) -> None:
        try:
            self._tell()
        except BaseException as error:
            # A job that was closed meanwhile has nothing more to tell.
            if not (isinstance(error, Closed) and self._handle.closed):
                self.error = error
                with contextlib.suppress(PromemError):
                    self._handle.call("promem_job_cancel")

    def _tell(self) -> None:
        done, running = 0, True
        while running:
            state = wait(self._handle, _PATIENCE)
            running = bool(state.running)
            for made in self._feed.take(self._reader):
                done += 1
                expected = max(done, state.expected)
                told = Progress(made.object, made.slice, done, expected, made.score, made.found)
                if not goes_on(self._progress(told)):
                    self._handle.call("promem_job_cancel")
                    return
