"""The loop of the worker: reads requests, answers them in order, and reports a running job.

In: two descriptors. Out: messages, until the requests end. During a propagation, requests that would change the scan
are rejected; a precomputation yields to them. Knows nothing of the methods.
"""

import os
import pathlib
import select
import sys
import traceback
from typing import Any, Callable, Optional

from .. import __version__
from ..errors import Busy, InvalidArgument, PromemError
from .jobs import CANCELLED_BEFORE_START, RunningJob
from .methods import BACKGROUND, ENDS_PROPAGATION, READ_ONLY, Methods, Result
from .protocol import BadMessage, LineReader, decode, encode, request

# Seconds between two checks of a running job.
_POLL_SECONDS = 0.005
_CHUNK = 1 << 16
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


class Server:
    def __init__(self, requests: int, replies: int) -> None:
        self._requests, self._replies = requests, replies
        self._lines = LineReader()
        self._methods = Methods()
        self._running: Optional[RunningJob] = None
        self._running_number: Any = None
        # Requests that wait for the end of a job: number, method, arguments.
        self._waiting: list[tuple[int, str, dict[str, Any]]] = []

    def run(self) -> None:
        """Returns when the client has closed its pipes."""
        try:
            self._write({"event": "started", "pid": os.getpid(), "version": __version__, "package": str(_PACKAGE)})
            while True:
                timeout = None if self._running is None else _POLL_SECONDS
                if select.select([self._requests], [], [], timeout)[0]:
                    data = os.read(self._requests, _CHUNK)
                    if not data:
                        return
                    self._lines.add(data)
                    self._read()
                self._step()
        except BrokenPipeError:
            return

    def _read(self) -> None:
        while True:
            number: Any = None
            try:
                line = self._lines.next_line()
                if line is None:
                    return
                message = decode(line)
                number = message.get("id")
                self._handle(number, *request(message))
            except BadMessage as error:
                self._fail(number, "BadMessage", str(error))

    def _handle(self, number: int, method: str, arguments: dict[str, Any]) -> None:
        """Answers a request, rejects it, or lets it wait."""
        running = self._running
        try:
            if method == "cancel":
                self._cancel(number, arguments)
                return
            self._methods.check(method, arguments)
            if running is not None and not (
                running.ahead or self._waiting or method in READ_ONLY or method in ENDS_PROPAGATION
            ):
                raise Busy(f"{method}: a propagation is running; expected it to end first, or cancel")
        except PromemError as error:
            self._fail(number, *_error_reply(error))
            return
        if running is None or method in READ_ONLY:
            self._reply(number, lambda: self._methods.call(method, arguments))
        else:
            running.cancel()
            self._waiting.append((number, method, arguments))

    def _cancel(self, number: int, arguments: dict[str, Any]) -> None:
        if arguments:
            raise InvalidArgument(f"cancel: {', '.join(arguments)}, expected no arguments")
        if self._running is not None:
            self._running.cancel()
        # Waiting jobs were requested before the cancel.
        for waiting in [waiting for waiting in self._waiting if waiting[1] in BACKGROUND]:
            self._waiting.remove(waiting)
            self._write({"id": waiting[0], "result": CANCELLED_BEFORE_START})
        self._write({"id": number, "result": {}})

    def _step(self) -> None:
        """Sends the events of a running job, and handles waiting requests after its end."""
        running = self._running
        if running is not None:
            for event in running.step():
                self._write(event)
            if not running.ended:
                return
            number, self._running = self._running_number, None
            self._reply(number, running.outcome)
            # The first of them may start a job, which the others find running.
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._handle(*one)

    def _reply(self, number: int, work: Callable[[], Result]) -> None:
        try:
            result = work()
            if isinstance(result, RunningJob):
                self._running, self._running_number = result, number
                return
            changed = self._methods.changed()
        except Exception as error:  # one request must not end the others
            self._fail(number, *_error_reply(error))
            return
        if changed is not None:
            self._write({"event": "changed", "extent": changed})
        self._write({"id": number, "result": result})

    def _fail(self, number: Any, kind: str, message: str) -> None:
        known = number if isinstance(number, int) and not isinstance(number, bool) else None
        self._write({"id": known, "error": {"kind": kind, "message": message}})

    def _write(self, message: dict[str, Any]) -> None:
        left = memoryview(encode(message))
        while left:
            left = left[os.write(self._replies, left) :]


def _error_reply(error: Exception) -> tuple[str, str]:
    """The kind and the message of an error."""
    if isinstance(error, PromemError):
        return type(error).__name__, str(error)
    # An unexpected error: the traceback in stderr shows its place.
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    if isinstance(error, OSError):
        return "IoError", str(error)
    if isinstance(error, (TypeError, ValueError, OverflowError)):
        return "InvalidArgument", str(error)
    return "InternalError", f"{type(error).__name__}: {error}"
