"""How processes are started: with Slicer's Python and the environment that Slicer was started in, or with this Python
outside Slicer.
"""

import os
import sys
import types

import pytest
from SegmentEditorProMemLib import engine


@pytest.fixture
def outside(monkeypatch):
    """No Slicer, not even its libraries."""
    monkeypatch.setitem(sys.modules, "slicer", None)


@pytest.fixture
def inside(monkeypatch, tmp_path):
    """In a Slicer that is installed in a folder; the environment of its start is `start`."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "PythonSlicer"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    slicer = types.ModuleType("slicer")
    slicer.app = types.SimpleNamespace(slicerHome=str(tmp_path))
    slicer.start = {"PATH": "/usr/bin:/bin", "LANG": "C"}
    slicer.util = types.SimpleNamespace(startupEnvironment=lambda: slicer.start)
    slicer.python = python
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/a/folder/of/slicer")
    return slicer


def test_the_engine_uses_this_python_outside_slicer(outside, monkeypatch):
    monkeypatch.setenv("SOMETHING", "here")
    assert engine.python_command() == [sys.executable]
    assert engine.environment()["SOMETHING"] == "here"


def test_slicers_libraries_without_the_application_are_not_slicer(monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer", types.ModuleType("slicer"))
    assert engine.python_command() == [sys.executable]


def test_the_engine_uses_slicers_python_and_startup_environment(inside):
    assert engine.python_command() == [str(inside.python)]
    environment = engine.environment()
    assert environment["LANG"] == "C" and "LD_LIBRARY_PATH" not in environment
    assert inside.start == {"PATH": "/usr/bin:/bin", "LANG": "C"}, "Slicer's own stays as it is"
    assert "PROMEM_LIBTORCH" not in os.environ or os.environ["PROMEM_LIBTORCH"] == environment["PROMEM_LIBTORCH"]


def test_slicers_python_is_found_on_the_path(inside, monkeypatch, tmp_path):
    (tmp_path / "other").mkdir()
    other = inside.python.rename(tmp_path / "other" / "PythonSlicer")
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    assert engine.python_command() == [str(other)]
    other.unlink()
    with pytest.raises(engine.PythonNotFound, match=f"{tmp_path}/bin/PythonSlicer does not exist"):
        engine.python_command()


@pytest.fixture
def libtorch(monkeypatch, tmp_path):
    """A machine on which no libtorch is found, until one is made in the folder."""
    from promem import _library, _libtorch

    monkeypatch.setattr(_library, "checkout", lambda: None)
    monkeypatch.setattr(_libtorch, "_distribution", lambda looked: None)
    monkeypatch.delenv("PROMEM_LIBTORCH", raising=False)
    monkeypatch.setenv("PROMEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROMEM_LIBRARY", str(tmp_path / "libpromem.so"))
    return tmp_path / "home" / "libtorch-2.11.0" / "torch" / "lib"


def test_missing_libtorch_needs_an_installation(libtorch, outside):
    assert engine.libtorch() is None and engine.needs_installation()
    assert "PROMEM_LIBTORCH" not in engine.environment()
    libtorch.mkdir(parents=True)
    (libtorch / "libtorch_cpu.so").write_bytes(b"")
    assert not engine.needs_installation()
    assert engine.environment()["PROMEM_LIBTORCH"] == str(libtorch)


def test_a_wrong_libtorch_folder_needs_no_installation(libtorch, outside, monkeypatch, tmp_path):
    monkeypatch.setenv("PROMEM_LIBTORCH", str(tmp_path))
    assert engine.libtorch() is None and not engine.needs_installation()
    assert engine.environment()["PROMEM_LIBTORCH"] == str(tmp_path), "the engine says what is wrong with it"


def test_threads_are_bounded_where_that_is_asked_for(outside, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert engine.environment()["OMP_NUM_THREADS"] == "1"
    assert engine.environment(3)["OMP_NUM_THREADS"] == "3"


def test_the_engine_and_the_installation_are_not_started_yet(inside, tmp_path):
    made = engine.make_engine()
    assert made.state == "stopped" and made.pid is None
    installation = engine.make_installation(str(tmp_path / "torch.whl"))
    assert installation.state == "idle" and installation.source == str(tmp_path / "torch.whl")
    assert engine.make_installation().source is None


def test_an_engine_that_was_made_here_answers(outside):
    import time

    made, heard = engine.make_engine(), []
    made.start()
    made.send("hello", done=heard.append, failed=lambda error: heard.append(error))
    end = time.monotonic() + 60
    while not heard and time.monotonic() < end:
        made.poll()
        time.sleep(0.01)
    made.stop()
    assert heard and heard[0]["version"] == "0.1.0"
