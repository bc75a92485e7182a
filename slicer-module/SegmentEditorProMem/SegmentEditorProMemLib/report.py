"""The result of a propagation, slice by slice, for the strip that shows where to correct.

In: scores and prompt slices. Out: bars and doubtful slices. Knows no widget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from .i18n import _

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
            return _("No slice was segmented.")
        first, last, seconds = found[0] + 1, found[-1] + 1, self.seconds
        if len(found) == 1:
            slices = _("1 slice ({first}) in {seconds:.1f} s").format(first=first, seconds=seconds)
        else:
            slices = _("{count} slices ({first} to {last}) in {seconds:.1f} s").format(
                count=len(found), first=first, last=last, seconds=seconds
            )
        doubtful = [str(n + 1) for n in self.doubtful]
        if not doubtful:
            return slices + "."
        if len(doubtful) == 1:
            return _("{slices}. Look at slice {slice}.").format(slices=slices, slice=doubtful[0])
        if len(doubtful) < 4:
            return _("{slices}. Look at slices {others} and {last}.").format(
                slices=slices, others=", ".join(doubtful[:-1]), last=doubtful[-1]
            )
        return _("{slices}. Look at slices {others} and {count} more.").format(
            slices=slices, others=", ".join(doubtful[:3]), count=len(doubtful) - 3
        )


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
