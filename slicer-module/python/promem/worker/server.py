"""The worker's loop: reads requests, answers them in their order, and tells of what runs meanwhile.

In: two descriptors. Out: messages, until the requests end. While a propagation runs, what would change the scan is refused; a computation
ahead gives way. Knows nothing of what the methods do.
"""

import os
import select
import sys
import traceback
from typing import Any, Callable, Optional

from ..errors import Busy, InvalidArgument, PromemError
from .jobs import NOT_BEGUN, Running
from .methods import ENDS, READS, RUNS, Methods, Result
from .protocol import BadMessage, Lines, decode, encode, request

# How long what runs is not looked at, in seconds.
_PATIENCE = 0.005
_CHUNK = 1 << 16


class Server:
    def __init__(self, requests: int, replies: int) -> None:
        self._requests, self._replies = requests, replies
        self._lines = Lines()
        self._methods = Methods()
        self._running: Optional[Running] = None
        self._running_number: Any = None
        # Requests that wait until what runs has ended: number, method, arguments.
        self._waiting: list[tuple[int, str, dict[str, Any]]] = []

    def run(self) -> None:
        """Returns when nobody asks or listens any more."""
        try:
            self._write({"event": "started", "pid": os.getpid()})
            while True:
                patience = None if self._running is None else _PATIENCE
                if select.select([self._requests], [], [], patience)[0]:
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
                line = self._lines.take()
                if line is None:
                    return
                message = decode(line)
                number = message.get("id")
                self._take(number, *request(message))
            except BadMessage as trouble:
                self._fail(number, "BadMessage", str(trouble))

    def _take(self, number: int, method: str, arguments: dict[str, Any]) -> None:
        """Answers a request, refuses it, or lets it wait."""
        running = self._running
        try:
            if method == "cancel":
                self._cancel(number, arguments)
                return
            self._methods.check(method, arguments)
            if running is not None and not (running.ahead or self._waiting or method in READS or method in ENDS):
                raise Busy(f"{method}: a propagation is running; expected it to end first, or cancel")
        except PromemError as trouble:
            self._fail(number, *_told(trouble))
            return
        if running is None or method in READS:
            self._reply(number, lambda: self._methods.call(method, arguments))
        else:
            running.cancel()
            self._waiting.append((number, method, arguments))

    def _cancel(self, number: int, arguments: dict[str, Any]) -> None:
        if arguments:
            raise InvalidArgument(f"cancel: {', '.join(arguments)}, expected no arguments")
        if self._running is not None:
            self._running.cancel()
        # What waits to run was asked for before this.
        for waiting in [waiting for waiting in self._waiting if waiting[1] in RUNS]:
            self._waiting.remove(waiting)
            self._write({"id": waiting[0], "result": NOT_BEGUN})
        self._write({"id": number, "result": {}})

    def _step(self) -> None:
        """Tells what has happened, and goes on with what waits."""
        running = self._running
        if running is not None:
            for event in running.step():
                self._write(event)
            if not running.ended:
                return
            number, self._running = self._running_number, None
            self._reply(number, running.outcome)
            # The first of them may run, and the others find it running.
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._take(*one)

    def _reply(self, number: int, work: Callable[[], Result]) -> None:
        try:
            result = work()
            if isinstance(result, Running):
                self._running, self._running_number = result, number
                return
            changed = self._methods.changed()
        except Exception as trouble:  # one request must not end the others
            self._fail(number, *_told(trouble))
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


def _told(trouble: Exception) -> tuple[str, str]:
    """The kind and the message of an error."""
    if isinstance(trouble, PromemError):
        return type(trouble).__name__, str(trouble)
    # Not refused by anything that knows what it is about: whoever looks for the reason needs the place.
    traceback.print_exception(type(trouble), trouble, trouble.__traceback__, file=sys.stderr)
    if isinstance(trouble, OSError):
        return "IoError", str(trouble)
    if isinstance(trouble, (TypeError, ValueError, OverflowError)):
        return "InvalidArgument", str(trouble)
    return "InternalError", f"{type(trouble).__name__}: {trouble}"
