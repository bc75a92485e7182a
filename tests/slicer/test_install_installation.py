"""The installation as a graphical program runs it: steps that never wait, cancelling, going on."""

import os
import pathlib
import subprocess
import sys
import time

import package_index
import pytest
from package_index import INSTALLED, TORCH, files_in
from promem.install import Installation, default_folder, install_from_file

pytest_plugins = ["install_fixtures"]
pytestmark = pytest.mark.usefixtures("own_environment")

# A step may take so long; a busy machine is not this program's fault.
LONGEST_STEP = 0.03


class Timer:
    """Calls `step` as a host's timer does, and looks at how long each took."""

    def __init__(self, installation):
        self.installation = installation
        self.longest = []
        self.phases = []

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.installation.state, self.installation.error)
            begin = time.thread_time()
            self.installation.step()
            self.longest.append(time.thread_time() - begin)
            if self.installation.phase not in self.phases:
                self.phases.append(self.installation.phase)
            time.sleep(0.005)

    def to_the_end(self):
        self.until(lambda: not self.installation.is_running)


@pytest.fixture
def installation(tmp_path):
    made = Installation(tmp_path / "here")
    yield made
    made.close()


def test_looking_gives_the_plan_and_installs_nothing(index, installation, tmp_path):
    assert installation.state == "idle" and not installation.step()
    installation.look()
    assert installation.state == "looking" and installation.is_running
    Timer(installation).to_the_end()
    assert installation.state == "planned" and installation.plan.source == index.address
    assert [artifact.name for artifact in installation.plan.artifacts][0] == TORCH
    assert index.asked == [] and not list(tmp_path.glob("here*"))


def test_it_installs_and_says_how_far_it_is(index, installation, tmp_path):
    index.seconds_per_block = 0.01
    installation.start()
    timer = Timer(installation)
    timer.until(lambda: installation.phase == "downloading" and 0 < installation.done < installation.total)
    assert 0 < installation.fraction < 1
    index.seconds_per_block = 0
    timer.to_the_end()
    assert installation.state == "done" and installation.error is None and installation.fraction == 1
    assert installation.folder == tmp_path / "here" and files_in(tmp_path / "here") == INSTALLED
    assert timer.phases == ["", "downloading", "unpacking"]
    assert max(timer.longest) < LONGEST_STEP


def test_the_seconds_that_are_left_are_told(index, installation):
    index.seconds_per_block = 0.05
    installation.start()
    Timer(installation).until(lambda: installation.seconds_left is not None)
    assert 0 < installation.seconds_left < 60


def test_it_can_be_cancelled_and_goes_on_where_it_was(index, installation, tmp_path):
    index.seconds_per_block = 0.03
    installation.start()
    timer = Timer(installation)
    part = tmp_path / "here.download" / f"{TORCH}.part"
    timer.until(lambda: part.exists() and part.stat().st_size > 50_000)
    begin = time.monotonic()
    installation.cancel()
    assert time.monotonic() - begin < LONGEST_STEP and installation.state == "cancelling"
    timer.to_the_end()
    assert installation.state == "cancelled" and installation.error is None
    have = part.stat().st_size
    assert have > 50_000

    index.asked.clear()
    index.seconds_per_block = 0
    installation.start()
    timer.to_the_end()
    assert installation.state == "done" and index.asked[0] == (TORCH, f"bytes={have}-")
    assert max(timer.longest) < LONGEST_STEP


SLOWLY = """
import os, sys, time
os.fsync = lambda file: time.sleep(0.5)  # what is done after each file
from promem.install.__main__ import main
sys.exit(main(sys.argv[3:]))  # after -m promem.install
"""


def test_cancelling_while_it_unpacks_leaves_no_half_folder(wheels, tmp_path):
    (tmp_path / "slowly.py").write_text(SLOWLY)
    installation = Installation(tmp_path / "here", wheels, command=[sys.executable, str(tmp_path / "slowly.py")])
    installation.start()
    timer = Timer(installation)
    timer.until((tmp_path / "here.new" / "torch" / "lib" / "libtorch_cpu.so").exists)
    installation.cancel()
    timer.to_the_end()
    assert installation.state == "cancelled" and not list(tmp_path.glob("here*"))


def test_what_is_there_already_is_done_at_once(wheels, tmp_path):
    install_from_file(wheels)
    installation = Installation()
    installation.look()
    Timer(installation).to_the_end()
    assert installation.plan.installed
    installation.start()
    Timer(installation).to_the_end()
    assert installation.state == "done" and installation.folder == default_folder()


def test_an_error_is_a_sentence_and_a_kind(installation, monkeypatch, tmp_path):
    installation = Installation(
        tmp_path / "here", environment={**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    )
    installation.look()
    Timer(installation).to_the_end()
    assert installation.state == "failed" and installation.kind == "network"
    assert installation.error.startswith("no connection to 127.0.0.1:9")

    installation.source = tmp_path / "none.whl"
    installation.start()
    assert installation.error is None, "an old error is forgotten"
    Timer(installation).to_the_end()
    assert installation.kind == "files" and "none.whl does not exist" in installation.error


def test_a_python_that_falls_is_quoted(tmp_path):
    installation = Installation(tmp_path / "here", command=[sys.executable, "-c", "raise SystemExit('out of order')"])
    installation.start()
    Timer(installation).to_the_end()
    assert installation.state == "failed" and installation.error == "the installation ended with status 1: out of order"


def test_a_python_that_is_not_there_is_named(tmp_path):
    installation = Installation(tmp_path / "here", command=[str(tmp_path / "PythonSlicer")])
    installation.start()
    assert installation.state == "failed" and installation.kind == "system"
    assert installation.error == f"cannot start {tmp_path}/PythonSlicer: No such file or directory"
    assert not installation.step()


def test_it_is_not_started_twice(index, installation):
    installation.look()
    with pytest.raises(RuntimeError, match="the installation is looking"):
        installation.start()


def test_closing_ends_the_process_at_once(index, installation, tmp_path):
    index.seconds_per_block = 0.05
    installation.start()
    Timer(installation).until((tmp_path / "here.download" / f"{TORCH}.part").exists)
    process = installation._process.pid
    installation.close()
    assert installation.state == "cancelled" and not os.path.exists(f"/proc/{process}")
    installation.close()


def test_when_its_program_is_gone_the_process_ends_too(index, tmp_path):
    index.seconds_per_block = 0.05
    code = f"""
import os, sys
sys.path.insert(0, {str(package_index.ROOT / "slicer-module" / "python")!r})
from promem.install import Installation
installation = Installation({str(tmp_path / "here")!r})
installation.start()
print(installation._process.pid, flush=True)
os._exit(0)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    process = pathlib.Path(f"/proc/{int(told.stdout)}/status")
    end = time.monotonic() + 20
    while process.exists() and "(zombie)" not in process.read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not (tmp_path / "here").exists()
