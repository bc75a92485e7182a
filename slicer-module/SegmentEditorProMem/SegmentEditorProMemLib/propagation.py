"""One propagation of some segments along one axis, and its writes to the scene.

In: the segments' state before, finished slices, the engine's labels. Out: writes to the scene, and the segments' state
after. Painted slices are never written. Slices that the user emptied stay empty. Slices that the user edits during the
propagation are left unchanged.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

import numpy as np

from .grid import AXES, Extent, Grid
from .slice_history import SegmentState, SliceKind, digest

# Slices in one write; the clock is checked between two writes.
MAX_SLICES_PER_WRITE = 4


@dataclass
class Target:
    """One segment of a propagation. object: its number in the engine's labels."""

    segment: str
    object: int
    before: SegmentState
    # Prompt slices.
    prompted: tuple[int, ...]
    # Slices that the engine has finished, and those of them that are not written to the scene yet.
    done: set[int] = field(default_factory=set)
    pending: set[int] = field(default_factory=set)
    # When the engine started on this segment.
    began: float = 0.0
    # The digest of each written slice, as the scene holds it after masking.
    written: dict[int, Optional[bytes]] = field(default_factory=dict)

    # Whether the segment was deleted during the propagation.
    is_deleted: bool = False

    def is_writable(self, slice_: int) -> bool:
        return (
            not self.is_deleted
            and self.before.kinds.get(slice_) is not SliceKind.PAINTED
            and slice_ not in self.before.emptied
        )

    def expected_digest(self, slice_: int) -> Optional[bytes]:
        """What the slice holds unless the user has edited it since the run began."""
        return self.written[slice_] if slice_ in self.written else self.before.digests.get(slice_)


class UndoStep:
    """One undo state for everything that a job writes, saved before its first write."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self.is_saved = False

    def save(self) -> None:
        if not self.is_saved:
            self._scene.save_undo()
            self.is_saved = True


class Propagation:
    """labels: the engine's labels [k, j, i], which change while it works. undo: the step of the whole job."""

    def __init__(
        self,
        scene: Any,
        grid: Grid,
        axis: str,
        labels: np.ndarray,
        targets: list[Target],
        direction: str,
        undo: UndoStep,
    ) -> None:
        self._scene = scene
        self._grid = grid
        self._labels = labels
        self.axis = axis
        self.targets = targets
        self._direction = direction
        self.undo = undo
        self._awaiting_labels: list[tuple[int, int]] = []

    def mark_started(self, target: Target, now: float) -> None:
        target.began = now

    def slice_finished(self, object_: int, slice_: int) -> None:
        """The engine has finished a slice of an object. The labels follow."""
        self._awaiting_labels.append((object_, slice_))

    def labels_updated(self) -> None:
        """The labels of every finished slice are in shared memory."""
        for object_, slice_ in self._awaiting_labels:
            self._mark_pending(object_, slice_)
        self._awaiting_labels.clear()

    def _mark_pending(self, object_: int, slice_: int) -> None:
        """Marks a slice to be written, for every object: overlapping objects on it may have changed, too."""
        for target in self.targets:
            if target.object == object_:
                target.done.add(slice_)
            if slice_ in target.done and target.is_writable(slice_) and self.is_wanted(target, slice_):
                target.pending.add(slice_)

    def is_wanted(self, target: Target, slice_: int) -> bool:
        """Whether a slice belongs to this propagation. The engine also reports earlier results in the other direction;
        they are not written again if the user has undone them.
        """
        held = slice_ in target.before.digests or slice_ in target.prompted
        return held or _is_reached(slice_, target.prompted, self._direction)

    def clear_stale_results(self, span: tuple[int, int]) -> None:
        """After a whole run: results of an earlier one that the engine did not find again, where it has looked, are
        to go.
        """
        for target in self.targets:
            for slice_, kind in target.before.kinds.items():
                looked = span[0] <= slice_ <= span[1] and _is_reached(slice_, target.prompted, self._direction)
                if kind is SliceKind.RESULT and looked and slice_ not in target.done:
                    target.pending.add(slice_)

    def write(self, until: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Writes pending slices until none is left or the time is over; at least one block."""
        for target in self.targets:
            for first, end in _runs_of_slices(sorted(target.pending)):
                try:
                    self._write(target, first, end)
                except self._scene.Error:
                    # The segment or the segmentation was removed; other segments continue.
                    target.pending.clear()
                    target.is_deleted = True
                    break
                if clock() >= until:
                    return

    @property
    def pending(self) -> bool:
        return any(target.pending for target in self.targets)

    def _write(self, target: Target, first: int, end: int) -> None:
        box = Extent.of_slices(self._grid.shape, self.axis, first, end)
        held = np.moveaxis(self._scene.mask(target.segment, box), AXES[self.axis], 0)
        labels = np.moveaxis(self._labels[box.slices], AXES[self.axis], 0)
        wanted = held.copy()
        for n, slice_ in enumerate(range(first, end)):
            target.pending.discard(slice_)
            if digest(held[n]) == target.expected_digest(slice_):
                wanted[n] = labels[n] == target.object
        changed = Extent.of(np.moveaxis(wanted != held, 0, AXES[self.axis]), box.first)
        if changed is not None:
            self.undo.save()
            inside = changed.within(box)
            self._scene.write(target.segment, changed, np.moveaxis(wanted, 0, AXES[self.axis])[inside.slices])
            # Masking may have changed what was written.
            held = np.moveaxis(self._scene.mask(target.segment, box), AXES[self.axis], 0)
        for n, slice_ in enumerate(range(first, end)):
            if digest(held[n]) is not None or slice_ in target.before.digests:
                target.written[slice_] = digest(held[n])

    def segment_state(self, target: Target, digests: dict[int, bytes]) -> SegmentState:
        """The state of a segment after the propagation, which now holds `digests`."""
        kinds = {}
        for slice_, held in digests.items():
            if target.written.get(slice_) == held and target.is_writable(slice_):
                kinds[slice_] = SliceKind.RESULT
            elif target.before.digests.get(slice_) == held:
                kinds[slice_] = target.before.kinds[slice_]
            else:
                kinds[slice_] = SliceKind.PAINTED
        return SegmentState(self.axis, digests, kinds)


def _is_reached(slice_: int, prompted: tuple[int, ...], direction: str) -> bool:
    """Whether a propagation in that direction from a prompt slice reaches a slice."""
    up = direction in ("both", "up") and any(slice_ > prompt for prompt in prompted)
    down = direction in ("both", "down") and any(slice_ < prompt for prompt in prompted)
    return up or down


def _runs_of_slices(slices: list[int]) -> Iterator[tuple[int, int]]:
    """Consecutive slices as (first, end), at most MAX_SLICES_PER_WRITE in each."""
    first = 0
    for n in range(1, len(slices) + 1):
        if n == len(slices) or slices[n] != slices[n - 1] + 1 or n - first == MAX_SLICES_PER_WRITE:
            yield slices[first], slices[n - 1] + 1
            first = n
