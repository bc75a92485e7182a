"""Keeps Slicer from making the 3D surface of a segment anew with every slice that is written.

In: a segmentation that is shown in 3D, edits. Out: edits that leave the surfaces as they were, and surfaces that are made once, afterwards. A
surface takes as long as hundreds of edits. Knows no editor.
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
        # Segments whose surface shows what they were.
        self._outdated: set[str] = set()

    @contextmanager
    def kept_unchanged(
        self, segmentation: slicer.vtkSegmentation, geometry: ReferenceGeometry, box: Extent
    ) -> Iterator[None]:
        """Edits inside leave surfaces as they are. box: where they change something."""
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
        """Makes the surfaces that are behind; where they are no longer shown, none."""
        outdated, self._outdated = self._outdated, set()
        shown = False
        for segment_id in outdated & set(segmentation.GetSegmentIDs()):
            shown |= segmentation.GetSegment(segment_id).RemoveRepresentation(CLOSED_SURFACE)
        if shown:
            segmentation.CreateRepresentation(CLOSED_SURFACE)

    def forget(self) -> None:
        """Surfaces are what they should be, or another segmentation's."""
        self._outdated.clear()
