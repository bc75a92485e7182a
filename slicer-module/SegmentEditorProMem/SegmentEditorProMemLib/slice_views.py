"""Slice views: the slice of the scan that they show, and jumps to another slice.

In: a MRML scene, a grid. Out: slice numbers, moved views. Knows no widget.
"""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
import slicer

from .grid import Grid, nearest_axis
from .labelmaps import array_of_matrix


def slice_nodes(mrml_scene: Any) -> Iterator[Any]:
    """Every slice view of the scene."""
    for number in range(mrml_scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        yield mrml_scene.GetNthNodeByClass(number, "vtkMRMLSliceNode")


def displayed_slice(node: Any, grid: Grid, axis: str) -> Optional[int]:
    """The slice across an axis that a view shows in its middle; None if the view has another axis or shows no slice of
    the scan.
    """
    slice_to_ras = array_of_matrix(node.GetSliceToRAS())
    if nearest_axis(slice_to_ras, grid)[0] != axis:
        return None
    slice_ = int(np.floor(grid.index(slice_to_ras[:3, 3])["ijk".index(axis)] + 0.5))
    return slice_ if 0 <= slice_ < grid.count(axis) else None


def current_slice(mrml_scene: Any, grid: Grid, axis: str, preferred: Any = None) -> Optional[int]:
    """The displayed slice across an axis: of the preferred view if it has that axis, else of the first view with it."""
    nodes = list(slice_nodes(mrml_scene))
    if preferred is not None:
        nodes.sort(key=lambda node: node is not preferred)
    found = (displayed_slice(node, grid, axis) for node in nodes)
    return next((slice_ for slice_ in found if slice_ is not None), None)


def rotate_to_scan(mrml_scene: Any, editor: Any, volume: Any) -> None:
    """Rotates every slice view to the scan's slices, as the Segment Editor does it where it can. editor: its widget, or
    None.
    """
    if hasattr(editor, "rotateSliceViewsToSegmentation"):
        editor.rotateSliceViewsToSegmentation()
        return
    for node in slice_nodes(mrml_scene):
        node.RotateToVolumePlane(volume)


def jump(mrml_scene: Any, ras: Any) -> None:
    """Moves every slice view to a position, without panning."""
    node = slicer.vtkMRMLSliceNode
    node.JumpAllSlices(mrml_scene, *(float(part) for part in ras), node.OffsetJumpSlice)


def position_on_slice(scene: Any, segment: Optional[str], axis: str, slice_: int) -> tuple[float, float, float]:
    """The center of the segment on a slice, in RAS; if it is not there, the center of the slice."""
    grid = scene.grid()
    middle = [(size - 1) / 2 for size in grid.shape[::-1]]
    box = scene.occupied(segment) if segment in scene.segment_ids() else None
    if box is not None:
        ranges = dict(zip("kji", box))
        ranges[axis] = (slice_, slice_ + 1)
        mask = scene.mask(segment, type(box)(*(ranges[name] for name in "kji")))
        inside = np.argwhere(mask)
        if len(inside):
            k, j, i = inside.mean(axis=0)
            middle = [i + ranges["i"][0], j + ranges["j"][0], k + ranges["k"][0]]
    middle["ijk".index(axis)] = slice_
    return grid.ras(middle)
