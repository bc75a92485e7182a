"""The wheel holds libpromem and works anywhere."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import numpy
import pytest
from conftest import ROOT
from promem import _library, _libtorch


def pip_wheel(folder, **environment):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder]
    command += [ROOT / "slicer-module" / "python"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    made = pip_wheel(folder)
    assert made.returncode == 0, made.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_has_the_library_and_names_its_platform(wheel):
    assert wheel.name.startswith("promem-0.1.0-py3-none-linux_")
    files = set(zipfile.ZipFile(wheel).namelist())
    assert {"promem/libpromem.so", "promem/py.typed", "promem/LICENSE", "promem/NOTICE"} <= files
    model = ROOT / "models" / "promem-compact.safetensors"
    assert ("promem/promem-compact.safetensors" in files) == model.is_file()
    own = ROOT / "slicer-module" / "python"
    assert {str(path.relative_to(own)) for path in own.glob("promem/**/*.py")} <= files


def test_the_wheels_library_does_not_look_on_the_build_machine(wheel, tmp_path):
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    library = zipfile.ZipFile(wheel).extract("promem/libpromem.so", tmp_path)
    told = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    assert "[$ORIGIN:$ORIGIN/../lib]" in told


def test_a_wheel_without_a_library_is_not_built(tmp_path):
    pytest.importorskip("hatchling")
    made = pip_wheel(tmp_path, PROMEM_LIBRARY="/nowhere/libpromem.so")
    assert made.returncode != 0 and "/nowhere/libpromem.so is not a file" in made.stderr + made.stdout
    assert not list(tmp_path.iterdir())


def test_the_wheel_works_in_an_empty_environment(wheel, demo, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    program = tmp_path / "program.py"
    program.write_text(
        """
import sys
import numpy as np
import promem

promem.set_thread_count(1)
model = promem.Model(sys.argv[1], "cpu", "fp32")
with promem.Session(model, np.random.default_rng(0).normal(size=(9, 32, 32))) as session:
    session.add_box(5, (5, 5, 4), (20, 25, 4))
    session.propagate(range=(3, 5), never_stop=True)
    print(promem.__file__, sorted(set(session.labels().ravel().tolist())))
print([line.split()[-1] for line in open("/proc/self/maps") if "libpromem" in line][0])
"""
    )
    # numpy is what the wheel requires; it comes from here, not from the network.
    numbers = pathlib.Path(numpy.__file__).parent
    for part in numbers.parent.glob("numpy*"):
        (site / part.name).symlink_to(part)
    environment = {"PROMEM_LIBTORCH": str(_libtorch.find(_library.checkout())), "PATH": "/usr/bin:/bin"}
    command = [tmp_path / "venv" / "bin" / "python", program, demo / "toy.safetensors"]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout == f"{site}/promem/__init__.py [0, 5]\n{site}/promem/libpromem.so\n"

    environment.update(PROMEM_LIBTORCH="", PROMEM_HOME="/nowhere/home")
    told = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert "libtorch 2.11.0 is not found" in told.stderr and "pip install --target" in told.stderr
