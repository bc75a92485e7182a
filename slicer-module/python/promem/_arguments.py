"""What callers give, as C takes it. ctypes cuts numbers that do not fit and ends texts at a NUL: both are refused here."""

import ctypes
import functools
import math
import operator
import os
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional, TypeVar, Union

from .errors import InvalidArgument


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

_Function = TypeVar("_Function", bound=Callable[..., Any])


def refuses(**advice: str) -> Callable[[_Function], _Function]:
    """A function that other packages' habits would call with other keywords says which are its own."""

    def wrap(function: _Function) -> _Function:
        @functools.wraps(function)
        def checked(*arguments: Any, **keywords: Any) -> Any:
            for name in advice.keys() & keywords.keys():
                raise TypeError(f"{function.__qualname__} has no keyword {name}: {advice[name]}")
            return function(*arguments, **keywords)

        return checked  # type: ignore[return-value]

    return wrap


def whole(value: Any, what: str, bits: int, signed: bool = False) -> int:
    """An integer that fits a C type."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidArgument(f"{what}: {value!r:.80}, expected an integer") from None
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
    try:
        given = list(values)
    except TypeError:
        raise InvalidArgument(f"{what}: {values!r:.80}, expected three indices: i, j, k") from None
    if len(given) != 3:
        raise InvalidArgument(f"{what}: {len(given)} indices, expected three: i, j, k")
    return (ctypes.c_int64 * 3)(*(whole(value, what, 64, signed=True) for value in given))


def voxels(values: Any, what: str) -> tuple[Any, int]:
    """Several voxels for C, three indices each, and how many they are."""
    try:
        given = [indices(voxel, what) for voxel in values]
    except TypeError:
        raise InvalidArgument(f"{what}: {values!r:.80}, expected several voxels (i, j, k)") from None
    flat = [index for voxel in given for index in voxel]
    return (ctypes.c_int64 * max(1, len(flat)))(*flat), len(given)


def extent(value: Optional[ExtentLike], shape: tuple[int, int, int]) -> tuple[Any, tuple[int, int, int]]:
    """Six indices for C, and the shape [k, j, i]; a value of None is the whole volume of `shape`."""
    if value is None:
        return None, shape
    try:
        pairs = [tuple(pair) for pair in value]
    except TypeError:
        pairs = []
    if [len(pair) for pair in pairs] != [2, 2, 2]:
        raise InvalidArgument(
            f"extent: {value!r:.80}, expected first and last index along i, along j, along k, such as "
            f"{tuple((0, size - 1) for size in shape[::-1])}"
        )
    flat = [
        whole(number, f"extent along {name}", 64, signed=True) for name, pair in zip("ijk", pairs) for number in pair
    ]
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
    raise InvalidArgument(f"{what}: {value!r:.80}, expected one of {names}")


def text(value: Union[str, "os.PathLike[str]"], what: str) -> bytes:
    """UTF-8 for C."""
    encoded = os.fspath(value).encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise InvalidArgument(f"{what}: {value!r} has a NUL inside")
    return encoded


def window(value: Optional[Sequence[float]]) -> tuple[float, float]:
    """Width and level; (0, 0): chosen by the library."""
    if value is None:
        return 0.0, 0.0
    expected = "expected (width, level), two numbers, or None for a window that fits the scan"
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        width, level = (float(number) for number in value)
    except (TypeError, ValueError):
        raise InvalidArgument(f"window: {value!r:.80}, {expected}") from None
    if not 0 < width < math.inf:
        raise InvalidArgument(f"window: width {width:g}, expected more than 0, or None for a window that fits the scan")
    if not math.isfinite(level):
        raise InvalidArgument(f"window: level {level:g}, expected a finite number")
    return width, level
