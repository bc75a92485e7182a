"""libpromem from a wheel of promem: for an extension that comes without it."""

import base64
import hashlib
import os
import platform
import zipfile

import promem
import pytest
from promem import _library
from promem.install import Installation, InstallError, engine_wheel, install, plan
from SegmentEditorProMemLib import engine

LIBRARY = b"\x7fELF " + bytes(range(256)) * 4096
MACHINE = platform.machine()
NAME = f"promem-{promem.__version__}-py3-none-linux_{MACHINE}.whl"


def make_wheel(folder, name=NAME, library=LIBRARY, recorded=LIBRARY):
    folder.mkdir(exist_ok=True)
    digest = base64.urlsafe_b64encode(hashlib.sha256(recorded).digest()).rstrip(b"=").decode()
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("promem/__init__.py", "")
        if library is not None:
            wheel.writestr("promem/libpromem.so", library)
        record = f"promem/__init__.py,,\npromem/libpromem.so,sha256={digest},{len(recorded)}\n"
        wheel.writestr(f"promem-{promem.__version__}.dist-info/RECORD", record)
    return folder / name


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A package without libpromem, and a user's folder without one."""
    monkeypatch.setenv("PROMEM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PROMEM_LIBRARY", raising=False)
    monkeypatch.setattr(_library, "_PACKAGE", tmp_path / "promem")
    monkeypatch.setattr(_library, "checkout", lambda: None)
    return tmp_path


def test_an_engine_from_a_wheel_is_found_by_the_package(bare):
    assert engine.needs_engine() and engine.needs_installation()
    wheel = make_wheel(bare / "downloads")
    planned = plan(source=wheel)
    assert (planned.what, planned.version, planned.offline) == ("libpromem", promem.__version__, True)
    assert planned.unpacked == len(LIBRARY) and planned.text.startswith("libpromem ")
    reports = []
    folder = install(source=wheel, report=lambda *told: reports.append(told))
    assert reports[-1] == ("unpacking", len(LIBRARY), len(LIBRARY))
    assert _library.find() == folder / "libpromem.so" and (folder / "libpromem.so").read_bytes() == LIBRARY
    assert os.listdir(folder) == ["libpromem.so"] and not engine.needs_engine()


def test_the_installation_of_a_graphical_program_takes_a_wheel_of_the_engine(bare):
    made = Installation(source=make_wheel(bare / "downloads"))
    made.start()
    while made.step():
        pass
    assert made.state == "done", made.error
    assert (made.folder / "libpromem.so").read_bytes() == LIBRARY and made.plan.what == "libpromem"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("promem-9.9.9-py3-none-linux_x86_64.whl", {}, f"has promem 9.9.9, expected {promem.__version__}"),
        (f"promem-{promem.__version__}-py3-none-win_amd64.whl", {}, "is for win_amd64, expected one for linux"),
        (NAME, {"library": None}, "has no promem/libpromem.so"),
        (NAME, {"recorded": b"another"}, "differs from the wheel's list of hashes"),
    ],
    ids=["version", "platform", "no library", "damaged"],
)
def test_a_wheel_that_does_not_fit_is_refused_and_nothing_is_installed(bare, name, content, sentence):
    wheel = make_wheel(bare / "downloads", name, **content)
    with pytest.raises(InstallError, match=sentence):
        install(source=wheel)
    assert engine.needs_engine() and not list((bare / "home").rglob("*libpromem*"))


def test_a_file_that_is_no_wheel_is_refused(bare):
    (bare / NAME).write_bytes(b"nothing")
    with pytest.raises(InstallError, match="is damaged or not a wheel"):
        install(source=bare / NAME)


def test_a_wheel_of_a_manylinux_platform_is_one_for_linux(bare):
    name = NAME.replace("linux_", "manylinux_2_28_")
    assert engine_wheel.is_engine(name) and not engine_wheel.is_engine("torch-2.11.0-cp312-cp312-linux_x86_64.whl")
    assert install(source=make_wheel(bare / "downloads", name)).name == f"engine-{promem.__version__}"
