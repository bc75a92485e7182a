"""The mouse in slice views: a click adds a foreground point, Ctrl+click a background point, a drag draws a box.

In: events of a view's interactor. Out: points and boxes in RAS, with the axis that the view is nearest to. A box in a
view that is rotated from the scan's slices would be on no slice: rotating the views is offered. Events with other keys,
events during markup placement or window/level adjustment, and presses on a prompt, which drag it, are left to Slicer.
"""

import itertools
from typing import Any, Optional

import numpy as np
import slicer
import vtk

from .grid import MAX_OBLIQUE_DEGREES, Grid
from .labelmaps import array_of_matrix
from .rubber_band import RubberBand

# Pixels of a screen without scaling: the movement within a click, and the distance of a press that drags a prompt.
CLICK_TOLERANCE = 4
HANDLE_RADIUS = 7
# vtkMRMLAbstractViewNode::ScreenScaleFactor of a screen without scaling. Markups multiply their tolerances by it, too.
DEFAULT_SCREEN_SCALE = 0.2
# A drag over fewer voxels, along both axes of its slice, is a click.
MIN_BOX_VOXELS = 3
# A point within this fraction of the slice thickness is shown on the slice.
SLICE_FRACTION = 0.55

PRESS, MOVE, RELEASE, DOUBLE, ENTER = (
    getattr(vtk.vtkCommand, name)
    for name in (
        "LeftButtonPressEvent",
        "MouseMoveEvent",
        "LeftButtonReleaseEvent",
        "LeftButtonDoubleClickEvent",
        "EnterEvent",
    )
)


class MousePress:
    """A pressed button. It keeps the view's slice of the press: the view may scroll before the release."""

    def __init__(
        self, view: Any, xy: tuple[int, int], xy_to_ras: np.ndarray, axis: str, positive: bool, tolerance: float
    ) -> None:
        """tolerance: pixels of movement within a click."""
        self.view, self.xy, self.axis, self.positive, self.tolerance = view, xy, axis, positive, tolerance
        self._xy_to_ras = xy_to_ras
        self.is_drag = False
        # Degrees between the view and the slices across `axis`.
        self.degrees = 0.0

    @property
    def is_oblique(self) -> bool:
        return self.degrees > MAX_OBLIQUE_DEGREES

    def ras(self, xy: tuple[int, int]) -> tuple[float, float, float]:
        return tuple(float(part) for part in (self._xy_to_ras @ [*xy, 0.0, 1.0])[:3])


class SliceViewMouse:
    """effect: Slicer's scriptedEffect. commands: receives points and boxes."""

    def __init__(self, effect: Any, commands: Any) -> None:
        self._effect = effect
        self._commands = commands
        self._press: Optional[MousePress] = None
        self._rubber_band: Optional[RubberBand] = None
        self._rubber_band_view: Any = None

    def process(self, interactor: Any, event: int, view: Any) -> bool:
        """Handles an event; whether it was handled."""
        if view.className() != "qMRMLSliceWidget":
            return False
        if event == MOVE:
            return self._moved(interactor.GetEventPosition())
        if event == RELEASE:
            return self._released(interactor.GetEventPosition())
        if event == ENTER:
            node = self._effect.viewNode(view)
            self._commands.view_entered(array_of_matrix(node.GetSliceToRAS()), node)
        if event not in (PRESS, DOUBLE) or not self._is_ours(interactor):
            return False
        # The second click has already come as a press; Slicer would maximize the view on a double click.
        return event == DOUBLE or self._pressed(interactor, view)

    def cancel(self) -> None:
        """Ends a press without a prompt."""
        self._press = None
        self._remove_rubber_band()

    def _is_ours(self, interactor: Any) -> bool:
        if interactor.GetShiftKey() or interactor.GetAltKey():
            return False
        scene = self._effect.parameterSetNode().GetScene()
        node = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton") if scene is not None else None
        return node is None or node.GetCurrentInteractionMode() == slicer.vtkMRMLInteractionNode.ViewTransform

    def _pressed(self, interactor: Any, view: Any) -> bool:
        self.cancel()
        if self._commands.controller is None:
            return False
        node = self._effect.viewNode(view)
        xy = interactor.GetEventPosition()
        xy_to_ras = array_of_matrix(node.GetXYToRAS())
        scale = pixel_scale(view, node)
        if self._is_on_prompt(xy, xy_to_ras, HANDLE_RADIUS * scale):
            return False
        axis = self._commands.axis_of(array_of_matrix(node.GetSliceToRAS()), node)
        if axis is None:
            return False
        axis, degrees = axis
        # Asks the user if the segment is hidden. A dialog takes the release of the button: the press is over then.
        if self._effect.confirmCurrentSegmentVisible() != self._effect.ConfirmedWithoutDialog:
            return True
        positive = self._commands.positive != bool(interactor.GetControlKey())
        self._press = MousePress(view, xy, xy_to_ras, axis, positive, CLICK_TOLERANCE * scale)
        self._press.degrees = degrees
        return True

    def _moved(self, xy: tuple[int, int]) -> bool:
        press = self._press
        if press is None:
            return False
        # There are no background boxes: with Ctrl the press stays a point.
        if press.positive and max(abs(a - b) for a, b in zip(xy, press.xy)) > press.tolerance:
            press.is_drag = True
        if press.is_drag and not press.is_oblique:
            if self._rubber_band is None:
                self._rubber_band, self._rubber_band_view = RubberBand(), press.view
                self._effect.addActor2D(press.view, self._rubber_band.actor)
            self._rubber_band.show(press.xy, xy)
            self._effect.scheduleRender(press.view)
        return True

    def _released(self, xy: tuple[int, int]) -> bool:
        press = self._press
        if press is None:
            return False
        self.cancel()
        is_box = press.is_drag and not self._is_small(press.ras(press.xy), press.ras(xy))
        if is_box and press.is_oblique:
            self._commands.offer_rotation(press.degrees)
        elif is_box:
            self._commands.box(press.ras(press.xy), press.ras(xy), press.axis)
        else:
            self._commands.point(press.ras(press.xy), press.axis, press.positive)
        # The user waits for the preview: it does not wait for the timer.
        self._commands.tick()
        return True

    def _is_small(self, ras: Any, opposite: Any) -> bool:
        """Whether a box spans a few voxels only: a hand that trembles draws no box."""
        scene = self._commands.controller.scene
        try:
            grid = scene.grid()
        except scene.Error:
            return False  # the command reports it
        return max(abs(a - b) for a, b in zip(grid.index(ras), grid.index(opposite))) < MIN_BOX_VOXELS

    def _is_on_prompt(self, xy: tuple[int, int], xy_to_ras: np.ndarray, radius: float) -> bool:
        places = handle_positions(self._commands.controller.scene)
        if not places:
            return False
        ras_to_xy = np.linalg.inv(xy_to_ras)
        at = (ras_to_xy @ np.vstack([np.transpose(places), np.ones(len(places))]))[:3].T
        distances = np.hypot(at[:, 0] - xy[0], at[:, 1] - xy[1])
        return bool(np.any((distances <= radius) & (np.abs(at[:, 2]) <= SLICE_FRACTION)))

    def _remove_rubber_band(self) -> None:
        if self._rubber_band is not None:
            self._effect.removeActor2D(self._rubber_band_view, self._rubber_band.actor)
            self._effect.scheduleRender(self._rubber_band_view)
            self._rubber_band = self._rubber_band_view = None


def pixel_scale(view: Any, node: Any) -> float:
    """Pixels of a view's interactor for one pixel of a screen without scaling."""
    # A method of QPaintDevice; views outside Qt have none.
    ratio = view.devicePixelRatioF() if hasattr(view, "devicePixelRatioF") else 1.0
    return ratio * node.GetScreenScaleFactor() / DEFAULT_SCREEN_SCALE


def handle_positions(scene: Any) -> list[Any]:
    """The draggable handles of the selected segment: its points, the corners of its box and the edge centers."""
    try:
        selected = scene.selected()
        if selected is None:
            return []
        places = [ras for ras, _ in scene.points(selected)]
        box = scene.box(selected)
        return places if box is None else places + _box_handles(scene.grid(), *box)
    except scene.Error:
        return []


def _box_handles(grid: Grid, corner: Any, opposite: Any) -> list[Any]:
    low, high = grid.index(corner), grid.index(opposite)
    choices = [(a, (a + b) / 2, b) if abs(a - b) > 0.5 else (a,) for a, b in zip(low, high)]
    middle = tuple(options[len(options) // 2] for options in choices)
    return [grid.ras(index) for index in itertools.product(*choices) if index != middle]
