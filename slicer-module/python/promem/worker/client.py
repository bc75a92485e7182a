"""The client side of the engine.

In: requests, and a call of `poll` every few milliseconds. Out: replies and events, as calls inside `poll`. There are no
threads and nothing but `ask` waits: where a window is drawn, no more than a few milliseconds may be lost. Knows nothing
of what is asked.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Union

from .. import __version__
from .._resource import Resource
from ..errors import PromemError
from .memory import SharedArray
from .process import PACKAGE, WorkerProcess, default_command
from .protocol import BadMessage, decode, encode

# Seconds that one poll may take.
_POLL_SECONDS = 0.004
# Seconds between two polls of `ask`.
_ASK_INTERVAL = 0.002

Done = Callable[[dict[str, Any]], Any]
Failed = Callable[["EngineError"], Any]


class EngineError(Exception):
    """Why a request has failed. kind: the name of the exception in the worker, such as "InvalidArgument"; "Died" where
    the worker ended.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Engine(Resource):
    """One worker at a time, with one model and one scan.

    on_event: called with each event of the worker. on_died: called once for each worker that ended unasked, with a
    sentence that says why, after every open request has failed; `start` works again then. Not for several threads at
    once.
    """

    _instead_of_a_copy = "it has a process of its own; make another promem.worker.Engine"

    def __init__(
        self,
        command: Optional[Sequence[str]] = None,
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        """command: how to start Python; None: the one that runs this. environment: the worker's; None: that of this
        process.
        """
        self.on_event: Optional[Callable[[dict[str, Any]], Any]] = None
        self.on_died: Optional[Callable[[str], Any]] = None
        self._command = default_command() if command is None else list(command)
        self._given_environment = environment
        self._worker: Optional[WorkerProcess] = None
        self._has_started = False  # whether the worker has sent its first message
        self._last_lines: list[str] = []
        self._number = 0
        self._pending: dict[int, tuple[Optional[Done], Optional[Failed], str]] = {}
        self._callbacks: deque[Callable[[], Any]] = deque()
        self._polling = False

    @property
    def state(self) -> str:
        """ "stopped", "starting" or "running"."""
        if self._worker is None:
            return "stopped"
        return "running" if self._has_started else "starting"

    @property
    def pid(self) -> Optional[int]:
        return None if self._worker is None else self._worker.pid

    @property
    def last_lines(self) -> list[str]:
        """What the worker, or the last one, wrote to stderr, at most 50 lines."""
        return self._last_lines if self._worker is None else self._worker.last_lines

    def start(self) -> None:
        """Starts a worker unless one runs. Where that is not possible, the next `poll` tells of a death."""
        if self._worker is not None:
            return
        self._has_started, self._last_lines = False, []
        try:
            self._worker = WorkerProcess(self._command, self._given_environment)
        except (OSError, ValueError) as error:
            self._worker_ended(f"The engine cannot be started: {error}.")

    def send(self, method: str, done: Optional[Done] = None, failed: Optional[Failed] = None, **arguments: Any) -> int:
        """Asks for something. Either `done`, with the result, or `failed` is called later, inside `poll`. Returns the
        request's number.

        A request that fails and has no `failed` is written to the log. TypeError, ValueError: an argument that JSON
        does not know.
        """
        self._number += 1
        line = encode({"id": self._number, "method": method, "arguments": arguments})
        self._pending[self._number] = (done, failed, method)
        if self._worker is None:
            self._fail(self._number, EngineError("Died", "The engine is not running."))
        else:
            self._worker.write(line)
        return self._number

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Asks for something and waits for the result, for programs without a window; events come meanwhile. Errors:
        EngineError.
        """
        if self._polling:
            raise RuntimeError(f"{method}: ask was called inside of poll, where no answer can come; expected send")
        answers: list[Union[dict[str, Any], EngineError]] = []
        self.send(method, done=answers.append, failed=answers.append, **arguments)
        while not answers:
            self.poll()
            if not answers:
                time.sleep(_ASK_INTERVAL)
        (answer,) = answers
        if isinstance(answer, EngineError):
            raise answer
        return answer

    def poll(self) -> None:
        """Sends, receives, and tells, for a few milliseconds at most, apart from what is called takes. Inside of itself
        it does nothing.
        """
        if self._polling:
            return
        self._polling = True
        try:
            self._poll(time.monotonic() + _POLL_SECONDS)
        finally:
            self._polling = False

    def _poll(self, limit: float) -> None:
        def late() -> bool:
            return time.monotonic() > limit

        self._run_callbacks()
        worker = self._worker
        if worker is None:
            return
        worker.send(late)
        worker.read_stderr()
        try:
            # A callback may stop this worker and start another.
            while worker is self._worker:
                line = worker.lines.next_line()
                if line is not None:
                    self._handle_line(line)
                elif not worker.receive():
                    self._check_alive(worker)
                    break
                if late():
                    break
        except BadMessage as error:
            worker.end(0)
            self._last_lines = worker.last_lines
            self._worker_ended(f"The engine sent an invalid message: {error}.")
        self._run_callbacks()

    def _check_alive(self, worker: WorkerProcess) -> None:
        """Checks whether the worker has ended."""
        reason = worker.end_reason()
        if reason is not None:
            self._last_lines = worker.last_lines
            self._worker_ended(reason)

    def _handle_line(self, line: bytes) -> None:
        try:
            message = decode(line)
        except BadMessage:
            if not self._has_started:
                return  # a launcher may print text before the worker's first message
            raise
        if message.get("event") == "started":
            self._greet(message)
        elif "event" in message:
            if self.on_event is not None:
                self.on_event(message)
        else:
            self._handle_reply(message)

    def _greet(self, message: dict[str, Any]) -> None:
        """Compares the worker's package with this one: another `promem` may precede it on the worker's import path."""
        worker = self._worker
        if worker is None:
            return
        self._has_started, worker.own_pid = True, message.get("pid")
        found = message.get("version", __version__)
        if found != __version__:
            worker.end(0)
            self._last_lines = worker.last_lines
            self._worker_ended(
                f"The engine runs promem {found} in {message.get('package')}, this is promem {__version__} in {PACKAGE}: "
                "remove or update the first, and try again."
            )

    def _handle_reply(self, message: dict[str, Any]) -> None:
        number: Any = message.get("id")
        done, failed, method = self._pending.pop(number, (None, None, ""))
        error = message.get("error")
        if error is None:
            if done is not None:
                done(message.get("result", {}))
            return
        _call(failed, method, EngineError(error["kind"], error["message"]))

    def _worker_ended(self, reason: str) -> None:
        """Fails every open request after the end of the worker."""
        self._worker = None
        self._fail_all(reason)
        self._callbacks.append(lambda: self._report_death(reason))

    def _report_death(self, reason: str) -> None:
        if self.on_died is not None:
            self.on_died(reason)

    def _fail_all(self, reason: str) -> None:
        for number in list(self._pending):
            self._fail(number, EngineError("Died", reason))

    def _fail(self, number: int, error: EngineError) -> None:
        _, failed, method = self._pending.pop(number)
        self._callbacks.append(lambda: _call(failed, method, error))

    def _run_callbacks(self) -> None:
        """Runs the queued callbacks; callbacks that are added meanwhile run next time."""
        for _ in range(len(self._callbacks)):
            # An exception leaves the remaining callbacks for the next time.
            self._callbacks.popleft()()

    def stop(self, seconds: float = 1.0) -> None:
        """Ends the worker, by force after `seconds`, and fails open requests at once. on_died is not called."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end(seconds)
            self._last_lines = worker.last_lines
        self._fail_all("The engine was stopped.")
        self._run_callbacks()

    def scan_memory(self, shape: Sequence[int], dtype: Any) -> SharedArray:
        """Memory for a scan [k, j, i] or for labels (uint16), 0 everywhere. Close it yourself. Errors: EngineError."""
        try:
            return SharedArray(shape, dtype)
        except PromemError as error:
            raise EngineError(type(error).__name__, str(error)) from error

    def close(self) -> None:
        """As `stop`; `start` works again."""
        self.stop()

    @property
    def closed(self) -> bool:
        return self._worker is None

    def _describe(self) -> str:
        return f"{self.state}, process {self.pid}, {len(self._pending)} open requests"

    def __del__(self) -> None:
        # A worker must not outlive the object, nor stay a zombie. At the end of the interpreter the modules may be
        # gone.
        with contextlib.suppress(Exception):
            worker = self._worker
            if worker is not None:
                worker.end(0)


def _call(failed: Optional[Failed], method: str, error: EngineError) -> None:
    if failed is not None:
        failed(error)
    else:
        logging.getLogger("promem.worker").warning("%s: %s: %s", method, error.kind, error)
