"""Prompts as markups: a segment's points and box, which the user sees, drags and saves with the scene.

In: points and corners in RAS, and edits of the nodes by the user. Out: points, boxes, and a callback for changes. Each
segment has at most two point lists, green for foreground and red for background points, and one region of interest for
its box. Attributes of the nodes identify them, so that a loaded scene restores its prompts. They are hidden from
Slicer's lists: a scene saves them, but no dialog asks for them. Knows no voxels, no editor and no engine.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, Optional

import numpy as np
import slicer
import vtk

from .i18n import _
from .labelmaps import array_of_matrix, matrix_of
from .observers import Observers

Ras = tuple[float, float, float]

SEGMENT = "ProMem.SegmentID"
ROLE = "ProMem.Role"
# A node reference, not an attribute: Slicer updates it when a scene is imported and identifiers change.
SEGMENTATION = "ProMem.Segmentation"
POSITIVE, NEGATIVE, BOX = "positive", "negative", "box"

COLORS = {POSITIVE: (0.2, 0.9, 0.3), NEGATIVE: (0.95, 0.2, 0.2), BOX: (1.0, 0.85, 0.2)}
NAMES = {POSITIVE: _("foreground points"), NEGATIVE: _("background points"), BOX: _("box")}
# Percent of the view's size: visible, but smaller than a small object.
GLYPH_SCALE = 1.5
# The number of points without one: they come last.
UNNUMBERED = 1 << 30

Markups = slicer.vtkMRMLMarkupsNode


class PromptMarkups:
    """The prompts of one segmentation. changed: called with a segment when the user, or a script, has changed its
    nodes.
    """

    def __init__(self, mrml_scene: Any, changed: Callable[[str], None]) -> None:
        self._scene = mrml_scene
        self._changed = changed
        self._segmentation: Optional[slicer.vtkMRMLSegmentationNode] = None
        self._observers = Observers()
        self._last: dict[str, tuple] = {}
        self._dragged: set[str] = set()
        self._suppressed = 0
        # Whether only the prompts of one segment are visible, and of which.
        self._shown: tuple[bool, Optional[str]] = (False, None)

    # Reading.

    def points(self, segment: str) -> list[tuple[Ras, bool]]:
        """Positions and whether they are foreground, in the order in which they were set."""
        return [(ras, role == POSITIVE) for _, role, ras, _, _ in self._points(segment)]

    def box(self, segment: str) -> Optional[tuple[Ras, Ras]]:
        """Two opposite corners, in the center of the slice."""
        for node in self._nodes(segment, (BOX,)):
            center, size = [0.0] * 3, [0.0] * 3
            node.GetCenterWorld(center)
            node.GetSizeWorld(size)
            if not any(size):
                continue  # loaded without its file
            axes = array_of_matrix(node.GetObjectToWorldMatrix())[:3, :3]
            half = (axes[:, 0] * size[0] + axes[:, 1] * size[1]) / 2
            return tuple(map(float, center - half)), tuple(map(float, center + half))
        return None

    # Editing.

    def follow(self, segmentation: Optional[slicer.vtkMRMLSegmentationNode]) -> None:
        """Observes the prompts of a segmentation; called again after changes of its segments."""
        self._segmentation = segmentation
        self._sync()

    def show_only(self, segment: Optional[str]) -> None:
        """Shows the prompts of one segment in slice views, and hides all others; None: hides all."""
        self._shown = (True, segment)
        self._update_visibility()

    def _update_visibility(self) -> None:
        only, segment = self._shown
        for node in self._all_nodes() if only else ():
            here = self._segmentation is not None
            mine = here and node.GetNodeReferenceID(SEGMENTATION) == self._segmentation.GetID()
            display = node.GetDisplayNode()
            if display is not None:
                display.SetVisibility(mine and node.GetAttribute(SEGMENT) == segment)

    def add_point(self, segment: str, ras: Sequence[float], positive: bool) -> None:
        role = POSITIVE if positive else NEGATIVE
        with self._without_notification(segment):
            number = max((number for number, *_ in self._points(segment)), default=0) + 1
            node = next(self._nodes(segment, (role,)), None)
            if node is None:
                node = self._add_node(segment, "vtkMRMLMarkupsFiducialNode", role)
            index = node.AddControlPointWorld(vtk.vtkVector3d(*map(float, ras)), "")
            node.SetNthControlPointDescription(index, str(number))

    def remove_last_point(self, segment: str) -> None:
        """Removes the newest point, if there is one."""
        points = self._points(segment)
        if not points:
            return
        *_, node, index = points[-1]
        with self._without_notification(segment):
            node.RemoveNthControlPoint(index)
            if node.GetNumberOfControlPoints() == 0:
                self._scene.RemoveNode(node)

    def set_box(
        self, segment: str, corner: Sequence[float], opposite: Sequence[float], plane: np.ndarray, thickness: float
    ) -> None:
        """Sets a segment's box between two corners of one slice; it replaces the box before.

        plane: two directions in the slice, the columns of an array; the box lies along the first. thickness:
        of the slice, in millimetres.
        """
        diagonal = np.subtract(opposite, corner)
        first = plane[:, 0] / np.linalg.norm(plane[:, 0])
        second = plane[:, 1] - (plane[:, 1] @ first) * first
        second /= np.linalg.norm(second)
        # The axes point along the diagonal, so that center and size determine the two corners.
        first, second = (axis if diagonal @ axis >= 0 else -axis for axis in (first, second))
        matrix = np.eye(4)
        matrix[:3, :3] = np.column_stack([first, second, np.cross(first, second)])
        matrix[:3, 3] = np.add(corner, opposite) / 2
        with self._without_notification(segment):
            node = next(self._nodes(segment, (BOX,)), None)
            if node is None:
                node = self._add_node(segment, "vtkMRMLMarkupsROINode", BOX)
            node.SetAndObserveObjectToNodeMatrix(matrix_of(matrix))
            node.SetSize(float(diagonal @ first), float(diagonal @ second), float(thickness))

    def clear(self, segment: str) -> None:
        """Removes all prompts of a segment."""
        with self._without_notification(segment):
            for node in list(self._nodes(segment)):
                self._scene.RemoveNode(node)

    def close(self) -> None:
        """Removes the observers; the nodes stay."""
        if self._shown[0]:
            self.show_only(None)
        self._segmentation = None
        self._observers.clear()
        self._last.clear()

    # Events.

    def nodes_changed(self) -> None:
        """Markups were added to the scene or removed from it."""
        if self._suppressed:
            return
        before = dict(self._last)
        self._sync()
        for segment in self._segments():
            if self._last.get(segment) != before.get(segment):
                self._changed(segment)

    def segmentation_removed(self, segmentation_id: str) -> None:
        """A segmentation was removed: removes its prompts."""
        with self._without_notification(None):
            for node in list(self._all_nodes()):
                if node.GetNodeReferenceID(SEGMENTATION) == segmentation_id:
                    self._scene.RemoveNode(node)

    def _sync(self) -> None:
        """Observes the existing nodes, and removes those of deleted segments."""
        kept = set()
        for node in list(self._all_nodes()):
            if self._segmentation is None or node.GetNodeReferenceID(SEGMENTATION) != self._segmentation.GetID():
                continue
            if node.GetAttribute(SEGMENT) not in self._segments():
                self._scene.RemoveNode(node)
                continue
            kept.add(node.GetID())
            if node.GetID() not in self._observers:
                self._observe(node)
        for node_id in self._observers.keys() - kept:
            self._observers.drop(node_id)
            self._dragged.discard(node_id)
        self._last = {segment: self._snapshot(segment) for segment in self._segments()}
        self._update_visibility()

    def _observe(self, node: slicer.vtkMRMLMarkupsNode) -> None:
        # By identifier: an observer that holds its node keeps it alive.
        key = node.GetID()
        for event in (Markups.PointModifiedEvent, Markups.PointAddedEvent, Markups.PointRemovedEvent, "ModifiedEvent"):
            self._observers.add(key, node, event, self._node_changed, key)
        self._observers.add(key, node, Markups.PointStartInteractionEvent, self._drag_started, key)
        self._observers.add(key, node, Markups.PointEndInteractionEvent, self._drag_ended, key)

    def _drag_started(self, node_id: str) -> None:
        self._dragged.add(node_id)

    def _drag_ended(self, node_id: str) -> None:
        self._dragged.discard(node_id)
        self._node_changed(node_id)

    def _node_changed(self, node_id: str) -> None:
        """Reports a change, but not during a drag: each step would start a preview."""
        node = self._scene.GetNodeByID(node_id)
        if self._suppressed or node is None or node_id in self._dragged:
            return
        segment = node.GetAttribute(SEGMENT)
        if segment not in self._segments():
            return
        now = self._snapshot(segment)
        if now != self._last.get(segment):
            self._last[segment] = now
            self._changed(segment)

    @contextmanager
    def _without_notification(self, segment: Optional[str]) -> Iterator[None]:
        """Suppresses the callback inside."""
        self._suppressed += 1
        try:
            yield
        finally:
            self._suppressed -= 1
            if segment is not None:
                self._sync()

    # Nodes.

    def _segments(self) -> Sequence[str]:
        return self._segmentation.GetSegmentation().GetSegmentIDs() if self._segmentation is not None else ()

    def _snapshot(self, segment: str) -> tuple:
        return self.points(segment), self.box(segment)

    def _points(self, segment: str) -> list[tuple[int, str, Ras, slicer.vtkMRMLMarkupsNode, int]]:
        """(number, role, position, node, index in it), by number. Points added with other tools come last."""
        found = []
        for node in self._nodes(segment, (POSITIVE, NEGATIVE)):
            for index in range(node.GetNumberOfControlPoints()):
                if node.GetNthControlPointPositionStatus(index) != Markups.PositionDefined:
                    continue  # the point is still being placed
                ras = [0.0] * 3
                node.GetNthControlPointPositionWorld(index, ras)
                number = node.GetNthControlPointDescription(index)
                order = int(number) if number.isdigit() else UNNUMBERED
                found.append((order, node.GetAttribute(ROLE), tuple(ras), node, index))
        return sorted(found, key=lambda point: point[0])

    def _nodes(
        self, segment: str, roles: Sequence[str] = (POSITIVE, NEGATIVE, BOX)
    ) -> Iterator[slicer.vtkMRMLMarkupsNode]:
        for node in self._all_nodes() if self._segmentation is not None else ():
            mine = node.GetNodeReferenceID(SEGMENTATION) == self._segmentation.GetID()
            if mine and node.GetAttribute(SEGMENT) == segment and node.GetAttribute(ROLE) in roles:
                yield node

    def _all_nodes(self) -> Iterator[slicer.vtkMRMLMarkupsNode]:
        """Prompts of all segmentations."""
        return prompt_nodes(self._scene)

    def _add_node(self, segment: str, class_name: str, role: str) -> slicer.vtkMRMLMarkupsNode:
        name = self._segmentation.GetSegmentation().GetSegment(segment).GetName()
        node = self._scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetName(f"{name}: {NAMES[role]}")
        node.SetAttribute(SEGMENT, segment)
        node.SetAttribute(ROLE, role)
        node.SetHideFromEditors(True)
        with _keeping_active_list(self._scene):
            self._scene.AddNode(node)
            node.SetNodeReferenceID(SEGMENTATION, self._segmentation.GetID())
            node.CreateDefaultDisplayNodes()
        _style(node.GetDisplayNode(), role)
        return node


def prompt_nodes(mrml_scene: Any) -> Iterator[slicer.vtkMRMLMarkupsNode]:
    """The nodes of a scene that are prompts, of whichever segmentation."""
    nodes = mrml_scene.GetNodesByClass("vtkMRMLMarkupsNode")
    nodes.UnRegister(None)
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        if node.GetAttribute(ROLE) is not None:
            yield node


def hide_prompts(mrml_scene: Any) -> None:
    """Hides the prompts of a loaded scene until the effect becomes active and shows those of the selected segment."""
    for node in prompt_nodes(mrml_scene):
        display = node.GetDisplayNode()
        if display is not None:
            display.SetVisibility(False)


@contextmanager
def _keeping_active_list(mrml_scene: Any) -> Iterator[None]:
    """Keeps the markups node into which the toolbar places points.

    vtkSlicerMarkupsLogic makes every added markups node the active one, a hidden one, too.
    """
    selection = mrml_scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    if selection is None:
        yield
        return
    active = selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()
    try:
        yield
    finally:
        was_modifying = selection.StartModify()
        selection.SetActivePlaceNodeClassName(active[0])
        selection.SetActivePlaceNodeID(active[1])
        selection.EndModify(was_modifying)


def _style(display: slicer.vtkMRMLMarkupsDisplayNode, role: str) -> None:
    """No text, small points, not in 3D, and a thin box that can be resized but not rotated out of its slice."""
    display.SetVisibility3D(False)
    display.SetColor(*COLORS[role])
    display.SetSelectedColor(*COLORS[role])
    display.SetActiveColor(1.0, 1.0, 1.0)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetUseGlyphScale(True)
    display.SetGlyphScale(GLYPH_SCALE)
    if role == BOX:
        display.SetFillVisibility(False)
        display.SetLineThickness(0.2)
        display.SetHandlesInteractive(True)
        display.SetRotationHandleVisibility(False)
        display.SetTranslationHandleVisibility(False)
        display.SetScaleHandleVisibility(True)
        display.SetScaleHandleComponentVisibility(True, True, False, False)
