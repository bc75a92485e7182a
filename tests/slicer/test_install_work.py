"""An installation is whole or not there, whatever happens; checking and removing it; the command line."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import package_index
import pytest
from package_index import CUPTI, INSTALLED, ROOT, RUNTIME, TORCH, files_in
from promem.install import (
    InstallError,
    check,
    default_folder,
    install,
    install_from_file,
    installed,
    plan,
    remove,
    store,
)

pytest_plugins = ["install_fixtures"]
pytestmark = pytest.mark.usefixtures("own_environment")


def command(*options):
    paths = [str(ROOT / "slicer-module" / "python"), *sys.path]
    return {
        "args": [sys.executable, "-m", "promem.install", *(str(option) for option in options)],
        "env": {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
        "text": True,
    }


def run(*options):
    return subprocess.run(**command(*options), capture_output=True, timeout=60)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def beside(folder):
    return sorted(path.name for path in folder.parent.glob(folder.name + "*"))


# Before it starts.


def test_a_disk_that_is_too_full_is_found_before_anything_is_fetched(index, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "free", lambda folder: 123_000_000)
    with pytest.raises(InstallError, match=r"the disk is too full: \d+ MB are needed, 123 MB are free") as caught:
        install(tmp_path / "here")
    assert caught.value.kind == "disk"
    assert index.asked == [] and beside(tmp_path / "here") == []


def test_what_is_fetched_already_needs_no_more_space(index, tmp_path):
    before = plan(tmp_path / "here")
    (tmp_path / "here.download").mkdir()
    (tmp_path / "here.download" / f"{TORCH}.part").write_bytes(bytes(1000))
    (tmp_path / "here.download" / CUPTI).write_bytes((index.folder / CUPTI).read_bytes())
    after = plan(tmp_path / "here")
    assert before.needed - after.needed == 1000 + (index.folder / CUPTI).stat().st_size


def test_space_is_looked_at_again_before_unpacking_and_the_download_is_kept(index, tmp_path, monkeypatch):
    real, asked = store.free, []

    def free(folder):
        asked.append(folder)
        return real(folder) if len(asked) <= 2 else 1000  # the plan's, that before the download, that before unpacking

    monkeypatch.setattr(store, "free", free)
    with pytest.raises(InstallError, match="the disk is too full"):
        install(tmp_path / "here")
    assert beside(tmp_path / "here") == ["here.download"]
    assert {TORCH, RUNTIME, CUPTI} <= set(os.listdir(tmp_path / "here.download"))


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (errno.EACCES, "permission", "Permission denied"),
        (errno.EROFS, "permission", "Read-only file system"),
        (errno.ENOSPC, "disk", "the disk is full"),
    ],
)
def test_a_folder_that_may_not_be_written_is_named(wheels, tmp_path, monkeypatch, number, kind, sentence):
    def refuse(path, *arguments, **named):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
    with pytest.raises(InstallError, match=f"{tmp_path}/here.*{sentence}") as caught:
        install_from_file(wheels, tmp_path / "here")
    assert caught.value.kind == kind


def test_a_folder_with_something_else_in_it_is_left_alone(wheels, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "thesis.tex").write_text("")
    with pytest.raises(InstallError, match="here holds files that promem.install did not put there"):
        install_from_file(wheels, tmp_path / "here")
    assert not remove(tmp_path / "here")
    assert os.listdir(tmp_path / "here") == ["thesis.tex"]


def test_what_is_installed_is_not_installed_again(wheels, tmp_path, monkeypatch):
    here = install_from_file(wheels, tmp_path / "here")
    (wheels / TORCH).unlink()
    before = (here / "torch" / "lib" / "libc10.so").stat()
    assert install(here, wheels) == here
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert install(here) == here and plan(here).installed
    assert (here / "torch" / "lib" / "libc10.so").stat() == before
    assert "It is already installed" in plan(here).text


# In the middle.


def start_slowly(index, tmp_path):
    """An installation that takes a while to fetch."""
    index.seconds_per_block = 0.05
    return subprocess.Popen(**command("--to", tmp_path / "here"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_second_installation_into_the_same_folder_waits_its_turn(index, tmp_path):
    first = start_slowly(index, tmp_path)
    wait_for((tmp_path / "here.download" / f"{TORCH}.part").exists)
    with pytest.raises(InstallError, match="another installation into .*here is running") as caught:
        install(tmp_path / "here")
    assert caught.value.kind == "busy"
    assert (tmp_path / "here.download" / f"{TORCH}.part").exists()
    index.seconds_per_block = 0
    assert first.wait(30) == 0 and files_in(tmp_path / "here") == INSTALLED


def test_killed_while_it_fetches_it_leaves_a_part_and_the_next_run_finishes(index, tmp_path):
    killed = start_slowly(index, tmp_path)
    part = tmp_path / "here.download" / f"{TORCH}.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 50_000)
    killed.kill()
    killed.wait()
    assert beside(tmp_path / "here") == ["here.download"]
    index.asked.clear()
    index.seconds_per_block = 0
    have = part.stat().st_size
    assert files_in(install(tmp_path / "here")) == INSTALLED
    assert index.asked[0] == (TORCH, f"bytes={have}-")
    assert beside(tmp_path / "here") == ["here"]


KILLED = """
import os, signal, sys
from promem.install import install

def report(phase, done, total):
    if phase == "unpacking" and done > 100_000:
        os.kill(os.getpid(), signal.SIGKILL)

install(sys.argv[1], sys.argv[2], report)
"""


def test_killed_while_it_unpacks_there_is_no_half_folder_and_the_next_run_finishes(wheels, tmp_path):
    arguments = command()
    arguments["args"] = [sys.executable, "-c", KILLED, str(tmp_path / "here"), str(wheels)]
    assert subprocess.run(**arguments).returncode == -signal.SIGKILL
    assert not (tmp_path / "here").exists() and (tmp_path / "here.new" / "torch" / "lib" / "libtorch_cpu.so").exists()
    assert installed(tmp_path / "here") is None
    assert files_in(install_from_file(wheels, tmp_path / "here")) == INSTALLED
    assert beside(tmp_path / "here") == ["here"]


def test_a_run_that_is_interrupted_while_it_unpacks_tidies_up(wheels, tmp_path):
    def report(phase, done, total):
        if phase == "unpacking" and done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install(tmp_path / "here", wheels, report)
    assert beside(tmp_path / "here") == []


def test_killed_between_the_two_renames_the_old_folder_comes_back(wheels, tmp_path):
    here = install_from_file(wheels, tmp_path / "here")
    here.rename(tmp_path / "here.old")
    (tmp_path / "here.new").mkdir()
    assert files_in(install_from_file(wheels, here)) == INSTALLED
    assert beside(here) == ["here"]


def test_a_damaged_installation_is_replaced(wheels, tmp_path):
    here = install_from_file(wheels, tmp_path / "here")
    (here / "torch" / "lib" / "libc10.so").write_bytes(b"")
    assert installed(here) is None
    assert installed(install_from_file(wheels, here)) == here
    assert beside(here) == ["here"]


# Afterwards.


def test_a_check_finds_what_sizes_do_not_tell(wheels, tmp_path):
    here = install_from_file(wheels, tmp_path / "here")
    library = here / "torch" / "lib" / "libc10.so"
    content = bytearray(library.read_bytes())
    content[-1] ^= 1
    library.write_bytes(content)
    assert installed(here) == here
    with pytest.raises(InstallError, match="libc10.so has been changed since it was installed"):
        check(here)
    library.write_bytes(content[:-1])
    with pytest.raises(InstallError, match=rf"libc10.so has {len(content) - 1} bytes, expected {len(content)}"):
        check(here)
    library.unlink()
    with pytest.raises(InstallError, match="libc10.so: No such file"):
        check(here)
    with pytest.raises(InstallError, match="no libtorch is installed in .*nowhere"):
        check(tmp_path / "nowhere")


def test_a_check_loads_libtorch_in_another_process_and_passes_on_what_the_loader_says(tmp_path):
    # A relocatable object passes for a library until it is loaded.
    files = {**package_index.torch_files("+cpu"), "torch/lib/libc10.so": package_index.elf(kind=1)}
    here = install_from_file(package_index.zipped(tmp_path / package_index.TORCH_CPU, files), tmp_path / "here")
    with pytest.raises(InstallError, match="cannot be loaded: cannot load .*libc10.so: .*ET_DYN") as caught:
        check(here)
    assert caught.value.kind == "system"
    assert str(here) not in pathlib.Path("/proc/self/maps").read_text()


def test_another_version_in_the_folder_does_not_count(wheels, tmp_path):
    here = install_from_file(wheels, tmp_path / "here")
    content = json.loads((here / "promem-libtorch.json").read_text())
    (here / "promem-libtorch.json").write_text(json.dumps({**content, "version": "2.12.0"}))
    assert store.problem(here) == f"{here} has libtorch 2.12.0, expected 2.11.0"
    (here / "promem-libtorch.json").write_text("{")
    assert "promem-libtorch.json cannot be read" in store.problem(here)


def test_removing_removes_everything_of_it_and_nothing_else(wheels, tmp_path):
    here = install_from_file(wheels, tmp_path / "here")
    (tmp_path / "here.download").mkdir()
    (tmp_path / "hereafter").mkdir()
    assert remove(here)
    assert beside(here) == ["hereafter"]
    assert not remove(here)


def test_an_unfinished_download_can_be_removed_too(tmp_path):
    (tmp_path / "here.download").mkdir()
    (tmp_path / "here.download" / "torch.whl.part").write_bytes(b"x")
    assert not remove(tmp_path / "here")
    assert beside(tmp_path / "here") == []


# The command line.


def test_the_command_says_its_plan_installs_and_says_where(index, tmp_path):
    told = run("--plan")
    assert told.returncode == 0 and TORCH in told.stdout and not default_folder().exists()
    told = run()
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0] == f"libtorch 2.11.0 for the CPU, into {default_folder()}"
    assert lines[-1] == f"libtorch 2.11.0 is installed in {default_folder()}"
    assert any(line.startswith("downloading: 100 %") for line in lines) and any(
        line.startswith("unpacking: 100 %") for line in lines
    )
    assert installed() == default_folder()
    told = run()
    assert told.returncode == 0 and "It is already installed." in told.stdout
    assert run("--remove").stdout == f"{default_folder()} has been removed\n"
    assert run("--remove").stdout == f"no libtorch is installed in {default_folder()}\n"


def test_the_command_takes_files_and_folders(wheels, tmp_path):
    told = run("--from", wheels, "--to", tmp_path / "here")
    assert told.returncode == 0 and "Nothing is downloaded" in told.stdout
    assert files_in(tmp_path / "here") == INSTALLED


def test_the_command_fails_with_a_sentence(tmp_path):
    told = run("--from", tmp_path / "none.whl", "--to", tmp_path / "here")
    assert told.returncode == 1 and told.stdout == ""
    assert (
        told.stderr.startswith(f"promem.install: {tmp_path}/none.whl does not exist") and told.stderr.count("\n") == 1
    )
    told = run("--check", "--to", tmp_path / "here")
    assert told.returncode == 1 and "no libtorch is installed" in told.stderr


def test_ctrl_c_ends_the_command_and_says_how_to_go_on(index, tmp_path):
    running = start_slowly(index, tmp_path)
    wait_for((tmp_path / "here.download" / f"{TORCH}.part").exists)
    running.send_signal(signal.SIGINT)
    told, error = running.communicate(timeout=20)
    assert running.returncode == 130 and error == "\npromem.install: interrupted; run it again to resume\n"


@pytest.mark.skipif(sys.version_info < (3, 10), reason="an older Python has no list of its standard library")
def test_the_installer_needs_only_the_standard_library():
    code = f"""
import sys
sys.modules["numpy"] = None
sys.path.insert(0, {str(ROOT / "slicer-module" / "python")!r})
import promem.install, promem.install.__main__
print(sorted(name for name in sys.modules if name.partition(".")[0] not in sys.stdlib_module_names | {{"promem", "__main__"}}
             and sys.modules[name] is not None and "site" not in name and not name.startswith("_distutils")))
"""
    told = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert told.stdout == "[]\n", told
