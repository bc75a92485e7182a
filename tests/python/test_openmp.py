"""How libtorch's threads wait, which is settled when libgomp is loaded. OMP_DISPLAY_ENV lets libgomp say what it has
read.
"""

import os
import subprocess
import sys

import pytest

ASK = """
import os, subprocess, sys
import promem
promem.version()
seen = subprocess.run([sys.executable, "-c", "import os; print(os.environ.get('GOMP_SPINCOUNT'))"], capture_output=True)
print(os.environ.get("GOMP_SPINCOUNT"), seen.stdout.decode().strip())
"""


def run(code, **environment):
    """What a program prints, and how its libgomp lets threads wait."""
    unsaid = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    everything = {**unsaid, "PYTHONPATH": ":".join(sys.path), "OMP_DISPLAY_ENV": "verbose", **environment}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=everything, timeout=60)
    assert told.returncode == 0, told.stderr
    counts = [line.split("'")[1] for line in told.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    return told.stdout.strip(), counts


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_soon_sleep_unless_the_environment_says_how_they_wait(given, expected):
    _, counts = run(ASK, **given)
    assert counts == [expected]


def test_neither_this_process_nor_its_children_keep_the_variable():
    assert run(ASK) == ("None None", ["3000"])
    assert run(ASK, GOMP_SPINCOUNT="5")[0] == "5 5"


def test_what_a_host_has_said_in_c_alone_counts():
    said = "import ctypes; ctypes.CDLL(None).setenv(b'OMP_WAIT_POLICY', b'passive', 1)\n"
    assert run(said + ASK)[1] == ["0"]


def test_a_libgomp_that_is_loaded_already_stays_as_it_is():
    from promem import _library, _libtorch

    library = _libtorch.find(_library.checkout()) / "libgomp.so.1"
    told, counts = run(f"import ctypes; ctypes.CDLL({str(library)!r})\n{ASK}")
    assert told == "None None" and len(counts) == 1 and counts != ["3000"]
