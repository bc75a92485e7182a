"""What the scene asks of a Segment Editor: its node, its geometry, its edits under its masks, its undo.

In: labelmaps with the box in which they differ. Out: edited segments. `LogicEditing` works on vtkSlicerSegmentEditorLogic (trame, tests, scripts),
`EffectEditing` on the methods that Slicer gives a scripted effect, whose logic is out of reach from Python. Knows nothing of arrays and prompts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, Callable, Optional

import slicer


class SceneError(Exception):
    """Something in the scene is missing or is not of the kind that can be segmented; the sentence is for the user."""


class Mode(Enum):
    """What an edit does where its labelmap is 1."""

    ADD = "Add"
    REMOVE = "Remove"


class Editing:
    """The seam. `modify` and the undo methods are what a host of its own kind overrides."""

    @property
    def node(self) -> Optional[slicer.vtkMRMLSegmentEditorNode]:
        """Segmentation, source volume, selected segment, masks: the editor's choices."""
        raise NotImplementedError

    def reference_geometry(self) -> Optional[slicer.vtkOrientedImageData]:
        """The geometry of labelmaps that may be passed to `modify`, in the segmentation's own coordinates; None where there is none."""
        raise NotImplementedError

    def aligned_source(self) -> Optional[slicer.vtkOrientedImageData]:
        """The source volume on that geometry; None where it cannot be made."""
        raise NotImplementedError

    def modify(self, segment_id: str, labelmap: slicer.vtkOrientedImageData, mode: Mode, extent: Sequence[int]) -> None:
        """Edits a segment as far as the editor's masks allow, and others as its overwrite mode says. extent: where the labelmap is not 0."""
        raise NotImplementedError

    def save_undo(self) -> bool:
        """Remembers how all segments are. False where the editor remembers nothing."""
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
    """Makes a segment the selected one without telling anybody.

    Slicer makes its mask for the selected segment: "outside all segments" means outside all others than that.
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
    """On a `scriptedEffect`. editor: gives the qMRMLSegmentEditorWidget around it, which undoes; None: found from the effect's options."""

    def __init__(self, scripted_effect: Any, editor: Optional[Callable[[], Any]] = None) -> None:
        self._effect = scripted_effect
        self._editor = editor or (lambda: editor_around(scripted_effect.optionsFrame()))
        # The widget does not say what it remembers: states that were saved here, and states that were undone here.
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
        # Of modifySegmentByLabelmap Python reaches no form that takes an extent; a list would pass there as "bypass masking".
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
            raise SceneError("Undo: the Segment Editor around the effect was not found. Use its own undo button.")
        return widget


def editor_around(widget: Any) -> Any:
    """The qMRMLSegmentEditorWidget that a Qt widget is part of; None where there is none."""
    while widget is not None and widget.className() != "qMRMLSegmentEditorWidget":
        widget = widget.parent()
    return widget
