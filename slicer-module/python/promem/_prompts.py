"""Masks, label maps and points in millimetres, as a session takes prompts: masks of slices and voxels.

In: arrays, numbers. Out: what is meant, where there is no doubt about it. Knows nothing of sessions.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from ._arguments import choice, slice_number
from .errors import InvalidArgument

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Millimetres along these axes, as the map to patient space (RAS) has them.
_SPACES = {"RAS": 1, "LPS": -1}

_MOST = 65535


def inside(array: Any, what: str = "mask") -> "NDArray[np.bool_]":
    """Which pixels a mask holds: those that are not 0. A mask has one value beside 0, whichever: probabilities and maps
    of several labels are not cut without being asked.
    """
    given = np.asarray(array)
    if given.dtype.kind not in "biuf":
        raise InvalidArgument(f"{what}: {given.dtype}, expected numbers or truth values")
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise InvalidArgument(f"{what}: {(~np.isfinite(given)).sum()} pixels are NaN or infinite, expected 0 and 1")
    found: NDArray[np.bool_] = given != 0
    if given.dtype.kind != "b":
        values = given[found]
        others = values[values != values[0]] if values.size else values
        if others.size:
            raise InvalidArgument(
                f"{what}: it has the values {values[0]} and {others[0]}, expected one beside 0; say what is inside, "
                f"such as mask == {values[0]} or mask > 0.5"
            )
    return found


def slice_mask(array: Any, shape: tuple[int, int]) -> "NDArray[np.uint8]":
    """A mask of a slice as contiguous bytes, 1 inside."""
    given = np.asarray(array)
    if given.shape != shape:
        raise InvalidArgument(f"mask: shape {given.shape}, expected {shape}, rows and columns of a slice")
    return np.ascontiguousarray(inside(given)).view(np.uint8)


Slices = Union[None, int, str, Iterable[int]]


def label_map(
    array: "NDArray[Any]", shape: tuple[int, int, int], position: int, slices: Slices
) -> dict[int, dict[int, "NDArray[np.bool_]"]]:
    """The masks of a label map, by label, then slice. position: of the axis in [k, j, i]; slices: as
    `Session.add_label_map` has them.
    """
    planes = np.moveaxis(labels(array, shape), position, 0)
    on: dict[int, list[int]] = {}
    for number, plane in enumerate(planes):
        if plane.any():
            for label in np.flatnonzero(np.bincount(plane.ravel())).tolist():
                on.setdefault(label, []).append(number)
    on.pop(0, None)
    if not on:
        raise InvalidArgument("label map: it is 0 everywhere, expected the number of an object at its voxels")
    return {
        label: {number: planes[number] == label for number in _chosen(slices, present, label)}
        for label, present in sorted(on.items())
    }


def labels(array: "NDArray[Any]", shape: tuple[int, int, int]) -> "NDArray[np.uint16]":
    """The numbers of objects of a label map of the scan's shape, contiguous."""
    if array.shape != shape:
        raise InvalidArgument(f"label map: shape {array.shape}, expected the scan's {shape}: [k, j, i]")
    if array.dtype.kind not in "biuf":
        raise InvalidArgument(f"label map: {array.dtype}, expected whole numbers")
    if array.dtype.kind in "if" or array.dtype.itemsize > 2:
        # NaN is in no range.
        wrong = array[~((array >= 0) & (array <= _MOST))]
        if array.dtype.kind == "f" and not wrong.size:
            wrong = array[array != np.floor(array)]
        if wrong.size:
            raise InvalidArgument(f"label map: it has the value {wrong[0]}, expected whole numbers from 0 to {_MOST}")
    return np.ascontiguousarray(array, np.uint16)


def _chosen(slices: Slices, present: list[int], label: int) -> list[int]:
    """Which slices count, of those that a label lies on. As on the command line (rust/bin/promem/prompts.rs): without a
    word the middle of the label's extent, or, where the label skips that one, the nearest that has it.
    """
    first, last = present[0], present[-1]
    if slices is None:
        return [min(present, key=lambda number: abs(number - (first + last) // 2))]
    if isinstance(slices, str):
        choice(slices, {"all": 0}, "slice")
        return present
    wanted = [slice_number(number) for number in (slices if isinstance(slices, Iterable) else [slices])]
    if not wanted:
        raise InvalidArgument('slice: no number, expected one or more, None for the middle of each label, or "all"')
    for number in wanted:
        if number not in present:
            raise InvalidArgument(
                f"label map: label {label} is not on slice {number}; it lies between {first} and {last}"
            )
    return wanted


def voxel_at(point: Any, space: str, ijk_to_ras: "NDArray[np.float64]", shape: Sequence[int]) -> tuple[int, int, int]:
    """The voxel (i, j, k) that a point in millimetres lies in."""
    sign = choice(space, _SPACES, "space")
    try:
        x, y, z = (float(number) for number in point)
    except (TypeError, ValueError):
        raise InvalidArgument(f"point: {point!r:.80}, expected three numbers in mm") from None
    i, j, k = np.linalg.solve(ijk_to_ras, [sign * x, sign * y, z, 1.0])[:3]
    # Voxels are as wide to both sides of their centres. NaN is inside of nothing.
    found = np.array([i, j, k])
    if not ((found >= -0.5) & (found < np.array(shape[::-1]) - 0.5)).all():
        raise InvalidArgument(
            f"point {x:g},{y:g},{z:g} mm ({space}): it lies at voxel {i:.1f},{j:.1f},{k:.1f}, expected one of the scan's "
            f"{' x '.join(str(size) for size in shape[::-1])}; is it {space}?"
        )
    i, j, k = np.floor(found + 0.5).astype(int).tolist()
    return i, j, k
