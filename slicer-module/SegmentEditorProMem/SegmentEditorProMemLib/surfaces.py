"""Updates 3D surfaces once after a propagation instead of after each written slice.

In: a segmentation that is shown in 3D, edits. Out: edits without surface updates, and one update afterwards. A surface
takes as long as hundreds of edits. Knows no editor.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import slicer

from .grid import Extent
from .labelmaps import ReferenceGeometry, mask_of

CLOSED_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


class Surfaces:
    """Surfaces of the segments of one segmentation at a time."""

    def __init__(self) -> None:
        # Segments whose surface is out of date.
        self._outdated: set[str] = set()

    @contextmanager
    def kept_unchanged(
        self, segmentation: slicer.vtkSegmentation, geometry: ReferenceGeometry, box: Extent
    ) -> Iterator[None]:
        """Keeps surfaces unchanged during the edits inside. box: the voxels that the edits may change."""
        kept = []
        for segment_id in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segment_id)
            surface = segment.GetRepresentation(CLOSED_SURFACE)
            if surface is not None:
                kept.append((segment_id, segment, surface, mask_of(segment, geometry, box)))
                segment.RemoveRepresentation(CLOSED_SURFACE)
        try:
            yield
        finally:
            for segment_id, segment, surface, before in kept:
                segment.AddRepresentation(CLOSED_SURFACE, surface)
                if not np.array_equal(mask_of(segment, geometry, box), before):
                    self._outdated.add(segment_id)

    def update(self, segmentation: slicer.vtkSegmentation) -> None:
        """Updates outdated surfaces that are still shown."""
        outdated, self._outdated = self._outdated, set()
        shown = False
        for segment_id in outdated & set(segmentation.GetSegmentIDs()):
            shown |= segmentation.GetSegment(segment_id).RemoveRepresentation(CLOSED_SURFACE)
        if shown:
            segmentation.CreateRepresentation(CLOSED_SURFACE)

    def forget(self) -> None:
        """Marks every surface as up to date."""
        self._outdated.clear()
