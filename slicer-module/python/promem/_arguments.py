"""What callers give, as C takes it. ctypes cuts numbers that do not fit and ends texts at a NUL: both are refused here."""

import ctypes
import operator
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from . import _abi
from .errors import InvalidArgument, Unsupported


class Extent(NamedTuple):
    """A box of voxels: first and last index along i, along j, along k, all inside."""

    i: tuple[int, int]
    j: tuple[int, int]
    k: tuple[int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The index of the box in an array [k, j, i]."""
        k, j, i = (slice(first, last + 1) for first, last in (self.k, self.j, self.i))
        return k, j, i

    @property
    def shape(self) -> tuple[int, int, int]:
        """The box's size [k, j, i]."""
        k, j, i = (last + 1 - first for first, last in (self.k, self.j, self.i))
        return k, j, i


ExtentLike = Union[Extent, Sequence[Sequence[int]]]


def whole(value: Any, what: str, bits: int, signed: bool = False) -> int:
    """An integer that fits a C type."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidArgument(f"{what}: {value!r}, expected an integer") from None
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not least <= number <= most:
        raise InvalidArgument(f"{what}: {number}, expected {least} to {most}")
    return number


def object_number(value: Any) -> int:
    return whole(value, "object", 32)


def slice_number(value: Any) -> int:
    return whole(value, "slice", 64, signed=True)


def indices(values: Any, what: str) -> Any:
    """Three voxel indices i, j, k."""
    given = list(values)
    if len(given) != 3:
        raise InvalidArgument(f"{what}: {len(given)} indices, expected three: i, j, k")
    return (ctypes.c_int64 * 3)(*(whole(value, what, 64, signed=True) for value in given))


def extent(value: Optional[ExtentLike], shape: tuple[int, int, int]) -> tuple[Any, tuple[int, int, int]]:
    """Six indices for C, and the shape [k, j, i]; a value of None is the whole volume of `shape`."""
    if value is None:
        return None, shape
    pairs = [tuple(pair) for pair in value]
    if [len(pair) for pair in pairs] != [2, 2, 2]:
        raise InvalidArgument(f"extent: {value!r}, expected first and last index along i, along j, along k")
    flat = [whole(number, "extent", 64, signed=True) for pair in pairs for number in pair]
    # An array of a negative or a vast size would fail before C says what is wrong.
    for name, first, last, size in zip("ijk", flat[::2], flat[1::2], shape[::-1]):
        if not 0 <= first <= last < size:
            raise InvalidArgument(
                f"extent {first},{last} along {name}: expected two rising indices between 0 and {size - 1}"
            )
    i, j, k = zip(flat[::2], flat[1::2])
    return (ctypes.c_int64 * 6)(*flat), Extent(i, j, k).shape


def choice(value: Any, known: dict[Any, int], what: str) -> int:
    """The number of one of a few words."""
    try:
        # True and 1 are the same key, but only one of them is meant.
        if type(value) in {type(key) for key in known}:
            return known[value]
    except KeyError:
        pass
    names = ", ".join(repr(key) if isinstance(key, str) else str(key) for key in known)
    raise InvalidArgument(f"{what}: {value!r}, expected one of {names}")


def text(value: Union[str, "os.PathLike[str]"], what: str) -> bytes:
    """UTF-8 for C."""
    encoded = os.fspath(value).encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise InvalidArgument(f"{what}: {value!r} has a NUL inside")
    return encoded


def window(value: Optional[tuple[float, float]]) -> tuple[float, float]:
    """Width and level; (0, 0): chosen by the library."""
    if value is None:
        return 0.0, 0.0
    width, level = (float(number) for number in value)
    if not width > 0:
        raise InvalidArgument(f"window: width {width}, expected more than 0, or None for a window that fits the scan")
    return width, level


def voxels(array: Any) -> np.ndarray:
    """The array itself where C can read it in place. Only one that repeats a single voxel along all axes is copied."""
    if not isinstance(array, np.ndarray):
        raise InvalidArgument(f"voxels: {type(array).__name__}, expected a numpy array indexed [k, j, i]")
    if isinstance(array, np.ma.MaskedArray):
        raise InvalidArgument("voxels: a masked array, expected values everywhere; give voxels.filled(value)")
    if array.ndim != 3:
        raise InvalidArgument(f"voxels: {array.ndim} axes, expected three: [k, j, i]")
    if not array.dtype.isnative:
        raise Unsupported(
            f'voxels: {array.dtype} is of another byte order; give voxels.astype(voxels.dtype.newbyteorder("="))'
        )
    if _key(array) not in _abi.SCALARS:
        hints = {"b": "view(np.uint8)", "f": "astype(np.float32)"}
        hint = hints.get(array.dtype.kind, "astype of one of these")
        raise Unsupported(
            f"voxels: {array.dtype} is not handled, expected int8 to int64, uint8 to uint64, float32 or float64; "
            f"give voxels.{hint}"
        )
    # All strides 0 means "contiguous" in C.
    return array if any(_strides(array)) else np.ascontiguousarray(array)


def _key(array: np.ndarray) -> str:
    return f"{array.dtype.kind}{array.dtype.itemsize}"


def _strides(array: np.ndarray) -> tuple[int, ...]:
    """Bytes along i, j, k."""
    return array.strides[::-1]


def volume(array: np.ndarray, ijk_to_ras: Any, spacing: Any) -> _abi.Volume:
    """The struct that describes an array that `voxels` has let pass."""
    described = _abi.Volume(struct_size=ctypes.sizeof(_abi.Volume))
    described.scalar_type = _abi.SCALARS[_key(array)]
    described.voxels = array.ctypes.data
    described.dims[:] = array.shape[::-1]
    described.strides[:] = _strides(array)
    for row, values in enumerate(_map(ijk_to_ras, spacing)):
        described.ijk_to_ras[row][:] = values
    return described


def _map(ijk_to_ras: Any, spacing: Any) -> Any:
    if ijk_to_ras is None:
        steps = np.asarray((1.0, 1.0, 1.0) if spacing is None else spacing, dtype=np.float64)
        if steps.shape != (3,):
            raise InvalidArgument(f"spacing: shape {steps.shape}, expected three numbers: along i, j, k in mm")
        return np.diag([*steps, 1.0])[:3].tolist()
    if spacing is not None:
        raise InvalidArgument("ijk_to_ras and spacing: both are given, expected one of them")
    matrix = np.asarray(ijk_to_ras, dtype=np.float64)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise InvalidArgument(f"ijk_to_ras: shape {matrix.shape}, expected (4, 4) or its upper (3, 4)")
    if matrix.shape == (4, 4) and matrix[3].tolist() != [0, 0, 0, 1]:
        raise InvalidArgument(f"ijk_to_ras: its last row is {matrix[3].tolist()}, expected [0, 0, 0, 1]")
    return matrix[:3].tolist()


def mask(array: Any, shape: tuple[int, int]) -> np.ndarray:
    """A mask of a slice as contiguous bytes, not 0 inside."""
    given = np.asarray(array)
    if given.shape != shape:
        raise InvalidArgument(f"mask: shape {given.shape}, expected {shape}, rows and columns of a slice")
    if given.dtype.kind not in "biuf":
        raise InvalidArgument(f"mask: {given.dtype}, expected numbers or truth values")
    return np.ascontiguousarray(given != 0).view(np.uint8)


def pointer(array: np.ndarray, of: Any) -> Any:
    """The address of a contiguous array's first value."""
    return array.ctypes.data_as(ctypes.POINTER(of))
