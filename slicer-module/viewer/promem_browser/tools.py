"""Tools in the slice views: points and boxes for the engine, and trame-slicer's brush for painting.

In: mouse events of views. Out: positions in RAS with their view, and strokes in the selected segment. Knows no
controller and no page.
"""

from collections.abc import Sequence
from typing import Any, Callable, Optional

from SegmentEditorProMemLib.rubber_band import RubberBand
from slicer import vtkMRMLAbstractWidget, vtkMRMLSliceNode
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    BrushDiameterMode,
    SegmentationEffect,
    SegmentationEffectErase,
    SegmentationEffectNoTool,
    SegmentationEffectPaint,
    SegmentationEffectPipeline,
)
from vtkmodules.vtkCommonCore import vtkCommand
from vtkmodules.vtkInteractionWidgets import vtkEvent

TOOLS = ("point", "box", "paint", "erase")

PRESS, MOVE, RELEASE = (
    int(event)
    for event in (vtkCommand.LeftButtonPressEvent, vtkCommand.MouseMoveEvent, vtkCommand.LeftButtonReleaseEvent)
)
# Larger than the distance of any markup, so that points and boxes can be dragged, and smaller than a view's own.
BEHIND_MARKUPS = 1.0e9
# A shorter drag, in pixels, is a click.
SMALLEST_BOX = 5

Ras = tuple[float, float, float]
Clicked = Callable[[Any, Ras, bool], None]
Boxed = Callable[[Any, Ras, Ras], None]


class PromptEffect(SegmentationEffect):
    """Points, or boxes, in slice views. clicked(slice node, position, Ctrl held); boxed(slice node, corner, opposite
    corner).
    """

    def __init__(self) -> None:
        super().__init__()
        self.draws_boxes = False
        self.clicked: Clicked = lambda node, ras, control: None
        self.boxed: Boxed = lambda node, corner, opposite: None

    def _create_pipeline(self, view_node: Any, _parameter: Any) -> Optional[SegmentationEffectPipeline]:
        return PromptPipeline() if isinstance(view_node, vtkMRMLSliceNode) else None


class PromptPipeline(SegmentationEffectPipeline):
    """The effect in one slice view. VTK calls its methods."""

    def __init__(self) -> None:
        super().__init__()
        self._pressed_at: Optional[tuple[Sequence[float], Ras]] = None
        self._rubber_band = RubberBand()

    def OnRendererAdded(self, renderer: Any) -> None:
        if renderer is not None:
            renderer.AddViewProp(self._rubber_band.actor)

    def OnRendererRemoved(self, renderer: Any) -> None:
        if renderer is not None:
            renderer.RemoveViewProp(self._rubber_band.actor)

    def CanProcessInteractionEvent(self, event: Any) -> tuple[bool, float]:
        kind = event.GetType()
        wanted = kind == PRESS or (self._pressed_at is not None and kind in (MOVE, RELEASE))
        return bool(self.IsActive()) and wanted, BEHIND_MARKUPS

    def GetWidgetState(self) -> int:
        """Between press and release the pipeline gets every event."""
        return super().GetWidgetState() if self._pressed_at is None else vtkMRMLAbstractWidget.WidgetStateUser

    def ProcessInteractionEvent(self, event: Any) -> bool:
        kind = event.GetType()
        at, ras = event.GetDisplayPosition(), tuple(float(v) for v in event.GetWorldPosition())
        if kind == PRESS:
            self._pressed_at = (at, ras)
            if not self._effect.draws_boxes:
                # At the press, not at the release: the user waits for the preview.
                self._effect.clicked(self.GetViewNode(), ras, bool(event.GetModifiers() & vtkEvent.ControlModifier))
        elif kind == MOVE and self._pressed_at is not None and self._effect.draws_boxes:
            self._rubber_band.show(self._pressed_at[0], at)
            self.RequestRender()
        elif kind == RELEASE and self._pressed_at is not None:
            (corner_at, corner), self._pressed_at = self._pressed_at, None
            self._rubber_band.hide()
            self.RequestRender()
            wide = all(abs(b - a) >= SMALLEST_BOX for a, b in zip(corner_at[:2], at[:2]))
            if self._effect.draws_boxes and wide:
                self._effect.boxed(self.GetViewNode(), corner, ras)
        return True

    def LoseFocus(self, event: Any) -> None:
        super().LoseFocus(event)
        self._pressed_at = None
        self._rubber_band.hide()


class StrokeNotifier:
    """For brushes of trame-slicer. before_stroke: called before a stroke changes the segment."""

    def __init__(self) -> None:
        super().__init__()
        self.before_stroke: Callable[[], None] = lambda: None

    def paint_glyph_at_world_coordinates(self, polydata: Any, positions: Any) -> None:
        self.before_stroke()
        super().paint_glyph_at_world_coordinates(polydata, positions)


class Paint(StrokeNotifier, SegmentationEffectPaint):
    """The brush that adds to the segment."""


class Erase(StrokeNotifier, SegmentationEffectErase):
    """The brush that removes from the segment."""


class Tools:
    """The tool that is used in the slice views."""

    def __init__(self, slicer_app: SlicerApp) -> None:
        self._editor = slicer_app.segmentation_editor
        for effect in (PromptEffect, Paint, Erase):
            self._editor.register_effect_type(effect)

    def connect(self, clicked: Clicked, boxed: Boxed, before_stroke: Callable[[], None]) -> None:
        prompt = self._editor.get_effect(PromptEffect)
        prompt.clicked, prompt.boxed = clicked, boxed
        for brush in (Paint, Erase):
            self._editor.get_effect(brush).before_stroke = before_stroke

    def use(self, tool: Optional[str]) -> None:
        """None: no tool."""
        effects = {"point": PromptEffect, "box": PromptEffect, "paint": Paint, "erase": Erase}
        effect = self._editor.set_active_effect_type(effects.get(tool, SegmentationEffectNoTool))
        if isinstance(effect, PromptEffect):
            effect.draws_boxes = tool == "box"

    def set_brush(self, millimetres: float) -> None:
        """The brush's diameter."""
        for brush in (Paint, Erase):
            self._editor.get_effect(brush).set_brush_diameter(millimetres, BrushDiameterMode.Absolute)
