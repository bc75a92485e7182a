"""The worker process and its non-blocking pipes, on the client side.

In: the command that starts Python, bytes to send. Out: lines of the worker and, after its end, a sentence with the
reason. Knows nothing of the messages.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from .protocol import LineReader

_KEPT_LINES = 50
# More than these lines usually take.
_KEPT_BYTES = 1 << 16
# What a pipe holds.
_CHUNK = 1 << 16

PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def default_command() -> list[str]:
    return [sys.executable]


def _environment(given: Optional[Mapping[str, str]]) -> dict[str, str]:
    """Puts this package first on the worker's import path."""
    environment = dict(os.environ if given is None else given)
    folders = [str(PACKAGE.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    # The working folder may contain a random.py.
    environment["PYTHONSAFEPATH"] = "1"
    return environment


class WorkerProcess:
    """One worker, from its start to its end."""

    def __init__(self, command: Sequence[str], environment: Optional[Mapping[str, str]]) -> None:
        """Returns as soon as the process exists. OSError: it could not be started."""
        command_line = [*command, "-m", "promem.worker", "--client", str(os.getpid())]
        if threading.current_thread() is threading.main_thread():
            # Linux signals the end of the starting thread, not of its process.
            command_line.append("--bound")
        # A separate process group: Ctrl-C in the terminal does not reach it, and a launcher is killed with it.
        self._process = subprocess.Popen(
            command_line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(environment),
            start_new_session=True,
        )
        self.pid = self._process.pid
        # As it tells it: the process that was started may be a launcher.
        self.own_pid: Optional[int] = None
        # None of them is None, as all are pipes.
        pipes: tuple[Any, Any, Any] = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._in, self._out, self._error = pipes
        for pipe in pipes:
            os.set_blocking(pipe.fileno(), False)
        self._unsent = bytearray()
        self._stderr_tail = b""
        self.lines = LineReader()
        self._is_drained = False  # whether all output was read

    def write(self, data: bytes) -> None:
        """Queues bytes for `send`."""
        self._unsent += data

    def send(self, late: Callable[[], bool]) -> None:
        """Sends queued bytes without blocking, until it is `late`."""
        try:
            while self._unsent:
                sent = os.write(self._in.fileno(), bytes(self._unsent[:_CHUNK]))
                del self._unsent[:sent]
                if late():
                    return
        except BlockingIOError:
            return
        except OSError:
            # The worker has ended; `end_reason` will report it.
            self._unsent.clear()

    def receive(self) -> bool:
        """Reads output into `lines`; False if there was none."""
        ended = self._process.poll() is not None
        data = _read(self._out)
        if data:
            self.lines.add(data)
            return True
        # Its output precedes its end: no data after the end means that all was read.
        self._is_drained = self._is_drained or ended or data is not None
        return False

    def read_stderr(self) -> None:
        """Reads stderr, so that the worker does not block on it."""
        data = _read(self._error)
        if data:
            self._stderr_tail = (self._stderr_tail + data)[-_KEPT_BYTES:]

    @property
    def last_lines(self) -> list[str]:
        """The last lines of stderr."""
        return self._stderr_tail.decode(errors="replace").splitlines()[-_KEPT_LINES:]

    def end_reason(self) -> Optional[str]:
        """The reason of its end; None while it runs or has unread output."""
        if not self._is_drained:
            return None
        code = self._process.poll()
        if code is None:
            # It has closed its stdout and is about to end.
            return None
        self.read_stderr()
        lines = [line.strip() for line in self.last_lines if line.strip()]
        self._close()
        launched = self.own_pid if self.own_pid != self.pid else None
        return _reason(code, launched) + (f'; its last output was: "{lines[-1]}".' if lines else ".")

    def end(self, seconds: float) -> None:
        """Ends the worker, by force after `seconds`, and waits for it."""
        self._close()
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _close(self) -> None:
        for pipe in (self._in, self._out, self._error):
            pipe.close()


def _read(pipe: Any) -> Optional[bytes]:
    """The data in a pipe; empty at its end, None if there is none yet."""
    try:
        return os.read(pipe.fileno(), _CHUNK)
    except BlockingIOError:
        return None


def _reason(code: int, launched: Optional[int] = None) -> str:
    """The beginning of a sentence about an exit code. launched: the process id of a worker behind a launcher."""
    # A launcher reports a signal as shells do, as 128 plus its number.
    number = -code if code < 0 else code - 128 if 128 < code <= 128 + signal.SIGRTMAX else 0
    if number:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        because = ": the system may have run out of memory" if number == signal.SIGKILL else ""
        return f"The engine was ended by {name}{because}"
    if code == 1 and launched is not None:
        # What a launcher such as PythonSlicer reports for a signal, too.
        return (
            f"The engine (process {launched}) ended with exit code 1 of its launcher: it may have crashed, "
            "or the system may have run out of memory"
        )
    return f"The engine ended with exit code {code}"
