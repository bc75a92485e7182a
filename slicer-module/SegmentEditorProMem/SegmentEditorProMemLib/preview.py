"""Shows what a click would select, before it is part of a segment.

In: masks of single slices. Out: a segmentation node of its own, that no editor offers, no undo remembers and no scene file holds. Knows no
editor and no prompts.
"""

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import slicer

from .grid import Extent
from .labelmaps import BINARY_LABELMAP, ReferenceGeometry

# Of the fill and of the outline: the scan has to be seen through it.
FILL_OPACITY = 0.25
OUTLINE_OPACITY = 1.0
# How far a segment's colour is moved towards white, so that the preview is told from the segment.
BRIGHTENING = 0.5


@dataclass
class ShownPreview:
    """What the node shows of one segment."""

    geometry: ReferenceGeometry
    box: Extent
    mask: np.ndarray
    color: tuple[float, float, float]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShownPreview):
            return NotImplemented
        same = self.box == other.box and self.color == other.color and self.geometry == other.geometry
        return same and np.array_equal(self.mask, other.mask)


class Preview:
    """Previews of the segments of one segmentation at a time."""

    def __init__(self, mrml_scene: Any) -> None:
        self._scene = mrml_scene
        self._node: Optional[slicer.vtkMRMLSegmentationNode] = None
        self._shown: dict[str, ShownPreview] = {}

    @property
    def node(self) -> Optional[slicer.vtkMRMLSegmentationNode]:
        """The node; None while nothing has been shown, or after the scene was closed."""
        if self._node is not None and not self._scene.IsNodePresent(self._node):
            self._forget()
        return self._node

    def show(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        segment_id: str,
        geometry: ReferenceGeometry,
        box: Extent,
        mask: np.ndarray,
    ) -> None:
        """Shows a mask, an array of the box's shape, for a segment; an empty one shows nothing."""
        tight = Extent.of(mask, box.first)
        if tight is None:
            self.remove(segment_id)
            return
        color = segmentation.GetSegmentation().GetSegment(segment_id).GetColor()
        brightened = tuple(part + (1.0 - part) * BRIGHTENING for part in color)
        shown = ShownPreview(geometry, tight, mask[tight.within(box).slices].copy(), brightened)
        node = self.node
        if node is not None and self._shown.get(segment_id) == shown and self._is_placed_as(segmentation):
            return
        if node is None:
            node = self._add_node()
        if not self._is_placed_as(segmentation):
            node.SetAndObserveTransformNodeID(segmentation.GetTransformNodeID())
        modified = node.StartModify()
        try:
            if node.GetSegmentation().GetSegment(segment_id) is not None:
                node.GetSegmentation().RemoveSegment(segment_id)
            segment = slicer.vtkSegment()
            segment.SetName(segmentation.GetSegmentation().GetSegment(segment_id).GetName())
            segment.SetColor(*brightened)
            segment.AddRepresentation(BINARY_LABELMAP, geometry.labelmap(tight, shown.mask))
            node.GetSegmentation().AddSegment(segment, segment_id)
        finally:
            node.EndModify(modified)
        self._shown[segment_id] = shown

    def segments(self) -> set[str]:
        """Segments that have a preview."""
        return set(self._shown)

    def remove(self, segment_id: str) -> None:
        """Takes a segment's preview away."""
        known = self._shown.pop(segment_id, None) is not None and self.node is not None
        if known and self.node.GetSegmentation().GetSegment(segment_id) is not None:
            self.node.GetSegmentation().RemoveSegment(segment_id)

    def clear(self) -> None:
        """Takes every preview away."""
        for segment_id in list(self._shown):
            self.remove(segment_id)

    def close(self) -> None:
        """Takes the node out of the scene."""
        if self.node is not None:
            node = self._node
            self._forget()
            display = node.GetDisplayNode()
            self._scene.RemoveNode(node)
            if display is not None:
                self._scene.RemoveNode(display)

    def _forget(self) -> None:
        self._node = None
        self._shown.clear()

    def _is_placed_as(self, segmentation: slicer.vtkMRMLSegmentationNode) -> bool:
        return self._node.GetTransformNodeID() == segmentation.GetTransformNodeID()

    def _add_node(self) -> slicer.vtkMRMLSegmentationNode:
        # Before it is added: what lists nodes looks at these when the scene tells of the new one.
        node = self._scene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName("ProMem preview")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self._scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetPreferredDisplayRepresentationName2D(BINARY_LABELMAP)
        display.SetOpacity2DFill(FILL_OPACITY)
        display.SetOpacity2DOutline(OUTLINE_OPACITY)
        display.SetVisibility3D(False)
        self._node = node
        return node
