"""The axis along which each segment is propagated.

In: segments of the scene, clicks, the user's choice. Out: an axis for each segment. Knows no engine.

The first prompt of a segment, or its painting, gives its axis. The segment keeps it, whichever view is clicked later:
another axis would make every finished slice a prompt. Only `choose` changes it. A segment without painting, results
and prompts has none.
"""

from typing import Any, Optional

import numpy as np

from .grid import Extent

# Larger segments are not searched for the axis of their painted slices: it would take longer than a tick or two.
MAX_VOXELS = 64_000_000
# A segment is painted across an axis if it has this many times fewer slices across it than across any other axis.
MIN_RATIO = 2


class SegmentAxes:
    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._kept: dict[str, str] = {}
        self._chosen: dict[str, str] = {}

    def of(self, segment: str) -> Optional[str]:
        """The axis of a segment; None if any axis would do. Raises SceneError."""
        if segment in self._chosen:
            return self._chosen[segment]
        if self._is_unused(segment):
            return None
        occupied = self._scene.occupied(segment)
        if segment not in self._kept and occupied is not None:
            return self._painted(segment, occupied)
        return self._kept.get(segment)

    def keep(self, segment: str, axis: str) -> None:
        """The segment was prompted or propagated along an axis."""
        self._kept[segment] = axis
        if segment in self._chosen:
            self._chosen[segment] = axis

    def held(self, segment: str) -> tuple[Optional[str], Optional[str]]:
        """The chosen and the kept axis: a value that changes with them."""
        return self._chosen.get(segment), self._kept.get(segment)

    def forget_unused(self, segment: str) -> None:
        """Prompts were removed: a segment that is left with nothing takes the axis of its next prompt."""
        if self._is_unused(segment):
            self._kept.pop(segment, None)

    def _is_unused(self, segment: str) -> bool:
        scene = self._scene
        return scene.occupied(segment) is None and not scene.points(segment) and scene.box(segment) is None

    def choose(self, segment: str, axis: str) -> None:
        """The user has chosen an axis."""
        self._chosen[segment] = axis

    def _painted(self, segment: str, occupied: Extent) -> Optional[str]:
        if occupied.shape[0] * occupied.shape[1] * occupied.shape[2] > MAX_VOXELS:
            return None
        return axis_of_painting(self._scene.mask(segment, occupied))


def axis_of_painting(mask: np.ndarray) -> Optional[str]:
    """The axis across which a mask [k, j, i] is on few slices; None if there is no such axis."""
    plane = mask.any(axis=0)
    held = {"k": mask.reshape(len(mask), -1).any(axis=1), "j": plane.any(axis=1), "i": plane.any(axis=0)}
    counts = {axis: int(slices.sum()) for axis, slices in held.items()}
    fewest, second = sorted(counts.values())[:2]
    if not fewest or fewest * MIN_RATIO > second:
        return None
    return min(counts, key=lambda axis: counts[axis])
