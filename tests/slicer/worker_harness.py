"""What the tests of the worker share: an engine to wait for, a scan that is made, a look at processes."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import promem
from promem.worker import Engine, pack

PACKAGE = pathlib.Path(promem.__file__).parent.parent

# Far longer than anything here takes.
PATIENCE = 120.0

IJK_TO_RAS = [[0.0, -1.5, 0.0, 10.0], [1.2, 0.0, 0.0, -20.0], [0.0, 0.0, 3.0, 5.0], [0.0, 0.0, 0.0, 1.0]]
MODEL = {"device": "cpu", "precision": "fp32", "threads": 1}


class Host:
    """A program with an engine: its events, and waiting for them."""

    def __init__(self, engine):
        self.engine, self.events, self.deaths = engine, [], []
        engine.on_event, engine.on_died = self.events.append, self.deaths.append

    def until(self, condition, seconds=PATIENCE):
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, f"waited {seconds} s; {self.engine.last_lines[-5:]} {self.deaths}"
            self.engine.poll()
            time.sleep(0.002)

    def send(self, method, **arguments):
        """A list that gets the result or the error."""
        answers = []
        self.engine.send(method, done=answers.append, failed=answers.append, **arguments)
        return answers

    def answer(self, method, **arguments):
        """The result or the error."""
        answers = self.send(method, **arguments)
        self.until(lambda: answers)
        return answers[0]

    def ask(self, method, **arguments):
        """The result."""
        result = self.answer(method, **arguments)
        assert isinstance(result, dict), f"{method}: {result.kind}: {result}"
        return result

    def received(self, event):
        return [told for told in self.events if told["event"] == event]

    def open_scan(self, voxels, **options):
        """Voxels and results in shared memory."""
        shared = self.engine.scan_memory(voxels.shape, voxels.dtype)
        shared.array[:] = voxels
        results = self.engine.scan_memory(voxels.shape, np.uint16)
        given = {"ijk_to_ras": IJK_TO_RAS, "axis": "k", "window": None, **options}
        self.opened = self.ask(
            "open_scan",
            memory=shared.name,
            shape=list(voxels.shape),
            dtype=voxels.dtype.str,
            results=results.name,
            **given,
        )
        return shared, results

    def set_both_prompts(self):
        """Two objects, by three kinds of prompts."""
        self.ask("set_prompts", object=1, slices=[{**POINTS, **BOX}])
        self.ask("set_prompts", object=2, slices=[MASK])


@contextlib.contextmanager
def host(**options):
    """A host whose engine has been started."""
    made = Host(Engine(**options))
    try:
        made.engine.start()
        yield made
    finally:
        made.engine.stop()


def phantom():
    """A bright ellipsoid in noise, int16, of different sizes along all axes; and which voxels are inside."""
    k, j, i = np.meshgrid(np.arange(14), np.arange(60), np.arange(66), indexing="ij")
    inside = ((k - 7) / 5.5) ** 2 + ((j - 30) / 15) ** 2 + ((i - 36) / 18) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, inside.shape)
    return (np.where(inside, 160, 40) + noise).astype(np.int16), inside


VOXELS, INSIDE = phantom()

POINTS = {"slice": 7, "points": [[36, 30, 7, True], [3, 3, 7, False]]}
BOX = {"slice": 7, "box": [[19, 16, 7], [53, 44, 7]]}
MASK = {"slice": 9, "mask": pack(INSIDE[9] & (np.arange(66) > 50))}

# A few slices are enough; the whole scan is there for what is cancelled.
AROUND = {"range": [5, 9], "never_stop": True}


def is_running(process):
    """Whether a process goes on; one that nobody has waited for yet does not."""
    try:
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def gone(process, seconds=20.0):
    """Whether a process ends within a time."""
    limit = time.monotonic() + seconds
    while is_running(process):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def zombies():
    """Children of this process that have ended and were not waited for."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                found.append(path.parent.name)
    return found


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def worker(*arguments, **options):
    """A worker without a client."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), **options.pop("environment", {})}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-m", "promem.worker", *arguments], env=environment, **pipes)
