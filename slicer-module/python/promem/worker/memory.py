"""Shared memory: arrays that the client and the worker see at once.

In: a shape and a scalar type. Out: an array of zeros, and a name under which a process of the same user finds it while it is open. The
files have no name in any folder, so that nothing is left behind, whoever dies when. Knows nothing of scans and labels.
"""

import errno
import mmap
import os
import re
import stat
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from .._resource import Resource
from ..errors import Closed, InvalidArgument, IoError

# Memory, where there is enough of it: containers often have 64 MB there.
_SHARED_MEMORY = "/dev/shm"

# Process, descriptor, inode. A descriptor's number is given away again after it was closed; the inode tells whether it was.
_NAME = re.compile(r"([0-9]{1,10})\.([0-9]{1,10})\.([0-9]{1,20})")

_SCALARS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")

_open: "weakref.WeakSet[SharedArray]" = weakref.WeakSet()


class SharedArray(Resource):
    """An array in shared memory, made by the client; 0 everywhere at first.

    `close` it when no `open_scan` will name it any more: the worker's own view of it stays. Views of `array` stay good, too, and the memory
    goes back with the last of them.
    """

    _instead_of_a_copy = (
        "it is one place in memory; copy its array, or give its name, shape and dtype to the other process"
    )

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        """Errors: InvalidArgument for a shape or a scalar type; IoError where no place has room for it."""
        sizes, scalar = _shape([int(size) for size in shape]), _scalar(np.dtype(dtype).str)
        length = _length(sizes, scalar)
        self._file = tempfile.TemporaryFile(dir=_folder(length), buffering=0)  # noqa: SIM115
        self._array: Optional[np.ndarray] = None
        try:
            descriptor = self._file.fileno()
            os.ftruncate(descriptor, length)
            found = os.fstat(descriptor)
            self.length, self.device = length, found.st_dev
            self.name = f"{os.getpid()}.{descriptor}.{found.st_ino}"
            self._array = np.frombuffer(mmap.mmap(descriptor, length), scalar).reshape(sizes)
        except (OSError, ValueError) as trouble:
            self._file.close()
            raise IoError(f"shared memory of {length} bytes: {trouble}") from trouble
        _open.add(self)

    @property
    def array(self) -> np.ndarray:
        if self._array is None:
            raise Closed("shared memory: it was closed")
        return self._array

    @property
    def closed(self) -> bool:
        return self._array is None

    def missing(self) -> int:
        """Bytes that the system will give only when they are written."""
        return 0 if self.closed else max(0, self.length - 512 * os.fstat(self._file.fileno()).st_blocks)

    def close(self) -> None:
        """Closing twice is allowed."""
        _open.discard(self)
        self._array = None
        self._file.close()

    def _describe(self) -> str:
        return f"{self.name} of {self.array.shape} {self.array.dtype}"


def attach(name: Any, shape: Any, dtype: Any, writable: bool = False) -> np.ndarray:
    """The array that another process has made. A writable one is cleared.

    Errors: InvalidArgument for a name, a shape or a scalar type that cannot be, or that are another array's; IoError where it is not open.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidArgument(f"shared memory: {name!r}, expected the name of a SharedArray")
    sizes, scalar = _shape(shape), _scalar(dtype)
    process, number, inode = (int(digits) for digits in found.groups())
    # Not blocking: whatever lies there, opening it takes no time.
    flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(f"/proc/{process}/fd/{number}", flags)
    except OSError as trouble:
        raise IoError(f"shared memory {name}: {trouble.strerror}; expected a SharedArray that is open") from trouble
    try:
        _check(name, os.fstat(descriptor), inode, _length(sizes, scalar), f"{sizes} of {scalar}")
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        array = np.frombuffer(mmap.mmap(descriptor, 0, access=access), scalar).reshape(sizes)
        if writable:
            _clear(descriptor, array)
        return array
    except OSError as trouble:
        raise IoError(f"shared memory {name}: {trouble.strerror}") from trouble
    finally:
        os.close(descriptor)


def _check(name: str, found: os.stat_result, inode: int, length: int, what: str) -> None:
    """Refuses whatever is not the file that was meant."""
    if not stat.S_ISREG(found.st_mode) or found.st_nlink or found.st_ino != inode or found.st_uid != os.geteuid():
        raise InvalidArgument(f"shared memory {name}: it is another file by now, expected a SharedArray that is open")
    if found.st_size != length:
        raise InvalidArgument(f"shared memory {name}: {found.st_size} bytes, expected {length} for {what}")


def _clear(descriptor: int, array: np.ndarray) -> None:
    """Sets to 0 what is not; what was never written is not touched, and goes on taking no memory."""
    bytes_, end = array.reshape(-1).view(np.uint8), 0
    while True:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as trouble:
            if trouble.errno == errno.ENXIO:  # no data from here on
                return
            raise
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        bytes_[begin:end] = 0


def _folder(length: int) -> str:
    """Where there is room. What does not fit would end the process as soon as it is written."""
    looked = []
    for folder in (_SHARED_MEMORY, tempfile.gettempdir()):
        try:
            space, device = os.statvfs(folder), os.stat(folder).st_dev
        except OSError as trouble:
            looked.append(f"{folder}: {trouble.strerror}")
            continue
        promised = sum(other.missing() for other in _open if other.device == device)
        free = space.f_bavail * space.f_frsize - promised
        if length <= free:
            return folder
        looked.append(f"{folder} has {max(0, free) >> 20} MB left")
    raise IoError(f"shared memory of {-(-length >> 20)} MB: {', '.join(looked)}")


def _shape(given: Any) -> tuple[int, ...]:
    if isinstance(given, (list, tuple)) and len(given) == 3 and all(type(size) is int and size > 0 for size in given):
        return tuple(given)
    raise InvalidArgument(f"shape: {given!r}, expected three sizes of 1 or more: along k, j, i")


def _scalar(given: Any) -> np.dtype:
    """By its name or numpy's short form, in this machine's byte order, as shared arrays always are."""
    try:
        scalar = np.dtype(given).newbyteorder("=") if isinstance(given, str) else None
    except (TypeError, ValueError, SyntaxError):
        scalar = None
    if scalar is not None and scalar.name in _SCALARS:
        return scalar
    raise InvalidArgument(f"dtype: {given!r}, expected one of {', '.join(_SCALARS)}")


def _length(sizes: tuple[int, ...], scalar: np.dtype) -> int:
    """Bytes."""
    i, j, k = sizes
    return i * j * k * scalar.itemsize
