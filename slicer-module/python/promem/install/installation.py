"""An installation for a graphical program: in a child process, polled by a timer.

In: a folder, a source, how to start Python. Out: a plan for the user to confirm, then progress, the end or an error.
`step` reads the output of the process and returns; it never blocks, and nothing here uses a thread.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .plan import Plan

# States in which nothing runs.
IDLE_STATES = ("idle", "planned", "done", "failed", "cancelled")

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]
_READ = 1 << 16
# Seconds after which a process that was asked to end is killed.
_KILL_AFTER = 3.0


class Installation:
    """`look` makes the plan, `start` installs; both return at once, and `step` must then be called every few hundredths
    of a second until `is_running` is False.

    state: "idle", "looking", "planned", "installing", "cancelling", "cancelled", "done" or "failed".
    plan: the result of `look`. phase: "downloading", "unpacking" or "".
    done, total: bytes of the phase. seconds_left: of the phase, or None.
    error: a sentence, after "failed"; kind: its kind, as in `InstallError`. folder: where libtorch is, after "done".
    """

    def __init__(
        self,
        folder: Optional[Any] = None,
        source: Optional[Any] = None,
        command: Optional[Sequence[str]] = None,
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        """command: how to start Python, by default this one. environment: by default that of this process."""
        self.source = source
        self._target = folder
        self._command = list(command) if command else [sys.executable]
        self._environment = dict(os.environ if environment is None else environment)
        self._process: Optional[subprocess.Popen] = None
        self._text = b""
        self._other_output: deque[str] = deque(maxlen=20)
        self._kill_at = 0.0
        self.state = "idle"
        self.plan: Optional[Plan] = None
        self.folder: Optional[pathlib.Path] = None
        self._reset()

    def _reset(self) -> None:
        self.phase, self.done, self.total = "", 0, 0
        self.seconds_left: Optional[float] = None
        self.error: Optional[str] = None
        self.kind: Optional[str] = None

    @property
    def is_running(self) -> bool:
        return self.state not in IDLE_STATES

    @property
    def fraction(self) -> float:
        """How much of the phase is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def look(self) -> None:
        """Makes the plan; `plan` has it when the state is "planned"."""
        self._run("looking", "--plan")

    def start(self) -> None:
        """Installs, or resumes where it was cancelled or interrupted."""
        self._run("installing")

    def cancel(self) -> None:
        """Ends the process; what was downloaded is kept for the next `start`."""
        if self.is_running and self.state != "cancelling" and self._process is not None:
            self.state = "cancelling"
            self._signal(signal.SIGTERM)
            self._kill_at = time.monotonic() + _KILL_AFTER

    def close(self) -> None:
        """Kills the process, where there is one. The folder is never left incomplete."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._reap()
            self.state = "cancelled"

    def step(self, milliseconds: float = 5.0) -> bool:
        """Reads the output of the process, for about so long at most; whether it still runs."""
        if self._process is None:
            return False
        until = time.monotonic() + milliseconds / 1000
        while True:
            open_still, more = self._read_output()
            if not open_still:
                # All output has been read. The process itself may end a moment later.
                if self._process.poll() is not None:
                    self._finish()
                break
            if not more or time.monotonic() >= until:
                break
        if self._process is not None and self.state == "cancelling" and time.monotonic() > self._kill_at:
            self._signal(signal.SIGKILL)
        return self.is_running

    def _run(self, state: str, *options: str) -> None:
        if self.is_running:
            raise RuntimeError(f"the installation is {self.state}: it can be started when that has ended")
        self._reset()
        command = [*self._command, "-m", "promem.install", "--progress-json", *options]
        if self._target is not None:
            command += ["--to", str(self._target)]
        if self.source is not None:
            command += ["--from", str(self.source)]
        paths = [str(_PACKAGE), *filter(None, [self._environment.get("PYTHONPATH")])]
        # The user's working directory may hold a random.py.
        environment = {**self._environment, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
        self._text = b""
        self._other_output.clear()
        try:
            # A group of its own: a launcher in front of Python does not pass every signal on.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            self.state, self.error, self.kind = "failed", f"cannot start {command[0]}: {error.strerror}", "system"
            return
        os.set_blocking(self._process.stdout.fileno(), False)
        self.state = state

    def _read_output(self) -> tuple[bool, bool]:
        """Whether the pipe is still open, and whether more output may be waiting in it."""
        try:
            data = os.read(self._process.stdout.fileno(), _READ)
        except BlockingIOError:
            return True, False
        if not data:
            return False, False
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            self._handle_line(line)
        return True, True

    def _handle_line(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, TypeError, KeyError):
            # Not an event: a warning, or a traceback of Python.
            self._other_output.append(line.decode(errors="replace").strip())
            return
        if kind == "progress":
            self.phase, self.done, self.total = event["phase"], event["done"], event["total"]
            self.seconds_left = event["seconds_left"]
        elif kind == "plan":
            self.plan = Plan.from_dict(event["plan"])
        elif kind == "done":
            self.folder = pathlib.Path(event["folder"])
        elif kind == "failed":
            self.error, self.kind = event["error"], event["kind"]

    def _finish(self) -> None:
        was = self.state
        status = self._reap()
        if was == "looking" and status == 0 and self.plan is not None:
            self.state = "planned"
        elif self.folder is not None and was != "looking" and status == 0:
            self.state = "done"
        elif was == "cancelling":
            self.state = "cancelled"
        else:
            self.state = "failed"
            if self.error is None:
                reason = next((line for line in reversed(self._other_output) if line), "without a message")
                self.error, self.kind = f"the installation ended with status {status}: {reason}", "system"

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _reap(self) -> int:
        process, self._process = self._process, None
        process.stdout.close()
        return process.wait()
