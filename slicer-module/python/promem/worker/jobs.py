"""A background job, whose reply comes when it has ended.

In: a job of libpromem. Out: events while it runs, and its result. Knows nothing of the message format.
"""

import math
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

from ..errors import Cancelled
from ..job import Job

# The result of a job that was cancelled before it began.
CANCELLED_BEFORE_START = {"cancelled": True, "seconds": 0.0, "done": 0, "expected": 0}


def none_if_nan(score: float) -> Optional[float]:
    """None for NaN, which JSON does not have."""
    return None if math.isnan(score) else score


class RunningJob:
    """publish: writes changed labels, and returns their box. ahead: a precomputation, which yields to every request."""

    def __init__(self, job: Job, ahead: bool, publish: Callable[[], Optional[list[int]]]) -> None:
        self._job, self._publish = job, publish
        self.ahead = ahead
        self._began = time.monotonic()
        self._done = 0
        self._state = job.poll()

    def cancel(self) -> None:
        self._job.cancel()

    def step(self) -> Iterator[dict[str, Any]]:
        """The events since the last step. After the last one, `ended` is true."""
        before = self._state.done
        # The state is read before the slices: if the job has ended, these are the last slices.
        self._state = self._job.poll()
        ready = self._job.ready()
        if self.ahead and self._state.done != before:
            yield {"event": "ahead", "done": self._state.done, "expected": self._state.expected}
        # Labels are written before the events of their slices.
        changed = self._publish()
        for made in ready:
            self._done += 1
            yield {
                "event": "progress",
                "object": made.object,
                "slice": made.slice,
                "done": self._done,
                "expected": max(self._state.expected, self._done),
                "score": none_if_nan(made.score),
                "found": made.found,
            }
        if changed is not None:
            yield {"event": "changed", "extent": changed}

    @property
    def ended(self) -> bool:
        return not self._state.running

    def outcome(self) -> dict[str, Any]:
        """The result. Raises the error of the job, except a cancel."""
        state, seconds = self._state, time.monotonic() - self._began
        self._job.close()
        cancelled = isinstance(state.error, Cancelled)
        if state.error is not None and not cancelled:
            raise state.error
        return {"cancelled": cancelled, "seconds": seconds, "done": state.done, "expected": state.expected}
