"""Downloads that break off, go on, and are checked."""

import errno
import os

import package_index
import pytest
from package_index import CUPTI, RUNTIME, TORCH
from promem.install import InstallError, download, install, plan
from promem.install.network import Network

pytest_plugins = ["install_fixtures"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "download").mkdir()
    return tmp_path / "download"


@pytest.fixture
def torch(index):
    """The artifact that is torch."""
    return plan().artifacts[0]


def fetch(artifact, folder, report=lambda done: None):
    return download.fetch(artifact, folder, Network(), report)


def ranges(index):
    return [wanted for _, wanted in index.asked]


def test_a_file_comes_whole_under_its_name(torch, folder, wheels):
    seen = []
    path = fetch(torch, folder, seen.append)
    assert path == folder / TORCH and path.read_bytes() == (wheels / TORCH).read_bytes()
    assert seen == sorted(seen) and seen[-1] == torch.size and len(seen) > 2
    assert os.listdir(folder) == [TORCH]


def test_a_cut_connection_is_taken_up_where_it_broke(torch, folder, wheels, index):
    index.cuts = [100_000, 50_000]
    assert fetch(torch, folder).read_bytes() == (wheels / TORCH).read_bytes()
    assert ranges(index) == [None, "bytes=100000-", "bytes=150000-"]


def test_what_an_earlier_run_has_fetched_is_not_fetched_again(torch, folder, wheels, index):
    (folder / f"{TORCH}.part").write_bytes((wheels / TORCH).read_bytes()[:70_000])
    assert download.bytes_present(torch, folder) == 70_000
    seen = []
    assert fetch(torch, folder, seen.append).read_bytes() == (wheels / TORCH).read_bytes()
    assert ranges(index) == ["bytes=70000-"] and seen[0] <= 70_000
    assert fetch(torch, folder).exists()
    assert len(index.asked) == 1, "a whole file is not asked for again"


def test_a_part_that_is_whole_already_only_gets_its_name(torch, folder, wheels, index):
    (folder / f"{TORCH}.part").write_bytes((wheels / TORCH).read_bytes())
    assert fetch(torch, folder).name == TORCH
    assert index.asked == []


def test_a_server_without_ranges_begins_anew(torch, folder, wheels, index):
    index.ranges, index.cuts = False, [100_000]
    assert fetch(torch, folder).read_bytes() == (wheels / TORCH).read_bytes()
    assert ranges(index) == [None, "bytes=100000-"]


def test_a_part_of_another_file_is_found_out_and_fetched_anew(torch, folder, wheels, index):
    (folder / f"{TORCH}.part").write_bytes(b"\1" * 70_000)
    assert fetch(torch, folder).read_bytes() == (wheels / TORCH).read_bytes()
    assert ranges(index) == ["bytes=70000-", None]


def test_a_part_longer_than_the_file_is_thrown_away(torch, folder, wheels):
    (folder / f"{TORCH}.part").write_bytes(b"\1" * (torch.size + 1))
    assert fetch(torch, folder).read_bytes() == (wheels / TORCH).read_bytes()


def test_a_whole_file_that_was_damaged_is_fetched_anew(torch, folder, wheels):
    (folder / TORCH).write_bytes(b"\1" * torch.size)
    assert fetch(torch, folder).read_bytes() == (wheels / TORCH).read_bytes()


def test_a_wrong_hash_is_refused_both_hashes_are_named_and_nothing_is_kept(index, folder):
    index.hashes[TORCH] = "0" * 64
    with pytest.raises(InstallError, match=f"{TORCH}: its SHA-256 is [0-9a-f]{{64}}, the index says 0000") as caught:
        fetch(plan().artifacts[0], folder)
    assert caught.value.kind == "hash"
    assert os.listdir(folder) == []


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(torch, folder, index):
    index.status = [503, 429]
    assert fetch(torch, folder).exists() and len(index.asked) == 3
    (folder / TORCH).unlink()
    index.asked.clear()
    index.status = [403]
    with pytest.raises(InstallError, match=f"files/{TORCH.split('-')[0]}.* answers 403") as caught:
        fetch(torch, folder)
    assert caught.value.kind == "network" and len(index.asked) == 1


def test_after_a_few_attempts_without_a_byte_it_gives_up_and_keeps_what_it_has(torch, folder, index):
    index.cuts = [100_000] + [0] * 20
    with pytest.raises(InstallError, match=f"no connection to {index.host}: .*HTTP_PROXY is not set") as caught:
        fetch(torch, folder)
    assert caught.value.kind == "network"
    assert len(index.asked) == 1 + len(download.RETRY_DELAYS)
    assert (folder / f"{TORCH}.part").stat().st_size == 100_000


def test_attempts_start_anew_whenever_something_has_come(torch, folder, index):
    index.cuts = [1000] * (3 * len(download.RETRY_DELAYS))
    assert fetch(torch, folder).exists()


def test_whatever_a_report_raises_ends_the_download_and_keeps_the_part(torch, folder, wheels, index):
    class Enough(Exception):
        pass

    def report(done):
        if done > 60_000:
            raise Enough

    with pytest.raises(Enough):
        fetch(torch, folder, report)
    kept = (folder / f"{TORCH}.part").read_bytes()
    assert len(kept) > 60_000 and (wheels / TORCH).read_bytes().startswith(kept)
    assert fetch(torch, folder).exists()
    assert ranges(index) == [None, f"bytes={len(kept)}-"]


def test_a_disk_that_fills_up_is_not_taken_for_a_broken_connection(torch, folder, index, monkeypatch):
    def full(path, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    # The first thing that is done to the file when an answer has come.
    monkeypatch.setattr(os, "truncate", full)
    with pytest.raises(InstallError, match="the disk is full") as caught:
        fetch(torch, folder)
    assert caught.value.kind == "disk" and len(index.asked) == 1


def test_the_whole_installation_goes_on_after_a_break(index, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "RETRY_DELAYS", ())
    index.cuts = [100_000]
    with pytest.raises(InstallError):
        install(tmp_path / "here")
    planned = plan(tmp_path / "here")
    assert planned.download - planned.remaining == 100_000
    assert "of which are downloaded already" in planned.text
    assert package_index.files_in(install(tmp_path / "here")) == package_index.INSTALLED
    assert [(name, wanted) for name, wanted in index.asked] == [
        (TORCH, None),
        (TORCH, "bytes=100000-"),
        (RUNTIME, None),
        (CUPTI, None),
    ]
    assert sorted(path.name for path in tmp_path.glob("here*")) == ["here"]
