"""A worker that a launcher starts, as Slicer's PythonSlicer does."""

import os
import pathlib
import shutil
import signal
import sys

import promem
import pytest
from SegmentEditorProMemLib import engine
from worker_harness import host

# It reports every signal as 1, and puts a folder of its own first, as the CTK launcher does.
LAUNCHER = """#!/bin/sh
export PYTHONPATH="{folder}:$PYTHONPATH"
"{python}" "$@" || exit 1
"""


@pytest.fixture
def launcher(tmp_path):
    path = tmp_path / "PythonSlicer"
    path.write_text(LAUNCHER.format(python=sys.executable, folder=tmp_path / "site-packages"))
    path.chmod(0o755)
    return str(path)


def other_version(folder):
    """The package, in another version."""
    shutil.copytree(
        pathlib.Path(promem.__file__).parent, folder / "promem", ignore=shutil.ignore_patterns("*.so*", "*.safetensors")
    )
    text = (folder / "promem" / "__init__.py").read_text()
    (folder / "promem" / "__init__.py").write_text(text.replace(f'"{promem.__version__}"', '"0.0.9"'))
    return folder / "promem"


def test_a_worker_killed_behind_a_launcher_names_memory_as_a_possible_cause(launcher):
    with host(command=[launcher]) as made:
        process = made.ask("hello")["pid"]
        os.kill(process, signal.SIGKILL)
        made.until(lambda: made.deaths)
        assert made.deaths[0].startswith(f"The engine (process {process}) ended with exit code 1 of its launcher")
        assert "the system may have run out of memory" in made.deaths[0]


def test_another_version_of_the_package_in_the_worker_is_named_with_both_places(launcher, tmp_path):
    shadow = other_version(tmp_path / "site-packages")
    with host(command=[launcher]) as made:
        answer = made.answer("hello")
        assert answer.kind == "Died" and made.engine.state == "stopped"
        made.until(lambda: made.deaths)
        own = pathlib.Path(promem.__file__).resolve().parent
        assert (
            f"promem 0.0.9 in {shadow}" in made.deaths[0] and f"promem {promem.__version__} in {own}" in made.deaths[0]
        )


def test_another_version_of_the_package_in_slicer_is_named_with_both_places(tmp_path, monkeypatch):
    engine.check_package()
    own = pathlib.Path(promem.__file__).resolve().parent
    shadow = tmp_path / "site-packages" / "promem"
    monkeypatch.setattr(promem, "__file__", str(shadow / "__init__.py"))
    engine.check_package()  # the same version elsewhere is as good
    monkeypatch.setattr(promem, "__version__", "0.0.9")
    with pytest.raises(engine.EngineUnavailable) as caught:
        engine.make_engine()
    assert f"promem 0.0.9 in {shadow}" in str(caught.value) and f" in {own}" in str(caught.value)
