"""Segmenting from Python, with or without a window.

    from SegmentEditorProMemLib import scripting
    with scripting.Session(segmentation_node, volume_node) as session:
        session.click("Segment_1", ras=(12.0, -30.5, 88.0))
        report = session.propagate("Segment_1")
        print(report.summary)

In: a segmentation node, a volume node, painted slices and clicks. Out: segments on all slices, and reports. Calls wait
for their result. Knows no widget. With a Segment Editor open, `effect.self().controller` does the same without waiting.
"""

from collections.abc import Sequence
from typing import Any, Optional, Union

import slicer

from .controller import Controller
from .options import BadOption, Options
from .report import Report
from .scene import Scene

Segments = Union[None, str, Sequence[str]]


class Session:
    """One scan, one segmentation and one engine, which the first call starts.

    `editor`: the editor node; its masking and overwrite mode apply. Errors: BadOption, OutsideScan, SceneError;
    RuntimeError with the engine's message; TimeoutError.
    """

    def __init__(
        self,
        segmentation_node: Any,
        volume_node: Any,
        options: Optional[Options] = None,
        engine: Any = None,
        seconds: float = 3600.0,
    ) -> None:
        """engine: a `promem.worker.Engine`; None: one that ends with the session. seconds: the time limit of a call."""
        mrml_scene = segmentation_node.GetScene() if segmentation_node is not None else None
        if mrml_scene is None or volume_node is None:
            raise BadOption("segmentation_node and volume_node: expected two nodes of a scene")
        self._seconds = seconds
        self.editor = mrml_scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        self.editor.UnRegister(None)
        self.editor.SetName("ProMem scripting")
        self.editor.SetHideFromEditors(True)
        self.editor.SetSaveWithScene(False)
        mrml_scene.AddNode(self.editor)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetMRMLScene(mrml_scene)
        self._logic.SetSegmentEditorNode(self.editor)
        self._logic.SetMaximumNumberOfUndoStates(1)
        self.editor.SetAndObserveSegmentationNode(segmentation_node)
        self.editor.SetAndObserveSourceVolumeNode(volume_node)
        self.scene = Scene(mrml_scene, self._logic, self.editor)
        self.controller = Controller(engine if engine is not None else _make_engine(), self.scene)
        if options is not None:
            self.controller.options = options

    def click(self, segment: str, ras: Sequence[float], positive: bool = True, axis: Optional[str] = None) -> None:
        """Adds a point. axis: "i", "j" or "k", the axis of the propagation; None: that of the segment's earlier prompts
        or painted slices, else that of the largest spacing.
        """
        self.controller.click(segment, ras, self._axis(segment, axis), positive)
        self._wait()

    def box(self, segment: str, ras: Sequence[float], opposite: Sequence[float], axis: Optional[str] = None) -> None:
        """Sets a box on a slice, by two of its corners."""
        self.controller.box(segment, ras, opposite, self._axis(segment, axis))
        self._wait()

    def propagate(
        self,
        segments: Segments = None,
        direction: str = "both",
        range: Optional[tuple[int, int]] = None,
        axis: Optional[str] = None,
    ) -> Any:
        """Propagates prompts to other slices. segments: None: all segments.

        direction: "both", "up" or "down". range: first and last slice, counted from 0, both included. Returns the
        report of a single segment, else a dictionary of reports.
        """
        if segments is None:
            chosen = self.scene.segment_ids()
        else:
            chosen = [segments] if isinstance(segments, str) else list(segments)
        if chosen:
            self.editor.SetSelectedSegmentID(chosen[0])
        self.controller.propagate(chosen, direction, range, axis)
        self._wait()
        reports: dict[str, Optional[Report]] = {segment: self.controller.report(segment) for segment in chosen}
        return reports[segments] if isinstance(segments, str) else {k: v for k, v in reports.items() if v is not None}

    def close(self) -> None:
        """Ends the engine; segments and prompts stay."""
        self.controller.close()
        mrml_scene = self.editor.GetScene()
        self._logic.SetSegmentEditorNode(None)
        if mrml_scene is not None:
            mrml_scene.RemoveNode(self.editor)

    def _axis(self, segment: str, axis: Optional[str]) -> str:
        if axis is not None:
            self.controller.set_axis(segment, axis)
        return self.controller.axis_of(segment)

    def _wait(self) -> None:
        self.controller.wait(self._seconds)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def propagate(
    segmentation_node: Any,
    volume_node: Any,
    segment_ids: Segments = None,
    direction: str = "both",
    range: Optional[tuple[int, int]] = None,
    options: Optional[Options] = None,
    engine: Any = None,
) -> Any:
    """Propagates painted segments and ends the engine.

    from SegmentEditorProMemLib import scripting
    reports = scripting.propagate(segmentation_node, volume_node)
    """
    with Session(segmentation_node, volume_node, options, engine) as session:
        return session.propagate(segment_ids, direction, range)


def _make_engine() -> Any:
    from . import engine

    return engine.make_engine()
