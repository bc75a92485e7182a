"""Decides which slices of a segment are prompts, results, or were emptied by the user.

In: digests of the slices now and after earlier propagations. Out: the kind of each slice. Knows no scene and no
engine.

A slice that is as the last propagation left it is a result. Any other slice was painted or corrected by the user, with
any tool, and is a prompt. If the whole segment is as it was before a propagation, that propagation was undone.
"""

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

import numpy as np

from .grid import AXES

# Recorded states of one segment: earlier propagations are not recognised after an undo.
MAX_CHECKPOINTS = 20


class SliceKind(Enum):
    """The kind of a slice that is not empty."""

    PAINTED = "painted"
    RESULT = "result"


def digest(mask: np.ndarray) -> Optional[bytes]:
    """A hash of a slice (bool, two-dimensional); None for an empty one."""
    if not mask.any():
        return None
    return hashlib.blake2b(np.packbits(mask).tobytes(), digest_size=16, key=repr(mask.shape).encode()).digest()


@dataclass
class Checkpoint:
    """A recorded state of a segment: digest and kind of each slice across `axis` that is not empty."""

    axis: str
    digests: dict[int, bytes] = field(default_factory=dict)
    kinds: dict[int, SliceKind] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmentState:
    """The state of a segment before or after a propagation."""

    axis: str
    # The digest of each slice that is not empty.
    digests: dict[int, bytes]
    kinds: dict[int, SliceKind]
    # Slices that the user emptied: they held a result.
    emptied: frozenset[int] = frozenset()

    @property
    def painted(self) -> list[int]:
        return sorted(slice_ for slice_, kind in self.kinds.items() if kind is SliceKind.PAINTED)


class History:
    """The recorded states of one segment, the newest last."""

    def __init__(self) -> None:
        self._checkpoints: list[Checkpoint] = []

    def record(self, reading: SegmentState) -> None:
        """Records a segment before or after a propagation."""
        self._checkpoints.append(Checkpoint(reading.axis, dict(reading.digests), dict(reading.kinds)))
        del self._checkpoints[:-MAX_CHECKPOINTS]

    def forget(self) -> None:
        self._checkpoints.clear()

    def classify(self, axis: str, digests: dict[int, bytes]) -> SegmentState:
        """The kinds of the slices, from their current digests."""
        known = [checkpoint for checkpoint in self._checkpoints if checkpoint.axis == axis]
        for checkpoint in reversed(known):
            if checkpoint.digests == digests:
                return SegmentState(axis, digests, dict(checkpoint.kinds))
        last = known[-1] if known else Checkpoint(axis)
        kinds = {
            slice_: last.kinds[slice_] if last.digests.get(slice_) == held else SliceKind.PAINTED
            for slice_, held in digests.items()
        }
        # A segment that is cleared completely starts again without history.
        emptied = [slice_ for slice_, kind in last.kinds.items() if kind is SliceKind.RESULT and slice_ not in digests]
        return SegmentState(axis, digests, kinds, frozenset(emptied) if digests else frozenset())


def digests_of(mask: np.ndarray, axis: str, first: int = 0) -> dict[int, bytes]:
    """Digests of the slices of a mask [k, j, i] that are not empty. first: the number of its first slice."""
    planes = np.moveaxis(mask, AXES[axis], 0)
    found = {first + n: digest(plane) for n, plane in enumerate(planes)}
    return {slice_: held for slice_, held in found.items() if held is not None}
