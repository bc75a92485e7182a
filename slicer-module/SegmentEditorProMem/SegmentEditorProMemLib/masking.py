"""The voxels that the Segment Editor's masking allows to edit, in one box of the grid.

In: the editor's editable area and intensity range, segments, the source volume. Out: a mask. Slicer computes the same
for the whole scan with each edit, which would take longer than everything else. Knows nothing of edits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, Optional

import numpy as np
import slicer

from .grid import Extent
from .labelmaps import ReferenceGeometry, mask_of

Segmentation = slicer.vtkMRMLSegmentationNode
INSIDE = (Segmentation.EditAllowedInsideAllSegments, Segmentation.EditAllowedInsideVisibleSegments)
OUTSIDE = (Segmentation.EditAllowedOutsideAllSegments, Segmentation.EditAllowedOutsideVisibleSegments)
VISIBLE = (Segmentation.EditAllowedInsideVisibleSegments, Segmentation.EditAllowedOutsideVisibleSegments)


def editable_area(
    node: slicer.vtkMRMLSegmentEditorNode,
    segment_id: str,
    geometry: ReferenceGeometry,
    box: Extent,
    voxels: Callable[[], np.ndarray],
) -> Optional[np.ndarray]:
    """The voxels of a box that may be edited in a segment, bool of the box's shape; None if Slicer applies the masking.

    Slicer applies it without masking, and inside a single other segment, which gets the removed voxels back.
    voxels: returns the source volume on the grid; called only if an intensity range is set.
    """
    mode, by_intensity = node.GetMaskMode(), node.GetSourceVolumeIntensityMask()
    if mode not in INSIDE + OUTSIDE and (mode != Segmentation.EditAllowedEverywhere or not by_intensity):
        return None
    area = np.ones(box.shape, dtype=bool)
    if mode in INSIDE + OUTSIDE:
        others = _union(
            node.GetSegmentationNode(), None if mode in INSIDE else segment_id, mode in VISIBLE, geometry, box
        )
        area &= others if mode in INSIDE else ~others
    if by_intensity:
        there = voxels()[box.slices]
        low, high = (_as_voxel(bound, there.dtype) for bound in node.GetSourceVolumeIntensityMaskRange())
        area &= (there >= low) & (there <= high)
    return area


@contextmanager
def masking_disabled(node: slicer.vtkMRMLSegmentEditorNode) -> Iterator[None]:
    """Switches masking off inside, without events. The edits must already be restricted to `editable_area`."""
    mode, by_intensity, was_disabled = (
        node.GetMaskMode(),
        node.GetSourceVolumeIntensityMask(),
        node.GetDisableModifiedEvent(),
    )
    node.SetDisableModifiedEvent(1)
    node.SetMaskMode(Segmentation.EditAllowedEverywhere)
    node.SetSourceVolumeIntensityMask(False)
    try:
        yield
    finally:
        node.SetMaskMode(mode)
        node.SetSourceVolumeIntensityMask(by_intensity)
        node.SetDisableModifiedEvent(was_disabled)


def _union(
    segmentation: slicer.vtkMRMLSegmentationNode,
    but: Optional[str],
    visible_only: bool,
    geometry: ReferenceGeometry,
    box: Extent,
) -> np.ndarray:
    """The voxels of a box that are in any segment."""
    display = segmentation.GetDisplayNode()
    union = np.zeros(box.shape, dtype=bool)
    for segment_id in segmentation.GetSegmentation().GetSegmentIDs():
        hidden = visible_only and not (display is not None and display.GetSegmentVisibility(segment_id))
        if segment_id != but and not hidden:
            union |= mask_of(segmentation.GetSegmentation().GetSegment(segment_id), geometry, box)
    return union


def _as_voxel(bound: float, dtype: np.dtype) -> np.generic:
    """A bound, clipped to the scan's scalar type as in Slicer's threshold."""
    limits = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else np.finfo(dtype)
    return np.clip(bound, limits.min, limits.max).astype(dtype)
