"""The prompts of a segment, slice by slice, in the engine's format: points, box and mask.

In: the scene's points and boxes, and a segment's slices. Out: for each slice a dictionary of `points`
[i, j, k, positive], `box` (two corners) and `mask` (packed). Knows no engine.
"""

from typing import Any, Optional

import numpy as np
from promem.worker import masks

from .grid import AXES, Extent, Grid, OutsideScan
from .slice_history import SegmentState


def prompts_of(
    scene: Any, initial_masks: dict[tuple[str, int], np.ndarray], segment: str, axis: str, state: Optional[SegmentState]
) -> dict[int, dict[str, Any]]:
    """All prompts of a segment: slice -> points, box, packed mask.

    initial_masks: masks of slices when their first point was set. state: the kinds of the segment's slices; None
    for a preview, which needs points and boxes only.
    """
    grid = scene.grid()
    prompts = placed_prompts(scene, grid, segment, axis)
    for slice_, given in prompts.items():
        initial_mask = initial_masks.get((segment, slice_))
        if initial_mask is not None and initial_mask.any() and initial_mask.shape == plane_shape(grid, axis):
            given["mask"] = masks.pack(initial_mask)
    for slice_ in state.painted if state is not None else ():
        mask = scene.mask(segment, Extent.of_slices(grid.shape, axis, slice_, slice_ + 1)).squeeze(AXES[axis])
        initial_mask = initial_masks.get((segment, slice_))
        if slice_ in prompts and initial_mask is not None and np.array_equal(initial_mask, mask):
            continue  # the points were set after the painting, and correct it
        # The slice was painted after its points, if it has any: the painted mask replaces them.
        prompts[slice_] = {"mask": masks.pack(mask)}
    return prompts


def placed_prompts(scene: Any, grid: Grid, segment: str, axis: str) -> dict[int, dict[str, Any]]:
    """Points and boxes of a segment: slice -> points [i, j, k, positive] and box corners, without those outside the
    scan.
    """
    along = 2 - AXES[axis]
    prompts: dict[int, dict[str, Any]] = {}
    for ras, positive in scene.points(segment):
        try:
            voxel = grid.voxel(ras)
        except OutsideScan:
            continue
        prompts.setdefault(voxel[along], {}).setdefault("points", []).append([*voxel, bool(positive)])
    box = scene.box(segment)
    if box is not None:
        corners = np.round([grid.index(corner) for corner in box]).astype(int)
        # A box with an extent along this axis was drawn on slices across another one.
        slice_ = int(round(float(np.mean([grid.index(corner)[along] for corner in box]))))
        if abs(corners[0][along] - corners[1][along]) <= 1 and 0 <= slice_ < grid.count(axis):
            corners = np.clip(corners, 0, np.array(grid.shape[::-1]) - 1)
            corners[:, along] = slice_
            prompts.setdefault(slice_, {})["box"] = corners.tolist()
    return prompts


def is_positive(prompts: dict[str, Any]) -> bool:
    """Whether a slice has more than background points."""
    points = prompts.get("points") or []
    return bool(prompts.get("mask") or prompts.get("box") or any(point[3] for point in points))


def plane_shape(grid: Grid, axis: str) -> tuple[int, ...]:
    """Rows and columns of a slice."""
    return tuple(size for number, size in enumerate(grid.shape) if number != AXES[axis])
