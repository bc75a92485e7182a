"""The worker as its client sees it: a process, with pipes that never block.

In: how to start Python, bytes to send. Out: lines that the worker wrote, and, once it has ended and everything was read, a sentence that
says why. Knows nothing of what is said.
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

from .protocol import Lines

_KEPT_LINES = 50
# More than these lines are long, even where something prints numbers without an end.
_KEPT_BYTES = 1 << 16
# What a pipe holds.
_CHUNK = 1 << 16

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def default_command() -> list[str]:
    return [sys.executable]


def _environment(given: Optional[Mapping[str, str]]) -> dict[str, str]:
    """With this package where the worker's Python finds it first."""
    environment = dict(os.environ if given is None else given)
    folders = [str(_PACKAGE.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    # Where the user works may hold a random.py.
    environment["PYTHONSAFEPATH"] = "1"
    return environment


class WorkerProcess:
    """One worker, from its start to its end."""

    def __init__(self, command: Sequence[str], environment: Optional[Mapping[str, str]]) -> None:
        """Returns as soon as the process exists. OSError: it could not be started."""
        whole = [*command, "-m", "promem.worker", "--client", str(os.getpid())]
        if threading.current_thread() is threading.main_thread():
            # Linux would take the end of any other thread for the client's end.
            whole.append("--bound")
        # A group of its own: Ctrl-C in the client's terminal is not meant for it, and a launcher in front of Python is killed with it.
        self._process = subprocess.Popen(
            whole,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(environment),
            start_new_session=True,
        )
        self.pid = self._process.pid
        # None of them is None: pipes were asked for.
        pipes: tuple[Any, Any, Any] = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._in, self._out, self._error = pipes
        for pipe in pipes:
            os.set_blocking(pipe.fileno(), False)
        self._unsent = bytearray()
        self._said = b""
        self.lines = Lines()
        self._silent = False  # nothing will come any more

    def write(self, data: bytes) -> None:
        """Leaves bytes for `send`."""
        self._unsent += data

    def send(self, late: Callable[[], bool]) -> None:
        """Sends what can be sent without waiting, until it is `late`."""
        try:
            while self._unsent:
                sent = os.write(self._in.fileno(), bytes(self._unsent[:_CHUNK]))
                del self._unsent[:sent]
                if late():
                    return
        except BlockingIOError:
            return
        except OSError:
            # It has ended, which `ended` will tell with its reason.
            self._unsent.clear()

    def receive(self) -> bool:
        """Adds to `lines` what has come; False where nothing has."""
        ended = self._process.poll() is not None
        data = _read(self._out)
        if data:
            self.lines.add(data)
            return True
        # What it wrote before its end was there before the end was seen: nothing now is nothing ever.
        self._silent = self._silent or ended or data is not None
        return False

    def listen(self) -> None:
        """Takes what it wrote to stderr, so that it can write on."""
        data = _read(self._error)
        if data:
            self._said = (self._said + data)[-_KEPT_BYTES:]

    @property
    def last_lines(self) -> list[str]:
        """What it wrote to stderr last."""
        return self._said.decode(errors="replace").splitlines()[-_KEPT_LINES:]

    def ended(self) -> Optional[str]:
        """Why it has ended; None while it has not, or while there is something to read."""
        if not self._silent:
            return None
        code = self._process.poll()
        if code is None:
            # It has closed its stdout, and is just ending.
            return None
        self.listen()
        said = [line.strip() for line in self.last_lines if line.strip()]
        self._close()
        return _reason(code) + (f'; it wrote last: "{said[-1]}".' if said else ".")

    def end(self, seconds: float) -> None:
        """Ends it, at the latest after `seconds` by force, and reaps it."""
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
    """What a pipe holds; empty at its end, None where nothing has come."""
    try:
        return os.read(pipe.fileno(), _CHUNK)
    except BlockingIOError:
        return None


def _reason(code: int) -> str:
    """The beginning of a sentence about an exit code."""
    # A launcher in front of Python tells of a signal as shells do.
    number = -code if code < 0 else code - 128 if 128 < code <= 128 + signal.SIGRTMAX else 0
    if number:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        because = ": the system may have run out of memory" if number == signal.SIGKILL else ""
        return f"The engine was ended by {name}{because}"
    return f"The engine ended with exit code {code}"
