"""What a propagation found, slice by slice, for the strip that shows where to correct.

In: scores and kinds of slices. Out: bars and the slices that are worth a look. Knows no widget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

# A score below this is worth a look: the network itself expects less overlap than that.
DOUBTFUL = 0.7


@dataclass(frozen=True)
class Progress:
    """How far a propagation is. done, expected: slices; expected falls when an object ends early. slice: the newest one."""

    segment: str
    done: int
    expected: int
    slice: int
    seconds_left: Optional[float]


@dataclass(frozen=True)
class Report:
    """What there is of one segment.

    scores: for each slice across `axis` the predicted overlap (IoU) of its mask, 1 where the user made it, None where there is nothing.
    prompted: slices that carry prompts. seconds: how long the propagation took.
    """

    segment: str
    axis: str
    scores: tuple[Optional[float], ...]
    prompted: tuple[int, ...]
    seconds: float
    cancelled: bool = False

    @property
    def found(self) -> list[int]:
        """Slices that hold something."""
        return [n for n, score in enumerate(self.scores) if score is not None]

    @property
    def doubtful(self) -> list[int]:
        """Slices to look at, the most doubtful first."""
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
    """Slices gathered into at most `width` bars: (first slice, end, the lowest score in it). Where one bar stands for several slices it shows the
    worst of them: that is the one to see."""
    count = len(scores)
    bins = min(max(width, 1), count)
    found = []
    for n in range(bins):
        first, end = n * count // bins, (n + 1) * count // bins
        there = [score for score in scores[first:end] if score is not None]
        found.append((first, end, min(there) if there else None))
    return found
