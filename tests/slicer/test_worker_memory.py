"""Shared memory, whatever happens to those who share it."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from promem import Closed, InvalidArgument, IoError
from promem.worker import SharedArray, memory
from worker_harness import PACKAGE, descriptors


def used():
    """Bytes that lie in the shared memory of this system."""
    space = os.statvfs("/dev/shm")
    return (space.f_blocks - space.f_bfree) * space.f_frsize


def test_shared_arrays_are_visible_to_both_processes():
    with SharedArray((2, 3, 4), np.int16) as made:
        assert made.array.shape == (2, 3, 4) and not made.array.any()
        made.array[:] = np.arange(24).reshape(2, 3, 4)
        seen = memory.attach(made.name, [2, 3, 4], "int16")
        np.testing.assert_array_equal(seen, made.array)
        assert not seen.flags.writeable
        made.array[1, 2, 3] = -5
        assert seen[1, 2, 3] == -5


def test_a_writable_array_is_cleared_and_written_back():
    for folder in ("/dev/shm", tempfile.gettempdir()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "_SHARED_MEMORY", folder)
            with SharedArray((3, 500, 700), "uint16") as made:
                made.array[0, 7:9, :] = 3
                made.array[2, 499, 699] = 4
                seen = memory.attach(made.name, [3, 500, 700], "uint16", writable=True)
                assert not made.array.any()
                seen[1, 1, 1] = 9
                assert made.array[1, 1, 1] == 9 and made.array.sum() == 9


def test_clearing_takes_no_memory_where_nothing_was_written():
    with SharedArray((64, 1024, 1024), "uint16") as made:
        made.array[3, 0, 0] = 1
        before = made.missing()
        memory.attach(made.name, [64, 1024, 1024], "uint16", writable=True)
        assert not made.array[3].any()
        assert before > 120 << 20 and made.missing() > 120 << 20


def test_numpys_short_names_are_understood():
    with SharedArray((1, 2, 3), ">i4") as made:
        assert made.array.dtype == np.int32 and made.array.dtype.isnative
        for name in ("int32", "<i4", ">i4", made.array.dtype.str):
            assert memory.attach(made.name, [1, 2, 3], name).dtype == np.int32


def test_an_attached_view_outlives_the_array_and_its_name():
    with SharedArray((2, 2, 2), "uint8") as made:
        made.array[:] = 7
        seen, view, name = memory.attach(made.name, [2, 2, 2], "uint8"), made.array[1], made.name
    made.close()
    assert made.closed and (seen == 7).all() and (view == 7).all()
    with pytest.raises(Closed):
        _ = made.array
    with pytest.raises((IoError, InvalidArgument), match="expected a SharedArray that is open"):
        memory.attach(name, [2, 2, 2], "uint8")


def test_a_reused_descriptor_is_not_the_array():
    with SharedArray((2, 2, 2), "uint8") as made, SharedArray((2, 2, 2), "uint8") as other:
        process, _, inode = made.name.split(".")
        _, descriptor, _ = other.name.split(".")
        with pytest.raises(InvalidArgument, match="not the one that was shared"):
            memory.attach(f"{process}.{descriptor}.{inode}", [2, 2, 2], "uint8")


def test_only_names_of_shared_arrays_are_opened(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(8))
    with open(file, "rb") as opened:
        named = f"{os.getpid()}.{opened.fileno()}.{os.fstat(opened.fileno()).st_ino}"
        with pytest.raises(InvalidArgument, match="not the one that was shared"):
            memory.attach(named, [2, 2, 2], "uint8")
    for name in ("", "x", str(file), "../../etc/passwd", "1.2", "1.2.3.4", "1.-2.3", "१.2.3", None, 5, "1.2.3\n"):
        with pytest.raises(InvalidArgument, match="expected the name of a SharedArray"):
            memory.attach(name, [2, 2, 2], "uint8")


def test_sizes_are_checked():
    with SharedArray((2, 3, 4), "int16") as made:
        for shape, dtype in (([2, 3, 5], "int16"), ([2, 3, 4], "int8"), ([2, 3, 4], "int32")):
            with pytest.raises(InvalidArgument, match="48 bytes, expected"):
                memory.attach(made.name, shape, dtype)
        for shape in ([2, 3], [2, 3, 0], [2, 3, -4], [2, 3, 4.0], [2, 3, True], None, "234"):
            with pytest.raises(InvalidArgument, match="shape"):
                memory.attach(made.name, shape, "int16")
        for dtype in ("float16", "complex64", "object", "i2,i2", "nothing", "bool", "(2,)i2", None, 3):
            with pytest.raises(InvalidArgument, match="dtype"):
                memory.attach(made.name, [2, 3, 4], dtype)
    for shape, dtype in (((0, 1, 1), "int8"), ((2, 2), "int8"), ((2, 2, 2), "float16"), ((2, 2, 2), bool)):
        with pytest.raises(InvalidArgument):
            SharedArray(shape, dtype)


def test_an_array_that_does_not_fit_is_rejected_before_it_is_written(monkeypatch):
    with pytest.raises(IoError, match=r"shared memory of \d+ MB: /dev/shm has \d+ MB left, "):
        SharedArray((1 << 20, 1 << 20, 64), "uint8")
    real = os.statvfs

    class Small:
        f_bavail, f_frsize = 100, 1 << 20

    monkeypatch.setattr(os, "statvfs", lambda path: Small() if path == "/dev/shm" else real(path))
    shared, temporary = os.stat("/dev/shm").st_dev, os.stat(tempfile.gettempdir()).st_dev
    if shared == temporary:
        pytest.skip("the temporary folder lies in /dev/shm")
    with SharedArray((60, 1024, 1024), "uint8") as first, SharedArray((60, 1024, 1024), "uint8") as second:
        # The first is not written yet, but what it will need is spoken for.
        assert (first.device, second.device) == (shared, temporary)


def test_nothing_is_left_in_shared_memory():
    before, files, opened = used(), sorted(os.listdir("/dev/shm")), descriptors()
    for _ in range(3):
        with SharedArray((100, 1024, 1024), "uint8") as made:
            made.array[:] = 1
            memory.attach(made.name, [100, 1024, 1024], "uint8")
            assert sorted(os.listdir("/dev/shm")) == files
    assert descriptors() == opened
    assert used() < before + (50 << 20)


def test_nothing_is_left_of_a_program_that_was_killed():
    before, files = used(), sorted(os.listdir("/dev/shm"))
    program = """
import sys
from promem.worker import Engine
engine = Engine()
made = engine.scan_memory((100, 1024, 1024), "uint8")
made.array[:] = 1
print(made.name, flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as running:
        name = running.stdout.readline().strip()
        assert memory.attach(name, [100, 1024, 1024], "uint8").all()
        assert used() > before + (50 << 20)
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL
    assert used() < before + (50 << 20) and sorted(os.listdir("/dev/shm")) == files
    with pytest.raises(IoError, match=name):
        memory.attach(name, [100, 1024, 1024], "uint8")
    assert not pathlib.Path(f"/proc/{running.pid}").exists()
