"""Installing without a network, from wheels and zip files."""

import json
import os
import pathlib
import zipfile

import pytest
from package_index import CUPTI, INSTALLED, MACHINE, RUNTIME, TORCH, TORCH_CPU, elf, files_in, torch_files, zipped
from promem import _libtorch
from promem.install import InstallError, default_folder, install, install_from_file, installed, plan

pytest_plugins = ["install_fixtures"]
pytestmark = pytest.mark.usefixtures("own_environment", "no_network")

ZIP = "libtorch-shared-with-deps-2.11.0+cpu.zip"


@pytest.fixture
def no_network(monkeypatch):
    """Whoever asks the network, fails."""
    import socket

    def refuse(*arguments, **named):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def libtorch_zip(folder, version="2.11.0+cpu"):
    files = {f"libtorch/lib/{name}": elf(*needed) for name, needed in {
        "libc10.so": (), "libtorch_cpu.so": ("libc10.so", "libgomp-98b21ff3.so.1"), "libgomp-98b21ff3.so.1": (), "libtorch.so": (),
    }.items()}  # fmt: skip
    files["libtorch/build-version"] = f"{version}\n".encode()
    files["libtorch/include/torch/script.h"] = b"#pragma once\n"
    return zipped(folder / ZIP, files)


def test_a_folder_of_wheels_is_enough(wheels, tmp_path):
    assert install_from_file(wheels, tmp_path / "here") == tmp_path / "here"
    assert files_in(tmp_path / "here") == INSTALLED
    assert sorted(path.name for path in tmp_path.glob("here*")) == ["here"]
    for name, content in torch_files().items():
        if name in INSTALLED:
            assert (tmp_path / "here" / name).read_bytes() == content


def test_the_default_folder_is_the_users_and_is_found_by_the_binding(wheels, tmp_path):
    assert default_folder() == tmp_path / "home" / "libtorch-2.11.0"
    assert installed() is None
    install_from_file(wheels)
    assert installed() == default_folder()
    assert _libtorch.find(None) == default_folder() / "torch" / "lib"


def test_the_users_data_folder_is_where_systems_want_it(monkeypatch, tmp_path):
    monkeypatch.delenv("PROMEM_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "share" / "ProMem" / "libtorch-2.11.0"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/paths/do/not/count")
    assert default_folder() == tmp_path / ".local" / "share" / "ProMem" / "libtorch-2.11.0"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_folder() == tmp_path / "data" / "ProMem" / "libtorch-2.11.0"
    monkeypatch.setenv("PROMEM_HOME", "~/mine")
    assert default_folder() == tmp_path / "mine" / "libtorch-2.11.0"


def test_what_is_named_or_lies_in_the_package_comes_before_the_promem_folder(wheels, monkeypatch, tmp_path):
    install_from_file(wheels)
    other = install_from_file(wheels, tmp_path / "other")
    monkeypatch.setenv("PROMEM_LIBTORCH", str(other))
    assert _libtorch.find(None) == other / "torch" / "lib"
    monkeypatch.delenv("PROMEM_LIBTORCH")
    checkout = tmp_path / "checkout"
    install_from_file(wheels, checkout / ".deps" / "libtorch")
    assert _libtorch.find(checkout) == checkout / ".deps" / "libtorch" / "torch" / "lib"


def test_a_half_installed_folder_is_not_found_by_the_binding(wheels):
    install_from_file(wheels)
    default_folder().rename(default_folder().with_name(default_folder().name + ".new"))
    with pytest.raises(
        _libtorch.LibraryNotLoaded, match="(?s)the ProMem folder: no libtorch_cpu.so in .*-m promem.install"
    ):
        _libtorch.find(None)


def test_a_wheel_takes_the_companions_that_lie_beside_it(wheels, tmp_path):
    install_from_file(wheels / TORCH, tmp_path / "here")
    assert files_in(tmp_path / "here") == INSTALLED


def test_a_wheel_without_its_companions_says_which_are_lacking(wheels, tmp_path):
    (wheels / RUNTIME).unlink()
    with pytest.raises(
        InstallError, match=r"libtorch_cpu.so needs libcudart.so.13.*nvidia-cuda-runtime 13.0.96"
    ) as caught:
        install_from_file(wheels, tmp_path / "here")
    assert caught.value.kind == "files"
    assert not list(tmp_path.glob("here*"))


def test_a_wheel_for_cpus_needs_nothing_else(tmp_path):
    wheel = zipped(tmp_path / TORCH_CPU, torch_files("+cpu"))
    install_from_file(wheel, tmp_path / "here")
    assert files_in(tmp_path / "here") == {name for name in INSTALLED if "nvidia" not in name}


def test_of_several_wheels_the_one_for_cpus_is_taken(wheels, tmp_path):
    zipped(wheels / TORCH_CPU, torch_files("+cpu"))
    install_from_file(wheels, tmp_path / "here")
    assert "+cpu" in (tmp_path / "here" / "torch" / "version.py").read_text()


def test_a_zip_file_of_libtorch_gets_the_wheels_layout(tmp_path, monkeypatch):
    install_from_file(libtorch_zip(tmp_path))
    assert files_in(default_folder()) == {
        "torch/lib/libc10.so",
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libgomp-98b21ff3.so.1",
        "torch/build-version",
        "promem-libtorch.json",
    }
    assert _libtorch.find(None) == default_folder() / "torch" / "lib"


@pytest.mark.parametrize("kind", ["wheel", "zip"])
def test_another_version_is_refused_and_both_are_named(kind, tmp_path):
    if kind == "zip":
        path = libtorch_zip(tmp_path, "2.9.1+cpu")
    else:
        path = zipped(tmp_path / TORCH, torch_files("+cpu", version="2.9.1"))
    with pytest.raises(InstallError, match=rf"{path.parent}.* has version 2.9.1\+cpu, expected 2.11.0") as caught:
        install_from_file(path, tmp_path / "here")
    assert caught.value.kind == "version"
    assert not list(tmp_path.glob("here*"))


def test_of_a_folder_with_another_version_too_the_right_one_is_taken(wheels, tmp_path):
    zipped(wheels / TORCH_CPU.replace("2.11.0", "2.9.1"), torch_files("+cpu", version="2.9.1"))
    install_from_file(wheels, tmp_path / "here")
    assert "2.11.0" in (tmp_path / "here" / "torch" / "version.py").read_text()


def test_a_wheel_for_another_machine_is_refused(tmp_path):
    other = "aarch64" if MACHINE == "x86_64" else "x86_64"
    wheel = zipped(tmp_path / TORCH_CPU, torch_files("+cpu", machine=other))
    with pytest.raises(InstallError, match=f"is for {other}, this machine is {MACHINE}") as caught:
        install_from_file(wheel, tmp_path / "here")
    assert caught.value.kind == "version"


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    cases = {
        "nothing.whl": "nothing.whl does not exist",
        "text.whl": "text.whl is damaged or not a wheel",
        "empty": r"empty holds none of torch-\*.whl",
        "windows.whl": "windows.whl: no libtorch for Linux found",
        "script.whl": "libc10.so is not a 64-bit shared library",
    }
    (tmp_path / "text.whl").write_text("not a wheel")
    (tmp_path / "empty").mkdir()
    zipped(tmp_path / "windows.whl", {"torch/lib/torch_cpu.dll": b"MZ"})
    zipped(tmp_path / "script.whl", {**torch_files("+cpu"), "torch/lib/libc10.so": b"INPUT(libc10_real.so)" * 5})
    for name, sentence in cases.items():
        with pytest.raises(InstallError, match=sentence) as caught:
            install_from_file(tmp_path / name, tmp_path / "here")
        assert caught.value.kind == "files"
    assert not list(tmp_path.glob("here*"))


def test_a_damaged_wheel_is_named_and_leaves_nothing(wheels, tmp_path):
    entry = zipfile.ZipFile(wheels / TORCH).getinfo("torch/lib/libtorch_cpu.so")
    content = bytearray((wheels / TORCH).read_bytes())
    content[entry.header_offset + 200_000] ^= 0xFF
    (wheels / TORCH).write_bytes(content)
    with pytest.raises(InstallError, match=f"{TORCH} is damaged: torch/lib/libtorch_cpu.so"):
        install_from_file(wheels, tmp_path / "here")
    assert not list(tmp_path.glob("here*"))


def test_nothing_is_written_outside_the_folder(tmp_path):
    files = torch_files("+cpu")
    files["../../outside/libgomp.so.1"] = files.pop("torch/lib/libgomp.so.1")
    wheel = zipped(tmp_path / TORCH_CPU, files)
    with pytest.raises(InstallError, match="needs libgomp.so.1, which none of the given files has"):
        install_from_file(wheel, tmp_path / "deep" / "er" / "here")
    assert not list(tmp_path.rglob("libgomp*"))


def test_the_plan_says_that_nothing_is_downloaded_and_how_large_it_will_be(wheels, tmp_path):
    planned = plan(tmp_path / "here", wheels)
    assert planned.offline and planned.download == planned.remaining == 0
    assert [artifact.name for artifact in planned.artifacts] == [TORCH, CUPTI, RUNTIME]
    assert "Nothing is downloaded" in planned.text and str(wheels) in planned.text
    install(tmp_path / "here", wheels, planned=planned)
    kept = sum((tmp_path / "here" / name).stat().st_size for name in INSTALLED if ".so" in name)
    assert kept <= planned.unpacked < kept * 1.2


def test_the_list_names_the_files_and_where_they_came_from(wheels, tmp_path):
    here = install_from_file(wheels, tmp_path / "here")
    content = json.loads((here / "promem-libtorch.json").read_text())
    assert content["version"] == "2.11.0"
    assert set(content["files"]) == INSTALLED - {"promem-libtorch.json"}
    assert [source["name"] for source in content["from"]] == [TORCH, CUPTI, RUNTIME]


def test_paths_of_every_kind_are_taken(wheels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert install_from_file("~/wheels", "one") == tmp_path / "one"
    assert install_from_file(pathlib.Path("wheels"), pathlib.Path("two")) == tmp_path / "two"
    assert os.path.isabs(plan("three", "wheels").folder)
