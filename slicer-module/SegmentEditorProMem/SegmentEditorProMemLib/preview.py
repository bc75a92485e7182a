"""Previews of predicted masks, before they are part of a segment.

In: masks of single slices. Out: a separate segmentation node that is hidden from editors, undo and scene files. Knows
no editor and no prompts.
"""

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import slicer

from .grid import Extent
from .labelmaps import BINARY_LABELMAP, ReferenceGeometry

# The scan has to be visible through the fill.
FILL_OPACITY = 0.25
OUTLINE_OPACITY = 1.0
# The segment's colour is moved towards white by this fraction, to distinguish the preview.
BRIGHTENING = 0.5


@dataclass
class ShownPreview:
    """The preview of one segment."""

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
        """The node; None before the first preview and after the scene was closed."""
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
        """Shows a mask of the box's shape for a segment; an empty mask removes the preview."""
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
        """Removes a segment's preview; with the last one the node.

        Slicer's Segment Editor takes the first segmentation of the scene when it has none, also a hidden one: it would
        edit the preview.
        """
        known = self._shown.pop(segment_id, None) is not None and self.node is not None
        if known and self.node.GetSegmentation().GetSegment(segment_id) is not None:
            self.node.GetSegmentation().RemoveSegment(segment_id)
        if not self._shown:
            self.close()

    def clear(self) -> None:
        """Removes every preview."""
        for segment_id in list(self._shown):
            self.remove(segment_id)

    def close(self) -> None:
        """Removes the node from the scene."""
        if self.node is not None:
            node = self._node
            self._forget()
            if self._scene.IsClosing():
                return  # the scene removes it
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
        # Set before the node is added: node selectors read these flags when they get the event.
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
