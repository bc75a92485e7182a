"""What a segment's slices are to a propagation: prompts, results, or slices that the user has emptied.

In: what the slices hold now and what was left there. Out: which of them to take as prompts and which to leave alone. Pure decisions on
digests of slices; knows no scene and no engine.

A slice that holds what the last propagation left there is its result. Anything else that is on a slice has been painted or corrected by the
user, with whatever tool, and is a prompt. Where a whole segment looks as it did before a propagation, the propagation was undone.
"""

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

import numpy as np

from .grid import AXES, Extent

# How many propagations of one segment can be recognised after they were undone.
MAX_CHECKPOINTS = 20


class SliceKind(Enum):
    """What a slice that is not empty is."""

    PAINTED = "painted"
    RESULT = "result"


def digest(mask: np.ndarray) -> Optional[bytes]:
    """A short name for what a slice (bool, two-dimensional) holds; None for nothing."""
    if not mask.any():
        return None
    return hashlib.blake2b(np.packbits(mask).tobytes(), digest_size=16, key=repr(mask.shape).encode()).digest()


@dataclass
class Checkpoint:
    """How a segment was left: for each slice that is not empty its digest and kind. axis: that the slices lie across."""

    axis: str
    digests: dict[int, bytes] = field(default_factory=dict)
    kinds: dict[int, SliceKind] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmentState:
    """What a propagation has to know of a segment."""

    axis: str
    # What each slice that is not empty holds.
    digests: dict[int, bytes]
    kinds: dict[int, SliceKind]
    # Slices that held a result and are empty now: the user does not want them.
    emptied: frozenset[int] = frozenset()

    @property
    def painted(self) -> list[int]:
        return sorted(slice_ for slice_, kind in self.kinds.items() if kind is SliceKind.PAINTED)


class History:
    """How the propagations of one segment have left it, the newest last."""

    def __init__(self) -> None:
        self._checkpoints: list[Checkpoint] = []

    def record(self, reading: SegmentState) -> None:
        """Remembers how a segment is before or after a propagation."""
        self._checkpoints.append(Checkpoint(reading.axis, dict(reading.digests), dict(reading.kinds)))
        del self._checkpoints[:-MAX_CHECKPOINTS]

    def forget(self) -> None:
        self._checkpoints.clear()

    def classify(self, axis: str, digests: dict[int, bytes]) -> SegmentState:
        """What the slices are, by what they hold now."""
        known = [checkpoint for checkpoint in self._checkpoints if checkpoint.axis == axis]
        for checkpoint in reversed(known):
            if checkpoint.digests == digests:
                return SegmentState(axis, digests, dict(checkpoint.kinds))
        last = known[-1] if known else Checkpoint(axis)
        kinds = {
            slice_: last.kinds[slice_] if last.digests.get(slice_) == held else SliceKind.PAINTED
            for slice_, held in digests.items()
        }
        # A segment that is cleared as a whole begins anew.
        emptied = [slice_ for slice_, kind in last.kinds.items() if kind is SliceKind.RESULT and slice_ not in digests]
        return SegmentState(axis, digests, kinds, frozenset(emptied) if digests else frozenset())


def axis_of_single_slice(extent: Optional[Extent]) -> Optional[str]:
    """The axis across which a segment lies on a single slice; None where it does not, or does for several axes."""
    if extent is None:
        return None
    single = [axis for axis, number in AXES.items() if extent[number][1] - extent[number][0] == 1]
    return single[0] if len(single) == 1 else None


def digests_of(mask: np.ndarray, axis: str, first: int = 0) -> dict[int, bytes]:
    """Digests of the slices of a mask [k, j, i] that are not empty; its first slice across the axis has number `first`."""
    planes = np.moveaxis(mask, AXES[axis], 0)
    found = {first + n: digest(plane) for n, plane in enumerate(planes)}
    return {slice_: held for slice_, held in found.items() if held is not None}
