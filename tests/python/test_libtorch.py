"""Finding libtorch and libpromem, and refusing what would go wrong."""

import ctypes
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import promem
import pytest
from promem import _library, _libtorch


def python(code, arguments=(), **environment):
    """Runs a program with this process's modules and another environment; None removes a variable."""
    everything = {**os.environ, "PYTHONPATH": ":".join(sys.path), **environment}
    kept = {name: str(value) for name, value in everything.items() if value is not None}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=kept, timeout=60)


ASK = """
import promem
try:
    print(promem.version())
except ImportError as error:
    assert isinstance(error, promem.LibraryNotLoaded) and error.status is None
    print(error)
"""


@pytest.fixture
def foreign(tmp_path):
    """A library that calls itself libtorch_cpu.so and is not."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path / "other" / "lib"
    folder.mkdir(parents=True)
    (tmp_path / "empty.c").write_text("int nothing;\n")
    library = folder / "libtorch_cpu.so"
    command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libtorch_cpu.so", tmp_path / "empty.c", "-o", library]
    subprocess.run(command, check=True)
    return library


def test_importing_loads_nothing():
    told = python("import promem, sys; print('libtorch' in open('/proc/self/maps').read(), 'torch' in sys.modules)")
    assert told.stdout == "False False\n", told


def test_a_foreign_libtorch_that_is_mapped_is_refused_and_both_are_named(foreign):
    told = python(f"import ctypes; ctypes.CDLL({str(foreign)!r})\n{ASK}")
    assert f"has loaded {foreign} already" in told.stdout, told
    assert "libtorch_cpu.so; a process can hold only one libtorch" in told.stdout
    assert "use promem in a process of its own" in told.stdout


LATE = """
import ctypes, sys
import numpy as np
import promem

model = promem.Model(sys.argv[1], "cpu", "fp32")
session = promem.Session(model, np.zeros((4, 32, 32), np.int16))
session.add_point(1, (3, 3, 2))
ctypes.CDLL(sys.argv[2])
for call in (promem.version, lambda: session.labels(), lambda: session.add_point(1, (4, 4, 2)), lambda: model.info):
    try:
        call()
        print("went on")
    except promem.LibraryNotLoaded as error:
        print(error)
print(repr(session)[:60])
session.close()
model.close()
print("closed", session.closed, model.closed)
"""


@pytest.mark.parametrize("name", ["libtorch_cpu.so", "libc10.so", "libtorch_python.so"])
def test_a_libtorch_that_comes_later_is_noticed_at_the_next_call_and_both_are_named(foreign, toy, name):
    library = foreign.rename(foreign.parent / name)
    folder = _libtorch.find(_library.checkout())
    told = python(LATE, [toy, library])
    *errors, shown, last = told.stdout.splitlines()
    assert last == "closed True True", told
    assert len(errors) == 4 and shown.startswith("<promem.Session: libtorch: this process has loaded"), told
    for error in errors:
        assert f"has loaded {library} since promem has loaded {folder}" in error, told
        assert "a process can hold only one libtorch: use promem in a process of its own" in error
        assert "promem.worker.Engine" in error and "docs/python.md" in error
    # At the end of the interpreter nothing complains.
    assert told.returncode == 0 and told.stderr == ""


def test_another_library_that_comes_later_is_nobodys_business(foreign, toy):
    library = foreign.rename(foreign.parent / "libother.so")
    told = python(LATE, [toy, library])
    assert told.stdout.splitlines()[:4] == ["went on"] * 4, told


def test_the_kernels_list_is_read_only_when_code_has_come_or_gone(monkeypatch, session, foreign):
    reads = []
    mapped = _libtorch.mapped
    monkeypatch.setattr(_libtorch, "mapped", lambda: reads.append(1) or mapped())
    session.labels()
    reads.clear()
    for _ in range(100):
        session.scores(1)
    assert reads == []
    ctypes.CDLL(str(foreign.rename(foreign.parent / "libother.so")))
    session.labels()
    assert reads == [1]


def test_the_same_libtorch_that_is_mapped_already_is_shared():
    found = _libtorch.find(_library.checkout())
    told = python(f"import ctypes; ctypes.CDLL({str(found / 'libtorch_cpu.so')!r})\n{ASK}")
    assert told.stdout == f"{promem.version()}\n", told


def test_a_libtorch_that_is_none_is_a_clean_error(foreign):
    told = python(ASK, PROMEM_LIBTORCH=foreign.parent)
    assert "libc10.so" in told.stdout and "pip install" in told.stdout, told


def test_the_folder_and_its_parents_are_accepted():
    found = _libtorch.find(_library.checkout())
    for folder in (found, found.parent, found.parent.parent):
        told = python(ASK, PROMEM_LIBTORCH=folder)
        assert told.stdout == f"{promem.version()}\n", told


def test_a_given_folder_without_libtorch_is_not_passed_over(tmp_path):
    told = python(ASK, PROMEM_LIBTORCH=tmp_path)
    assert told.stdout.startswith(f"libtorch 2.11.0: PROMEM_LIBTORCH: no libtorch_cpu.so in {tmp_path}"), told


def test_another_version_is_refused(foreign):
    (foreign.parent.parent / "version.py").write_text("__version__ = '2.11.1+cu130'\n")
    told = python(ASK, PROMEM_LIBTORCH=foreign.parent)
    assert f"{foreign.parent} has version 2.11.1+cu130, expected 2.11.0" in told.stdout, told
    assert _libtorch._is_expected("2.11.0") and _libtorch._is_expected("2.11.0+cpu")
    assert not _libtorch._is_expected("2.11.01") and not _libtorch._is_expected("12.11.0")


def test_an_installed_torch_is_found_without_importing_it(monkeypatch, tmp_path, foreign):
    monkeypatch.delenv("PROMEM_LIBTORCH", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "torch-2.11.0+cpu.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.11.0+cpu\n")
    (tmp_path / "torch").mkdir()
    foreign.parent.rename(tmp_path / "torch" / "lib")
    assert _libtorch.find(None) == (tmp_path / "torch" / "lib").resolve()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n")
    monkeypatch.setenv("PROMEM_HOME", "/nowhere/home")
    with pytest.raises(promem.LibraryNotLoaded, match="its version is 2.9.1, expected 2.11.0"):
        _libtorch.find(None)


def test_where_nothing_is_found_every_place_is_named_and_the_command_that_gets_it(monkeypatch):
    monkeypatch.delenv("PROMEM_LIBTORCH", raising=False)
    monkeypatch.setenv("PROMEM_HOME", "/nowhere/home")

    def not_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", not_installed)
    package = pathlib.Path(promem.__file__).parent
    with pytest.raises(promem.LibraryNotLoaded) as caught:
        _libtorch.find(pathlib.Path("/nowhere"))
    for part in (
        "PROMEM_LIBTORCH: not set",
        f"no libtorch_cpu.so in {package / 'libtorch'}",
        f"no libtorch_cpu.so in {package.parent / 'promem.libs'}",
        "no libtorch_cpu.so in /nowhere/.deps/libtorch",
        "the distribution torch: not installed",
        "no libtorch_cpu.so in /nowhere/home/libtorch-2.11.0",
        "python3 -m promem.install",
        "--no-deps",
        "torch==2.11.0 nvidia-cuda-runtime==13.0.96",
    ):
        assert part in str(caught.value)


def test_the_cuda_half_beside_libtorch_is_loaded_when_devices_are_asked_for_and_not_before(tmp_path, foreign):
    # libpromem asks for it by name only, and would look beside itself.
    found = _libtorch.find(_library.checkout())
    folder = tmp_path / "torch" / "lib"
    folder.mkdir(parents=True)
    for path in found.iterdir():
        (folder / path.name).symlink_to(path)
    (tmp_path / "nvidia").symlink_to(found.parent.parent / "nvidia")
    cuda = folder / "libtorch_cuda.so"
    cuda.unlink(missing_ok=True)
    command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libtorch_cuda.so", tmp_path / "empty.c", "-o", cuda]
    subprocess.run(command, check=True)
    code = """
import promem
loaded = lambda: [line.split()[-1] for line in open("/proc/self/maps") if "libtorch_cuda.so" in line][:1]
print(promem.version(), loaded(), promem.devices(), loaded())
"""
    told = python(code, PROMEM_LIBTORCH=tmp_path)
    assert told.stdout == f"{promem.version()} [] ['cpu'] ['{cuda}']\n", told


def test_a_library_that_is_missing_or_no_library_is_a_clean_error(tmp_path, foreign):
    assert "is not a file" in python(ASK, PROMEM_LIBRARY=tmp_path / "libpromem.so").stdout
    assert f"cannot load {foreign}" in python(ASK, PROMEM_LIBRARY=foreign).stdout


def test_another_interface_is_refused(tmp_path, foreign):
    source, library = tmp_path / "newer.c", tmp_path / "libpromem.so"
    source.write_text("unsigned promem_abi_version(void) { return 99; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", library], check=True)
    assert "its interface is number 99, this package knows 1" in python(ASK, PROMEM_LIBRARY=library).stdout


def test_mapped_files_are_read_from_the_kernels_list(tmp_path):
    maps = tmp_path / "maps"
    maps.write_text(
        "7f00-7f01 r-xp 00000000 08:01 42   /a folder/libtorch_cpu.so\n"
        "7f01-7f02 r--p 00001000 08:01 42   /a folder/libtorch_cpu.so\n"
        "7f02-7f03 r--p 00001000 08:01 43   /opt/libc10.so (deleted)\n"
        "7f03-7f04 r--p 00001000 08:01 44   /opt/libc10_cuda.so\n"
        "7f04-7f05 rw-p 00000000 00:00 0\n"
    )
    found = [str(path) for path in _libtorch.mapped(maps)]
    assert found == ["/a folder/libtorch_cpu.so", "/opt/libc10.so (deleted)"]
