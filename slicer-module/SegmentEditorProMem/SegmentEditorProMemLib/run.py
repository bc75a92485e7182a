"""One propagation of some segments along one axis, as it is written into the scene.

In: what the segments held before, slices as the engine finishes them, its labels. Out: writes to the scene, and how it left the segments.
Slices that the user painted are never written; slices that the user emptied stay empty; slices that are edited while the engine works are
left to the user.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from .grid import AXES, Extent, Grid
from .plan import Kind, Reading, digest

# Slices that are written at once: between two looks at the clock.
MOST_AT_ONCE = 4


@dataclass
class Target:
    """One segment of a run. object: its number in the engine's labels."""

    segment: str
    object: int
    before: Reading
    # Slices whose prompts the engine has.
    prompted: tuple[int, ...]
    # Slices that the engine has finished, and those of them whose labels are not in the scene yet.
    done: set[int] = field(default_factory=set)
    waiting: set[int] = field(default_factory=set)
    # When the engine began with it.
    began: float = 0.0
    # What was written on a slice, as the scene took it.
    written: dict[int, Optional[bytes]] = field(default_factory=dict)

    # The segment has been deleted meanwhile.
    is_gone: bool = False

    def may_write(self, slice_: int) -> bool:
        return (
            not self.is_gone and self.before.kinds.get(slice_) is not Kind.PAINTED and slice_ not in self.before.emptied
        )

    def expected(self, slice_: int) -> Optional[bytes]:
        """What the slice holds unless the user has edited it since the run began."""
        return self.written[slice_] if slice_ in self.written else self.before.digests.get(slice_)


class Run:
    """Writes what the engine finds. labels: the engine's [k, j, i], which grow while it works."""

    def __init__(self, scene, grid: Grid, axis: str, labels: np.ndarray, targets: list[Target], direction: str) -> None:
        self._scene = scene
        self._grid = grid
        self._labels = labels
        self.axis = axis
        self.targets = targets
        self._direction = direction
        self.saved_undo = False
        self._heard: list[tuple[int, int]] = []

    def begins(self, target: Target, now: float) -> None:
        target.began = now

    def heard(self, object_: int, slice_: int) -> None:
        """The engine has made a slice of an object; its labels follow."""
        self._heard.append((object_, slice_))

    def labels_are_there(self) -> None:
        """The labels of everything that was heard of are written."""
        for object_, slice_ in self._heard:
            self._finished(object_, slice_)
        self._heard.clear()

    def _finished(self, object_: int, slice_: int) -> None:
        """Where objects overlap, others on a slice that one was made on may have changed."""
        for target in self.targets:
            if target.object == object_:
                target.done.add(slice_)
            if slice_ in target.done and target.may_write(slice_) and self.is_wanted(target, slice_):
                target.waiting.add(slice_)

    def is_wanted(self, target: Target, slice_: int) -> bool:
        """The engine also tells of what it found before in the other direction: where that was undone it stays away."""
        held = slice_ in target.before.digests or slice_ in target.prompted
        return held or _on_the_way(slice_, target.prompted, self._direction)

    def results_that_ended(self, span: tuple[int, int]) -> None:
        """After a whole run: results of an earlier one that the engine did not find again, where it has looked, are to go."""
        for target in self.targets:
            for slice_, kind in target.before.kinds.items():
                looked = span[0] <= slice_ <= span[1] and _on_the_way(slice_, target.prompted, self._direction)
                if kind is Kind.RESULT and looked and slice_ not in target.done:
                    target.waiting.add(slice_)

    def write(self, until: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Writes what waits until it is done or the time is over; at least one piece of it."""
        for target in self.targets:
            for first, end in _stretches(sorted(target.waiting)):
                try:
                    self._write(target, first, end)
                except self._scene.Error:
                    # The segment is gone, or what it lay on; the others go on.
                    target.waiting.clear()
                    target.is_gone = True
                    break
                if clock() >= until:
                    return

    @property
    def waiting(self) -> bool:
        return any(target.waiting for target in self.targets)

    def _write(self, target: Target, first: int, end: int) -> None:
        box = Extent.of_slices(self._grid.shape, self.axis, first, end)
        held = np.moveaxis(self._scene.mask(target.segment, box), AXES[self.axis], 0)
        labels = np.moveaxis(self._labels[box.slices], AXES[self.axis], 0)
        wanted = held.copy()
        for n, slice_ in enumerate(range(first, end)):
            target.waiting.discard(slice_)
            if digest(held[n]) == target.expected(slice_):
                wanted[n] = labels[n] == target.object
        changed = Extent.of(np.moveaxis(wanted != held, 0, AXES[self.axis]), box.first)
        if changed is not None:
            if not self.saved_undo:
                self._scene.save_undo()
                self.saved_undo = True
            inside = changed.within(box)
            self._scene.write(target.segment, changed, np.moveaxis(wanted, 0, AXES[self.axis])[inside.slices])
            # As it is now: masking may have kept some of it out.
            held = np.moveaxis(self._scene.mask(target.segment, box), AXES[self.axis], 0)
        for n, slice_ in enumerate(range(first, end)):
            if digest(held[n]) is not None or slice_ in target.before.digests:
                target.written[slice_] = digest(held[n])

    def after(self, target: Target, digests: dict[int, bytes]) -> Reading:
        """How the run leaves a segment that now holds `digests`."""
        kinds = {}
        for slice_, held in digests.items():
            if target.written.get(slice_) == held and target.may_write(slice_):
                kinds[slice_] = Kind.RESULT
            elif target.before.digests.get(slice_) == held:
                kinds[slice_] = target.before.kinds[slice_]
            else:
                kinds[slice_] = Kind.PAINTED
        return Reading(self.axis, digests, kinds)


def _on_the_way(slice_: int, prompted: tuple[int, ...], direction: str) -> bool:
    """Whether a walk in that direction from some prompted slice comes by a slice."""
    up = direction in ("both", "up") and any(slice_ > prompt for prompt in prompted)
    down = direction in ("both", "down") and any(slice_ < prompt for prompt in prompted)
    return up or down


def _stretches(slices: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring numbers as (first, end), a few in each."""
    first = 0
    for n in range(1, len(slices) + 1):
        if n == len(slices) or slices[n] != slices[n - 1] + 1 or n - first == MOST_AT_ONCE:
            yield slices[first], slices[n - 1] + 1
            first = n
