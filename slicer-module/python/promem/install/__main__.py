"""python3 -m promem.install: gets libtorch from the user's package index or from files, checks it, removes it.

In: options. Out: words for a terminal, or lines of JSON for `Installation`; status 0, or 1 with a sentence.
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

# Seconds between two reports.
_TERMINAL, _PLAIN, _JSON = 0.2, 5.0, 0.2
# Seconds that the speed is measured over.
_WINDOW = 10.0


class Speed:
    """How long a phase still takes, from its last seconds."""

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


class Voice:
    """Says what goes on; `report` is what `install` calls."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._terminal = sys.stdout.isatty() and not as_json
        self._pause = _JSON if as_json else _TERMINAL if self._terminal else _PLAIN
        self._told, self._next, self._speed = ("", False), 0.0, Speed()
        self._parent = os.getppid()

    def event(self, name: str, words: str, /, **values: Any) -> None:
        text = json.dumps({"event": name, **values}) if self.as_json else words
        try:
            print(text, flush=True)
        except OSError as error:
            # Nobody listens any more.
            raise KeyboardInterrupt from error

    def report(self, phase: str, done: int, total: int) -> None:
        now, last = time.monotonic(), done >= total
        if (phase, last) == self._told and (last or now < self._next):
            return
        self._told, self._next = (phase, last), now + self._pause
        if self.as_json and os.getppid() != self._parent:
            # The program that wanted this is gone.
            raise KeyboardInterrupt
        left = self._speed.seconds_left(phase, done, total)
        remains = f", {left:.0f} s left" if left is not None and not last else ""
        words = f"{phase}: {100 * done // max(1, total)} % of {errors.bytes_in_words(total)}{remains}"
        if self._terminal:
            print(f"\r{words}\033[K", end="\n" if last else "", flush=True)
        else:
            self.event("progress", words, phase=phase, done=done, total=total, seconds_left=left)


def _arguments(given: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m promem.install",
        description="Gets the libtorch that promem needs into a folder of its own; no other software's torch is touched.",
        epilog="Without options: installs from the package index that pip is told to use.",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE_OR_FOLDER",
        help="without a network: a wheel torch-2.11.0-....whl (and nvidia_cuda_runtime, nvidia_cuda_cupti, unless it is +cpu), "
        "libtorch-shared-with-deps-2.11.0+cpu.zip, or a folder that holds them",
    )
    parser.add_argument("--to", metavar="FOLDER", help=f"where to (default: {default_folder()})")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--plan", action="store_true", help="only say what would be installed, from where, and how large it is"
    )
    what.add_argument("--check", action="store_true", help="read every byte of what is installed, and load it once")
    what.add_argument("--remove", action="store_true", help="remove it, and what an unfinished installation has left")
    parser.add_argument("--progress-json", action="store_true", help="one JSON object a line, for programs")
    return parser.parse_args(given)


def _do(options: argparse.Namespace, voice: Voice) -> None:
    if options.remove:
        folder = options.to or str(default_folder())
        gone = remove(options.to)
        voice.event("removed", f"{folder} is removed" if gone else f"there is no libtorch in {folder}", removed=gone)
        return
    if options.check:
        folder = check(options.to, voice.report)
        voice.event("done", f"{folder} is whole, and libtorch can be loaded", folder=str(folder))
        return
    planned = plan(options.to, options.source)
    voice.event("plan", planned.text, plan=planned.as_dict())
    if options.plan:
        return
    folder = install(options.to, options.source, voice.report, planned)
    if not planned.installed:
        voice.event("done", f"libtorch {planned.version} is in {folder}", folder=str(folder))
    elif voice.as_json:
        voice.event("done", "", folder=str(folder))


def main(given: Optional[list[str]] = None) -> int:
    options = _arguments(given)
    voice = Voice(options.progress_json)

    def end(number: int, frame: Any) -> None:
        # Once is enough: a launcher may pass on what came to all of the group.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        _do(options, voice)
    except errors.InstallError as error:
        if voice.as_json:
            voice.event("failed", "", error=str(error), kind=error.kind)
        else:
            print(f"promem.install: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if not voice.as_json:
            print("\npromem.install: interrupted; run it again to go on", file=sys.stderr)
        # What nobody reads is not worth an error message at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
