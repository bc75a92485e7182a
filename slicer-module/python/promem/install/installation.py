"""An installation as a graphical program runs it: in a process of its own, watched by a timer.

In: a folder, a source, how to start Python. Out: a plan to ask the user about, then progress, an end or an error. `step` reads what the
process has said and returns; it never waits, and nothing here has a thread.
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
RESTING = ("idle", "planned", "done", "failed", "cancelled")

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]
_READ = 1 << 16
# Seconds after which a process that was asked to end is killed.
_PATIENCE = 3.0


class Installation:
    """`look` asks what there is to do, `start` does it; both return at once, and `step` must then be called every few hundredths of a second
    until `is_running` is False.

    state: "idle", "looking", "planned", "installing", "cancelling", "cancelled", "done" or "failed".
    plan: what `look` found. phase: "downloading", "unpacking" or "". done, total: bytes of the phase. seconds_left: of the phase, or None.
    error: a sentence, after "failed"; kind: its kind, as in `InstallError`. folder: where libtorch is, after "done".
    """

    def __init__(
        self,
        folder: Optional[Any] = None,
        source: Optional[Any] = None,
        command: Optional[Sequence[str]] = None,
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        """command: how to start Python, by default this one. environment: its environment, by default this process's."""
        self.source = source
        self._target = folder
        self._command = list(command) if command else [sys.executable]
        self._environment = dict(os.environ if environment is None else environment)
        self._process: Optional[subprocess.Popen] = None
        self._text = b""
        self._last_words: deque[str] = deque(maxlen=20)
        self._kill_at = 0.0
        self.state = "idle"
        self.plan: Optional[Plan] = None
        self.folder: Optional[pathlib.Path] = None
        self._forget()

    def _forget(self) -> None:
        self.phase, self.done, self.total = "", 0, 0
        self.seconds_left: Optional[float] = None
        self.error: Optional[str] = None
        self.kind: Optional[str] = None

    @property
    def is_running(self) -> bool:
        return self.state not in RESTING

    @property
    def fraction(self) -> float:
        """How much of the phase is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def look(self) -> None:
        """Finds out what there is to do; `plan` has it when the state is "planned"."""
        self._run("looking", "--plan")

    def start(self) -> None:
        """Installs, or goes on where it was cancelled or broken off."""
        self._run("installing")

    def cancel(self) -> None:
        """Ends what runs; what was fetched is kept for the next `start`."""
        if self.is_running and self.state != "cancelling" and self._process is not None:
            self.state = "cancelling"
            self._signal(signal.SIGTERM)
            self._kill_at = time.monotonic() + _PATIENCE

    def close(self) -> None:
        """Ends the process at once, where there is one. Nothing half done is left in the folder."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._reap()
            self.state = "cancelled"

    def step(self, milliseconds: float = 5.0) -> bool:
        """Takes in what the process has said, for about so long at most; whether it still runs."""
        if self._process is None:
            return False
        until = time.monotonic() + milliseconds / 1000
        while True:
            open_still, more = self._take_in()
            if not open_still:
                # All of it has been heard. That the process has ended may come a moment later.
                if self._process.poll() is not None:
                    self._ended()
                break
            if not more or time.monotonic() >= until:
                break
        if self._process is not None and self.state == "cancelling" and time.monotonic() > self._kill_at:
            self._signal(signal.SIGKILL)
        return self.is_running

    def _run(self, state: str, *options: str) -> None:
        if self.is_running:
            raise RuntimeError(f"the installation is {self.state}: it can be started when that has ended")
        self._forget()
        command = [*self._command, "-m", "promem.install", "--progress-json", *options]
        if self._target is not None:
            command += ["--to", str(self._target)]
        if self.source is not None:
            command += ["--from", str(self.source)]
        paths = [str(_PACKAGE), *filter(None, [self._environment.get("PYTHONPATH")])]
        # Where the user works may hold a random.py.
        environment = {**self._environment, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
        self._text = b""
        self._last_words.clear()
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

    def _take_in(self) -> tuple[bool, bool]:
        """Whether the process may say more, and whether it might have said more already."""
        try:
            said = os.read(self._process.stdout.fileno(), _READ)
        except BlockingIOError:
            return True, False
        if not said:
            return False, False
        *lines, self._text = (self._text + said).split(b"\n")
        for line in lines:
            self._hear(line)
        return True, True

    def _hear(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, TypeError, KeyError):
            # Not ours: a warning, or the words of a Python that fell.
            self._last_words.append(line.decode(errors="replace").strip())
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

    def _ended(self) -> None:
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
                words = next((words for words in reversed(self._last_words) if words), "it said nothing")
                self.error, self.kind = f"the installation ended with status {status}: {words}", "system"

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _reap(self) -> int:
        process, self._process = self._process, None
        process.stdout.close()
        return process.wait()
