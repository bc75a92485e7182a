"""What `make libtorch` does: the installer of the package, with what building promem from source needs."""

import importlib.util
import json
import shutil
import subprocess
import sys

import package_index
import pytest
from package_index import CUPTI, DEVELOPMENT, INSTALLED, ROOT, RUNTIME, TORCH, files_in
from promem.install import InstallError, check, install, install_from_file, installed, plan
from promem.install import index as package_indexes

pytest_plugins = ["install_fixtures"]
pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def setup(monkeypatch, tmp_path):
    """scripts/setup.py, for a checkout in a temporary folder."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "scripts" / "setup.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "LIBTORCH", tmp_path / ".deps" / "libtorch")
    monkeypatch.setattr(script, "require_tools", lambda: None)
    monkeypatch.setattr("sys.argv", ["setup.py"])
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.delenv("LIBTORCH", raising=False)
    return script


def test_development_adds_the_headers_and_the_library_to_link_against(wheels, tmp_path):
    here = install(tmp_path / "here", wheels, development=True)
    assert files_in(here) == INSTALLED | DEVELOPMENT
    assert (here / "torch" / "include" / "torch" / "script.h").read_bytes() == b"#pragma once\n"
    manifest = json.loads((here / "promem-libtorch.json").read_text())
    assert manifest["development"] and set(manifest["files"]) == files_in(here) - {"promem-libtorch.json"}
    assert installed(here) == installed(here, development=True) == here


def test_an_installation_without_headers_is_replaced_by_one_with_them(wheels, tmp_path):
    here = install_from_file(wheels, tmp_path / "here")
    assert installed(here) == here and installed(here, development=True) is None
    assert not plan(here, wheels, development=True).installed
    assert files_in(install(here, wheels, development=True)) == INSTALLED | DEVELOPMENT
    assert sorted(path.name for path in tmp_path.glob("here*")) == ["here"]


def test_a_missing_header_makes_the_installation_incomplete(wheels, tmp_path):
    here = install(tmp_path / "here", wheels, development=True)
    (here / "torch" / "include" / "torch" / "script.h").unlink()
    assert installed(here) is None
    with pytest.raises(InstallError, match="script.h: No such file"):
        check(here)


def test_a_wheel_without_headers_is_rejected_for_development(tmp_path):
    files = {name: content for name, content in package_index.torch_files("+cpu").items() if "include" not in name}
    wheel = package_index.zipped(tmp_path / package_index.TORCH_CPU, files)
    with pytest.raises(InstallError, match="has no C.* headers .*which building promem needs"):
        install(tmp_path / "here", wheel, development=True)
    assert not list(tmp_path.glob("here*"))


def test_headers_with_a_path_outside_the_folder_are_not_extracted(tmp_path):
    files = {**package_index.torch_files("+cpu"), "torch/include/../../../outside.h": b"x"}
    wheel = package_index.zipped(tmp_path / package_index.TORCH_CPU, files)
    install(tmp_path / "deep" / "here", wheel, development=True)
    assert not list(tmp_path.rglob("outside.h"))


def test_the_plan_names_the_headers_and_counts_them(index, wheels, tmp_path):
    online, offline = [
        (plan(tmp_path / "here", source, True), plan(tmp_path / "here", source)) for source in (None, wheels)
    ]
    assert "with C++ headers" in online[0].text and "headers" not in online[1].text
    assert online[0].unpacked > online[1].unpacked and offline[0].unpacked > offline[1].unpacked
    assert type(online[0]).from_dict(online[0].as_dict()) == online[0]


def test_setup_installs_once_with_the_installer_of_the_package(setup, index, capsys):
    assert setup.main() == 0
    assert files_in(setup.LIBTORCH) == INSTALLED | DEVELOPMENT
    assert [name for name, _ in index.asked] == [TORCH, RUNTIME, CUPTI]
    index.close()
    capsys.readouterr()
    assert setup.main() == 0
    assert capsys.readouterr().out == "", "a second call does nothing"


def test_setup_installs_offline_from_files(setup, wheels, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setattr("sys.argv", ["setup.py", "--from", str(wheels)])
    assert setup.main() == 0 and files_in(setup.LIBTORCH) == INSTALLED | DEVELOPMENT


def test_setup_passes_its_options_on_to_the_installer(setup, wheels, monkeypatch, capsys):
    install(setup.LIBTORCH, wheels, development=True)
    monkeypatch.setattr("sys.argv", ["setup.py", "--remove"])
    assert setup.main() == 0 and f"{setup.LIBTORCH} has been removed" in capsys.readouterr().out
    assert not setup.LIBTORCH.exists()


def test_setup_replaces_a_folder_without_a_manifest(setup, index):
    (setup.LIBTORCH / "torch" / "lib").mkdir(parents=True)
    (setup.LIBTORCH / "VERSION").write_text("2.11.0\n")
    assert setup.main() == 0 and files_in(setup.LIBTORCH) == INSTALLED | DEVELOPMENT


def test_setup_uses_the_libtorch_that_the_environment_names(setup, monkeypatch, capsys):
    monkeypatch.setenv("LIBTORCH", "/opt/libtorch")
    assert setup.main() == 0 and "/opt/libtorch" in capsys.readouterr().out
    assert not setup.LIBTORCH.exists()


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"), reason="the checkout is not a git repository"
)
def test_the_repository_has_one_downloader():
    listed = subprocess.run(
        ["git", "grep", "-lE", r"urllib\.request|http\.client|urlopen", "--", "scripts", "bench", "slicer-module"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert listed and all(path.startswith("slicer-module/python/promem/install/") for path in listed), listed


def test_a_wheel_with_another_hash_than_the_pinned_one_is_rejected(index, monkeypatch):
    monkeypatch.setitem(package_indexes.PINNED, TORCH, "0" * 64)
    with pytest.raises(
        InstallError, match=f"{TORCH.split('-')[0]}.*gives SHA-256 [0-9a-f]{{64}}, expected 0000"
    ) as caught:
        plan()
    assert caught.value.kind == "hash" and index.asked == []


def test_a_pinned_hash_is_used_where_the_index_gives_none(index, monkeypatch):
    digests = {artifact.name: artifact.sha256 for artifact in plan().artifacts}
    index.with_hashes = False
    for name, digest in digests.items():
        monkeypatch.setitem(package_indexes.PINNED, name, digest)
    assert {artifact.name: artifact.sha256 for artifact in plan().artifacts} == digests


def test_the_package_loads_its_names_at_their_first_use():
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "slicer-module" / "python")!r})
import promem
assert "numpy" not in sys.modules and "promem.session" not in sys.modules
assert set(promem.__all__) <= set(dir(promem))
assert all(getattr(promem, name) is not None for name in promem.__all__)
assert "numpy" in sys.modules and promem.Session is promem.session.Session
try:
    promem.nothing
except AttributeError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout == "module 'promem' has no attribute 'nothing'\n", told
