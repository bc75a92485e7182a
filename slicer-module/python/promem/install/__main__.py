"""python3 -m promem.install: installs libtorch from the user's package index or from files, verifies it, removes it.

In: options. Out: text for a terminal, or lines of JSON for `Installation`; status 0, or 1 with a sentence.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections import deque
from typing import Any, Optional

from . import check, default_folder, errors, install, plan, remove

# Seconds between two progress reports.
_TERMINAL, _PLAIN, _JSON = 0.2, 5.0, 0.2
# Seconds over which the speed is averaged.
_WINDOW = 10.0


class RemainingTime:
    """Estimates how long a phase still takes, from the speed of the last seconds."""

    def __init__(self) -> None:
        self._phase = ""
        self._seen: deque[tuple[float, int]] = deque()

    def seconds_left(self, phase: str, done: int, total: int) -> Optional[float]:
        now = time.monotonic()
        if phase != self._phase or (self._seen and done < self._seen[-1][1]):
            self._phase = phase
            self._seen.clear()
        self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        seconds, count = now - self._seen[0][0], done - self._seen[0][1]
        return (total - done) * seconds / count if seconds > 0.5 and count > 0 else None


class Reporter:
    """Writes events and progress; `report` is the callback of `install`."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._terminal = sys.stdout.isatty() and not as_json
        self._interval = _JSON if as_json else _TERMINAL if self._terminal else _PLAIN
        self._last_report, self._next, self._speed = ("", False), 0.0, RemainingTime()
        self._parent = os.getppid()

    def event(self, name: str, message: str, /, **values: Any) -> None:
        text = json.dumps({"event": name, **values}) if self.as_json else message
        try:
            print(text, flush=True)
        except OSError as error:
            # The reader has closed the pipe.
            raise KeyboardInterrupt from error

    def report(self, phase: str, done: int, total: int) -> None:
        now, last = time.monotonic(), done >= total
        if (phase, last) == self._last_report and (last or now < self._next):
            return
        self._last_report, self._next = (phase, last), now + self._interval
        if self.as_json and os.getppid() != self._parent:
            # The program that started this has ended.
            raise KeyboardInterrupt
        left = self._speed.seconds_left(phase, done, total)
        remains = f", {left:.0f} s left" if left is not None and not last else ""
        message = f"{phase}: {100 * done // max(1, total)} % of {errors.format_bytes(total)}{remains}"
        if self._terminal:
            print(f"\r{message}\033[K", end="\n" if last else "", flush=True)
        else:
            self.event("progress", message, phase=phase, done=done, total=total, seconds_left=left)


def _arguments(given: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m promem.install",
        description="Installs the libtorch that promem needs into a separate folder. Other installations of torch stay as they are.",
        epilog="Without options: installs from the package index that pip is configured with.",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE_OR_FOLDER",
        help="install offline: a wheel torch-2.11.0-....whl (and nvidia_cuda_runtime, nvidia_cuda_cupti, unless it is +cpu), "
        "libtorch-shared-with-deps-2.11.0+cpu.zip, or a folder with them; a wheel promem-....whl: take libpromem from it",
    )
    parser.add_argument("--to", metavar="FOLDER", help=f"target folder (default: {default_folder()})")
    parser.add_argument(
        "--development",
        action="store_true",
        help="also install the C++ headers and the library to link against, which building promem from source needs",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--plan", action="store_true", help="only print what would be installed, from where, and its size"
    )
    what.add_argument(
        "--check", action="store_true", help="verify the SHA-256 of every installed file, and load libtorch once"
    )
    what.add_argument(
        "--remove", action="store_true", help="remove the installation, and the files of an unfinished one"
    )
    parser.add_argument("--progress-json", action="store_true", help="one JSON object a line, for programs")
    return parser.parse_args(given)


def _do(options: argparse.Namespace, reporter: Reporter) -> None:
    if options.remove:
        folder = options.to or str(default_folder())
        gone = remove(options.to)
        message = f"{folder} has been removed" if gone else f"no libtorch is installed in {folder}"
        reporter.event("removed", message, removed=gone)
        return
    if options.check:
        folder = check(options.to, reporter.report)
        reporter.event("done", f"{folder} is intact, and libtorch can be loaded", folder=str(folder))
        return
    planned = plan(options.to, options.source, options.development)
    reporter.event("plan", planned.text, plan=planned.as_dict())
    if options.plan:
        return
    folder = install(options.to, options.source, reporter.report, planned)
    if not planned.installed:
        reporter.event("done", f"{planned.what} {planned.version} is installed in {folder}", folder=str(folder))
    elif reporter.as_json:
        reporter.event("done", "", folder=str(folder))


def main(given: Optional[list[str]] = None) -> int:
    options = _arguments(given)
    reporter = Reporter(options.progress_json)

    def end(number: int, frame: Any) -> None:
        # Ignore further signals: a launcher may forward one that was sent to the whole process group.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        _do(options, reporter)
    except errors.InstallError as error:
        if reporter.as_json:
            reporter.event("failed", "", error=str(error), kind=error.kind)
        else:
            print(f"promem.install: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if not reporter.as_json:
            print("\npromem.install: interrupted; run it again to resume", file=sys.stderr)
        # Without this, flushing a closed pipe at exit prints an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
