"""The interface to a Segment Editor: its node, geometry, masked edits and undo.

In: labelmaps with the box in which they differ. Out: edited segments. `LogicEditing` uses vtkSlicerSegmentEditorLogic
(trame, tests, scripts). `EffectEditing` uses the methods of a scripted effect, whose logic Python cannot reach. Knows
nothing of arrays and prompts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, Callable, Optional

import slicer

from .i18n import _


class SceneError(Exception):
    """A node is missing or cannot be segmented. The message is for the user."""


class Mode(Enum):
    """The effect of an edit where its labelmap is 1."""

    ADD = "Add"
    REMOVE = "Remove"


class Editing:
    """The interface. A host with its own editor overrides its methods."""

    @property
    def node(self) -> Optional[slicer.vtkMRMLSegmentEditorNode]:
        """The parameter node: segmentation, source volume, selected segment, masking."""
        raise NotImplementedError

    def reference_geometry(self) -> Optional[slicer.vtkOrientedImageData]:
        """The geometry of labelmaps for `modify`, in segmentation coordinates; None if there is none."""
        raise NotImplementedError

    def aligned_source(self) -> Optional[slicer.vtkOrientedImageData]:
        """The source volume resampled to that geometry; None if that is impossible."""
        raise NotImplementedError

    def modify(self, segment_id: str, labelmap: slicer.vtkOrientedImageData, mode: Mode, extent: Sequence[int]) -> None:
        """Edits a segment under masking and overwrite mode. extent: the box in which the labelmap is not 0."""
        raise NotImplementedError

    def save_undo(self) -> bool:
        """Saves an undo state of all segments. False if the editor keeps none."""
        raise NotImplementedError

    def undo(self) -> None:
        raise NotImplementedError

    def redo(self) -> None:
        raise NotImplementedError

    @property
    def can_undo(self) -> bool:
        raise NotImplementedError

    @property
    def can_redo(self) -> bool:
        raise NotImplementedError


@contextmanager
def selecting(node: slicer.vtkMRMLSegmentEditorNode, segment_id: str) -> Iterator[None]:
    """Selects a segment inside, without events.

    Slicer's masking depends on the selected segment: "outside all segments" excludes it.
    """
    selected = node.GetSelectedSegmentID()
    if selected == segment_id:
        yield
        return
    was_disabled = node.GetDisableModifiedEvent()
    node.SetDisableModifiedEvent(1)
    node.SetSelectedSegmentID(segment_id)
    try:
        yield
    finally:
        node.SetSelectedSegmentID(selected)
        node.SetDisableModifiedEvent(was_disabled)


class LogicEditing(Editing):
    """On a vtkSlicerSegmentEditorLogic."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    @property
    def node(self) -> Optional[slicer.vtkMRMLSegmentEditorNode]:
        return self._logic.GetSegmentEditorNode()

    def reference_geometry(self) -> Optional[slicer.vtkOrientedImageData]:
        return self._logic.GetReferenceGeometryImage() if self._logic.UpdateReferenceGeometryImage() else None

    def aligned_source(self) -> Optional[slicer.vtkOrientedImageData]:
        return self._logic.GetAlignedSourceVolume() if self._logic.UpdateAlignedSourceVolume() else None

    def modify(self, segment_id: str, labelmap: slicer.vtkOrientedImageData, mode: Mode, extent: Sequence[int]) -> None:
        number = {Mode.ADD: self._logic.ModificationModeAdd, Mode.REMOVE: self._logic.ModificationModeRemove}[mode]
        with selecting(self.node, segment_id):
            self._logic.ModifySegmentByLabelmap(
                self.node.GetSegmentationNode(), segment_id, labelmap, number, list(extent), True, False
            )

    def save_undo(self) -> bool:
        return self._logic.SaveStateForUndo()

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    @property
    def can_undo(self) -> bool:
        return self._logic.CanUndo()

    @property
    def can_redo(self) -> bool:
        return self._logic.CanRedo()


class EffectEditing(Editing):
    """On a `scriptedEffect`. editor: returns the qMRMLSegmentEditorWidget, for undo; None: the effect's ancestor
    widget.
    """

    def __init__(self, scripted_effect: Any, editor: Optional[Callable[[], Any]] = None) -> None:
        self._effect = scripted_effect
        self._editor = editor or (lambda: editor_around(scripted_effect.optionsFrame()))
        # The widget does not expose its undo states: these count states saved and undone here.
        self._saved = self._undone = 0

    @property
    def node(self) -> Optional[slicer.vtkMRMLSegmentEditorNode]:
        return self._effect.parameterSetNode()

    def reference_geometry(self) -> Optional[slicer.vtkOrientedImageData]:
        return self._effect.referenceGeometryImage()

    def aligned_source(self) -> Optional[slicer.vtkOrientedImageData]:
        return self._effect.sourceVolumeImageData()

    def modify(self, segment_id: str, labelmap: slicer.vtkOrientedImageData, mode: Mode, extent: Sequence[int]) -> None:
        modes = slicer.qSlicerSegmentEditorAbstractEffect
        number = {Mode.ADD: modes.ModificationModeAdd, Mode.REMOVE: modes.ModificationModeRemove}[mode]
        # Python cannot call modifySegmentByLabelmap with an extent: the list would be taken for "bypass masking".
        with selecting(self.node, segment_id):
            self._effect.modifySelectedSegmentByLabelmap(labelmap, number, list(extent))

    def save_undo(self) -> bool:
        self._effect.saveStateForUndo()
        self._saved, self._undone = self._saved + 1, 0
        return True

    def undo(self) -> None:
        self._widget().undo()
        self._saved, self._undone = max(0, self._saved - 1), self._undone + 1

    def redo(self) -> None:
        self._widget().redo()
        self._saved, self._undone = self._saved + 1, max(0, self._undone - 1)

    @property
    def can_undo(self) -> bool:
        return self._saved > 0

    @property
    def can_redo(self) -> bool:
        return self._undone > 0

    def _widget(self) -> Any:
        widget = self._editor()
        if widget is None:
            raise SceneError(_("Undo: the Segment Editor around the effect was not found. Use its own undo button."))
        return widget


def editor_around(widget: Any) -> Any:
    """The qMRMLSegmentEditorWidget that contains a Qt widget; None if there is none."""
    while widget is not None and widget.className() != "qMRMLSegmentEditorWidget":
        widget = widget.parent()
    return widget
