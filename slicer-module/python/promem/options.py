"""Options of a propagation."""

import ctypes
import numbers
from collections.abc import Iterable
from typing import Any, Literal, Optional, TypedDict

from . import _abi
from ._arguments import choice, object_number, slice_number, whole
from .errors import InvalidArgument

Direction = Literal["both", "up", "down"]
Memory = Literal["search", "sam2"]
Prior = Literal["none", "previous", "registered"]
FieldOfView = Literal["slice", "object"]


class PropagateKeywords(TypedDict, total=False):
    """The keywords of `propagate_options`, for type checkers."""

    direction: Direction
    object: Optional[int]
    range: Optional[tuple[int, int]]
    never_stop: bool
    memory: Memory
    windows: Iterable[int]
    beams: Optional[int]
    include_prompt: Optional[bool]
    all_pointers: Optional[bool]
    prior: Optional[Prior]
    field_of_view: Optional[FieldOfView]
    presence_threshold: Optional[float]
    accept_iou: Optional[float]
    intensity_weight: Optional[float]


def propagate_options(
    *,
    direction: Direction = "both",
    object: Optional[int] = None,
    range: Optional[tuple[int, int]] = None,
    never_stop: bool = False,
    memory: Memory = "search",
    windows: Iterable[int] = (),
    beams: Optional[int] = None,
    include_prompt: Optional[bool] = None,
    all_pointers: Optional[bool] = None,
    prior: Optional[Prior] = None,
    field_of_view: Optional[FieldOfView] = None,
    presence_threshold: Optional[float] = None,
    accept_iou: Optional[float] = None,
    intensity_weight: Optional[float] = None,
) -> _abi.PropagateOptions:
    """The options of `Session.propagate` and `Session.start_propagate`. None is the default of the method or the model.

    direction: "both", "up" (towards higher slice numbers) or "down" from every prompted slice.
    object: the only object to propagate; None: all.
    range: first and last slice to stay within, both inside.
    never_stop: predict every slice, also where the object seems to have ended.
    memory: "search" is memory window search; "sam2" is plain SAM 2 propagation.
    windows: up to six memory windows to try on each slice, 1 to 6 slices each.
    beams: banks kept from slice to slice, 1 to 16.
    include_prompt: whether every candidate attends to the prompt's memory.
    all_pointers: whether candidates attend to object pointers beyond their window, as SAM 2 does.
    prior: mask prior from the previous slice: "none", "previous" (its mask as it is) or "registered", the mask moved by registration.
    field_of_view: the part of a slice that the network gets: "slice", all of it, or "object", the object and its surroundings.
    presence_threshold: minimum object-presence probability to continue, above 0 and below 1.
    accept_iou: further candidates are tried only where the first one's predicted IoU is below this, up to 1; None: all on every slice.
    intensity_weight: weight of the intensity model of the prompted slice, 0 (off) to 4; None: the model's own.
    """
    options = _abi.PropagateOptions(struct_size=ctypes.sizeof(_abi.PropagateOptions))
    options.direction = choice(direction, _abi.DIRECTIONS, "direction")
    if object is not None:
        options.object = _not_zero(object_number(object), "object")
    if range is not None:
        first, last = _pair(range)
        options.use_range, options.first_slice, options.last_slice = 1, slice_number(first), slice_number(last)
    options.never_stop = bool(never_stop)
    options.memory = choice(memory, _abi.MEMORIES, "memory")
    tried = [_not_zero(whole(window, "windows", 32), "windows") for window in windows]
    if len(tried) > len(options.windows):
        raise InvalidArgument(f"windows: {len(tried)} of them, expected at most {len(options.windows)}")
    options.windows[: len(tried)] = tried
    if beams is not None:
        options.beams = _not_zero(whole(beams, "beams", 32), "beams")
    options.include_prompt = choice(include_prompt, _abi.CHOICES, "include_prompt")
    options.all_pointers = choice(all_pointers, _abi.CHOICES, "all_pointers")
    options.prior = choice(prior, _abi.PRIORS, "prior")
    options.field_of_view = choice(field_of_view, _abi.VIEWS, "field_of_view")
    if presence_threshold is not None:
        options.presence_threshold = _probability(presence_threshold)
    if accept_iou is not None:
        options.accept_iou = _within(accept_iou, "accept_iou", 1)
        if options.accept_iou == 0:
            raise InvalidArgument("accept_iou: 0, expected a number above 0; None tries all candidates on every slice")
    if intensity_weight is not None:
        options.intensity_weight = _within(intensity_weight, "intensity_weight", 4) or -1.0  # in C 0 is the default
    return options


def _within(value: float, what: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= most:
        raise InvalidArgument(f"{what}: {value!r}, expected a number between 0 and {most}")
    return float(value)


def _probability(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < 1:
        raise InvalidArgument(f"presence_threshold: {value!r}, expected a probability between 0 and 1, both outside")
    return float(value)


def _pair(value: Any) -> tuple[Any, Any]:
    """First and last of a range."""
    try:
        first, last = value
    except (TypeError, ValueError):
        raise InvalidArgument(f"range: {value!r}, expected the first and the last slice") from None
    return first, last


def _not_zero(number: int, what: str) -> int:
    """In C 0 is the default; here the default is not to say anything."""
    if number == 0:
        raise InvalidArgument(f"{what}: 0, expected 1 or more")
    return number
