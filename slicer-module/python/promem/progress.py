"""What is told of each slice that a propagation makes."""

from dataclasses import dataclass
from typing import Callable

# What a progress callback takes and returns. None and anything true goes on; what is false (False, 0, numpy's False)
# stops.
ProgressCallback = Callable[["Progress"], object]


@dataclass(frozen=True)
class Progress:
    """A slice of an object, just made.

    done: how many slices times objects; expected: of how many (it falls when a run ends early). score: the mask's
    predicted IoU; 1 for a mask that was given. found: False where the object was not found and its run ended.
    """

    object: int
    slice: int
    done: int
    expected: int
    score: float
    found: bool


@dataclass(frozen=True)
class SliceResult:
    """A slice that a propagation in the background has made; score and found as in Progress."""

    object: int
    slice: int
    score: float
    found: bool
