"""Three slice views and a 3D view: the displayed slices, the cursor, and jumps.

In: slices to show. Out: the state of the bars over the views. Knows no segment and no page.
"""

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Optional

import numpy as np
from SegmentEditorProMemLib.grid import AXES, Grid, ObliqueView, OutsideScan, axis_of_view
from SegmentEditorProMemLib.labelmaps import array_of_matrix
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import RemoteViewFactory
from trame_slicer.views import (
    Layout,
    LayoutDirection,
    NoScheduleRendering,
    SliceView,
    ThreeDView,
    ViewLayoutDefinition,
    ViewType,
)
from vtkmodules.vtkCommonCore import vtkCommand, vtkObject

# Slicer's names of the views, and their titles on the page.
SLICES = ("Red", "Green", "Yellow")
SURFACES = "ThreeD"
TITLES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", SURFACES: "3D"}
ALL_VIEWS = "all"
BACKGROUND = "#0b0d10"
# Views are sent as JPEG, at this quality during interaction.
FRAMES_PER_SECOND = 30.0
MOVING_QUALITY = 70
# The initial camera of the 3D view, in degrees from the front and from the side.
CAMERA_DEGREES = 20.0
# The margin of that camera around the scan.
CAMERA_MARGIN = 0.12
# Before the tools, which stop the events that they use.
OBSERVER_PRIORITY = 100.0
# The letters of the negative and positive RAS directions.
DIRECTION_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class SliceViewState:
    """The bar over a slice view. axis: None for an oblique view. number: the displayed slice, from 0."""

    name: str
    axis: Optional[str] = None
    number: int = 0
    count: int = 0
    left: str = ""
    top: str = ""


@dataclass(frozen=True)
class CursorPosition:
    """The last cursor position: pixels from the view's lower left corner, and scan index. value: None outside the
    scan.
    """

    view: str
    at: tuple[int, int]
    index: tuple[float, float, float]
    value: Optional[float]


class Views:
    """on_change: called when a view shows another slice, or the cursor has moved."""

    def __init__(self, slicer_app: SlicerApp, server: Any, slice_bar: Callable, surface_bar: Callable) -> None:
        """slice_bar, surface_bar: called with (server, name, view), to add the bar over a view."""
        self.on_change: Callable[[], None] = lambda: None
        self.pointed: Optional[CursorPosition] = None
        self._manager = slicer_app.view_manager
        self._grid: Optional[Grid] = None
        self._voxels: Optional[np.ndarray] = None
        for kind, view_type, bar in (
            (SliceView, ViewType.SLICE_VIEW, slice_bar),
            (ThreeDView, ViewType.THREE_D_VIEW, surface_bar),
        ):
            factory = RemoteViewFactory(
                server,
                # During its creation a view would be rendered dozens of times.
                partial(kind, scheduled_render_strategy=NoScheduleRendering()),
                view_type,
                populate_view_ui_f=bar,
                target_fps=FRAMES_PER_SECOND,
                interactive_quality=MOVING_QUALITY,
            )
            self._manager.register_factory(factory)
        self.layout = LayoutManager(slicer_app.scene, self._manager, server)
        # VTK 9.6 warns of an event that trame-slicer 2.0 observes, and sends itself.
        vtkObject.GlobalWarningDisplayOff()
        self.layout.register_layout_dict(_layouts())
        vtkObject.GlobalWarningDisplayOn()
        self.layout.set_layout(ALL_VIEWS)
        for view in self._slices():
            view.modified.connect(lambda *_: self.on_change())
            view.interactor().AddObserver(vtkCommand.MouseMoveEvent, self._mouse_moved(view), OBSERVER_PRIORITY)

    def show_volume(self, volume: Any) -> None:
        """Sets the displayed volume; None: none."""
        for view in self._slices():
            view.set_background_volume_id(None if volume is None else volume.GetID())

    def show(self, grid: Grid, voxels: np.ndarray) -> None:
        """Sets grid and voxels of the displayed volume, and resets the views."""
        self._grid, self._voxels, self.pointed = grid, voxels, None
        for view in self._slices():
            view.set_visible_in_3d(view.get_singleton_tag() == "Red")
        self.reset()

    def reset(self) -> None:
        """Resets every view to show the whole scan."""
        for view in self._manager.get_views():
            view.reset_view()
        for view in self._manager.get_threed_views():
            # From the front an axial slice would be a line.
            camera = view.renderer().GetActiveCamera()
            camera.Azimuth(CAMERA_DEGREES)
            camera.Elevation(CAMERA_DEGREES)
            view.zoom(-CAMERA_MARGIN)
            view.schedule_render()

    def enlarge(self, name: str) -> None:
        """Maximizes a view, or shows all views again."""
        self.layout.set_layout(ALL_VIEWS if self.layout.layout_id == name else name)

    @property
    def alone(self) -> str:
        """The maximized view; empty if all views are shown."""
        return "" if self.layout.layout_id == ALL_VIEWS else self.layout.layout_id

    # Displayed slices.

    def shown(self) -> list[SliceViewState]:
        return [self._shown(view) for view in self._slices()]

    def number(self, axis: str) -> Optional[int]:
        """The displayed slice across an axis."""
        return next((shown.number for shown in self.shown() if shown.axis == axis), None)

    def matrix(self, name: str) -> np.ndarray:
        """From a slice view's plane to RAS."""
        return array_of_matrix(self._manager.get_view(name).get_view_node().GetSliceToRAS())

    def _shown(self, view: SliceView) -> SliceViewState:
        name = view.get_singleton_tag()
        if self._grid is None:
            return SliceViewState(name)
        matrix = self.matrix(name)
        left, top = _letter(-matrix[:3, 0]), _letter(matrix[:3, 1])
        try:
            axis = axis_of_view(matrix, self._grid)
        except ObliqueView:
            return SliceViewState(name, left=left, top=top)
        count = self._grid.count(axis)
        number = round(self._grid.index(matrix[:3, 3])[2 - AXES[axis]])
        return SliceViewState(name, axis, min(max(number, 0), count - 1), count, left, top)

    def _slices(self) -> list[SliceView]:
        return [self._manager.get_view(name) for name in SLICES]

    # Jumps.

    def show_slice(self, name: str, number: int) -> None:
        """Shows another slice in one view."""
        shown = self._shown(self._manager.get_view(name))
        if shown.axis is None:
            return
        middle = [(size - 1) / 2 for size in self._grid.shape[::-1]]
        middle[2 - AXES[shown.axis]] = min(max(int(number), 0), shown.count - 1)
        self._manager.get_view(name).get_view_node().JumpSliceByOffsetting(*self._grid.ras(middle))

    def go_to(self, ras: tuple[float, float, float]) -> None:
        """All views through one position."""
        for view in self._slices():
            view.get_view_node().JumpSliceByOffsetting(*ras)

    # The mouse.

    def _mouse_moved(self, view: SliceView) -> Callable:
        def moved(*_: Any) -> None:
            if self._grid is None:
                return
            name, at = view.get_singleton_tag(), view.interactor().GetEventPosition()
            ras = array_of_matrix(view.get_view_node().GetXYToRAS()) @ (*at, 0.0, 1.0)
            value = None
            with contextlib.suppress(OutsideScan):
                i, j, k = self._grid.voxel(ras[:3])
                value = float(self._voxels[k, j, i])
            self.pointed = CursorPosition(name, at, self._grid.index(ras[:3]), value)
            self.on_change()

        return moved


def _layouts() -> dict[str, Layout]:
    """All views, as Slicer's "Four-Up", and each alone."""
    surfaces = ViewLayoutDefinition.threed_view(name=SURFACES, background_color=BACKGROUND)
    red, green, yellow = (
        ViewLayoutDefinition.axial_view(),
        ViewLayoutDefinition.coronal_view(),
        ViewLayoutDefinition.sagittal_view(),
    )
    rows = [
        Layout(LayoutDirection.Horizontal, [red, surfaces]),
        Layout(LayoutDirection.Horizontal, [green, yellow]),
    ]
    alone = {view.singleton_tag: Layout(LayoutDirection.Vertical, [view]) for view in (red, surfaces, green, yellow)}
    return {ALL_VIEWS: Layout(LayoutDirection.Vertical, rows), **alone}


def _letter(direction: np.ndarray) -> str:
    """The letter of the anatomical direction closest to a vector."""
    main = int(np.argmax(np.abs(direction)))
    return DIRECTION_LETTERS[main][int(direction[main] > 0)]
