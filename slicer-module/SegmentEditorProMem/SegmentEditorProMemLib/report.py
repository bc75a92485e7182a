"""The result of a propagation, slice by slice, for the strip that shows where to correct.

In: scores and prompt slices. Out: bars and doubtful slices. Knows no widget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

# A slice with a predicted IoU below this is doubtful.
DOUBTFUL = 0.7


@dataclass(frozen=True)
class Progress:
    """Progress of a propagation. done, expected: slices; expected falls when an object ends early. slice: newest."""

    segment: str
    done: int
    expected: int
    slice: int
    seconds_left: Optional[float]


@dataclass(frozen=True)
class Report:
    """The result of a propagation of one segment.

    scores: the predicted IoU of each slice across `axis`; 1 for a mask of the user, None if it was not segmented.
    prompted: the prompt slices. seconds: the duration of the propagation.
    """

    segment: str
    axis: str
    scores: tuple[Optional[float], ...]
    prompted: tuple[int, ...]
    seconds: float
    cancelled: bool = False

    @property
    def found(self) -> list[int]:
        """The segmented slices."""
        return [n for n, score in enumerate(self.scores) if score is not None]

    @property
    def doubtful(self) -> list[int]:
        """The doubtful slices, the lowest predicted IoU first."""
        worst = [n for n in self.found if self.scores[n] < DOUBTFUL and n not in self.prompted]
        return sorted(worst, key=lambda n: (self.scores[n], n))

    @property
    def summary(self) -> str:
        """One line."""
        found = self.found
        if not found:
            return "No slice was segmented."
        where = f"{found[0] + 1}" if len(found) == 1 else f"{found[0] + 1} to {found[-1] + 1}"
        slices = f"{len(found)} slice{'s' * (len(found) > 1)} ({where}) in {self.seconds:.1f} s"
        doubtful = [str(n + 1) for n in self.doubtful]
        if not doubtful:
            return slices + "."
        if len(doubtful) == 1:
            return f"{slices}. Look at slice {doubtful[0]}."
        if len(doubtful) < 4:
            return f"{slices}. Look at slices {', '.join(doubtful[:-1])} and {doubtful[-1]}."
        return f"{slices}. Look at slices {', '.join(doubtful[:3])} and {len(doubtful) - 3} more."


def bars(scores: Sequence[Optional[float]], width: int) -> list[tuple[int, int, Optional[float]]]:
    """Slices grouped into at most `width` bars: (first slice, end, lowest score).

    A bar of several slices shows the lowest score, as that slice is the one to check.
    """
    count = len(scores)
    bins = min(max(width, 1), count)
    found = []
    for n in range(bins):
        first, end = n * count // bins, (n + 1) * count // bins
        there = [score for score in scores[first:end] if score is not None]
        found.append((first, end, min(there) if there else None))
    return found
