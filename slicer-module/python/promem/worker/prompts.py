"""The prompts of an object, and the session calls that change its previous prompts into them.

In: a request's slices. Out: as few calls as possible, because a session keeps the results of unchanged prompts.
Everything is checked before the first call, so that an invalid request changes nothing. Knows nothing of sessions.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import InvalidArgument
from .masks import unpack

Voxel = tuple[int, int, int]

# The name of a session's method, and its arguments after the object.
SessionCall = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class SlicePrompts:
    """The prompts of one slice. mask: packed, which is quick to compare."""

    points: tuple[tuple[Voxel, bool], ...]
    box: Optional[tuple[Voxel, Voxel]]
    mask: Optional[dict[str, Any]]


_NO_PROMPTS = SlicePrompts((), None, None)


@dataclass(frozen=True)
class Grid:
    """The geometry of a scan. sizes: along i, j, k; axis: 0, 1 or 2; slice_shape: rows and columns."""

    sizes: Voxel
    axis: int
    slice_shape: tuple[int, int]


def parse(slices: Any, grid: Grid) -> dict[int, SlicePrompts]:
    """A request's slices by number, without slices without prompts. Errors: InvalidArgument."""
    if not isinstance(slices, list):
        raise InvalidArgument(f"slices: {type(slices).__name__}, expected a list of objects")
    found: dict[int, SlicePrompts] = {}
    for given in slices:
        if not isinstance(given, dict) or not given.keys() <= {"slice", "points", "box", "mask"}:
            raise InvalidArgument(f"slices: {given!r:.80}, expected objects with slice, points, box and mask")
        number = _whole(given.get("slice"), "slice", grid.sizes[grid.axis])
        if number in found:
            raise InvalidArgument(f"slice {number}: it is given twice")
        found[number] = _slice_prompts(given, number, grid)
    return {number: prompts for number, prompts in found.items() if prompts != _NO_PROMPTS}


def _slice_prompts(given: dict[str, Any], number: int, grid: Grid) -> SlicePrompts:
    points = []
    for point in _list(given.get("points", []), "points"):
        *voxel, positive = _list(point, "point", 4)
        if positive not in (True, False):
            raise InvalidArgument(f"point: {positive!r}, expected true or false after its voxel")
        points.append((_voxel(voxel, "point", number, grid), bool(positive)))
    box = given.get("box")
    if box is not None:
        box = tuple(
            _voxel(_list(corner, "box corner", 3), "box corner", number, grid) for corner in _list(box, "box", 2)
        )
    return SlicePrompts(tuple(points), box, given.get("mask"))


def session_calls(before: dict[int, SlicePrompts], after: dict[int, SlicePrompts], grid: Grid) -> list[SessionCall]:
    """The calls that change `before` into `after`. Errors: InvalidArgument for a mask."""
    made: list[SessionCall] = [("remove_slice", (number,)) for number in before if number not in after]
    for number, given in after.items():
        if given != before.get(number):
            made += _change(number, before.get(number), given, grid)
    return made


def _change(number: int, before: Optional[SlicePrompts], after: SlicePrompts, grid: Grid) -> list[SessionCall]:
    made: list[SessionCall] = []
    if before is not None and not _only_adds(before, after):
        made.append(("remove_slice", (number,)))
        before = None
    known = _NO_PROMPTS if before is None else before
    if after.mask is not None and after.mask != known.mask:
        made.append(("add_mask", (number, _mask(after.mask, number, grid))))
    if after.box is not None and after.box != known.box:
        made.append(("add_box", after.box))
    made += [("add_point", point) for point in after.points[len(known.points) :]]
    return made


def _only_adds(before: SlicePrompts, after: SlicePrompts) -> bool:
    """Whether no prompt has to be removed. A box replaces the previous one; a mask takes the place of every earlier prompt
    of its slice, so that a box and points must follow it.
    """
    if after.mask != before.mask:
        return after.mask is not None and before.box is None and not before.points
    return after.points[: len(before.points)] == before.points and (before.box is None or after.box is not None)


def _mask(packed: Any, number: int, grid: Grid) -> Any:
    mask = unpack(packed)
    if mask.shape != grid.slice_shape:
        raise InvalidArgument(f"mask of slice {number}: shape {mask.shape}, expected {grid.slice_shape}")
    if not mask.any():
        raise InvalidArgument(f"mask of slice {number}: it is empty")
    return mask


def _voxel(given: Sequence[Any], what: str, number: int, grid: Grid) -> Voxel:
    i, j, k = (_whole(value, f"{what}, {name}", size) for value, name, size in zip(given, "ijk", grid.sizes))
    if (i, j, k)[grid.axis] != number:
        raise InvalidArgument(f"{what} {i},{j},{k}: not on slice {number}, across {'ijk'[grid.axis]}")
    return i, j, k


def _whole(value: Any, what: str, size: int) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < size:
        raise InvalidArgument(f"{what}: {value!r:.40}, expected 0 to {size - 1}")
    return number


def _list(value: Any, what: str, count: Optional[int] = None) -> list[Any]:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise InvalidArgument(f"{what}: {value!r:.80}, expected a list" + (f" of {count}" if count else ""))
    return value
