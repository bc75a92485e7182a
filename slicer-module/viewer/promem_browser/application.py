"""The viewer: passes actions of the page and the views to workspace and controller, and their state to the page.

In: clicks. Out: an updated page. Everything runs on trame's event loop: the controller ticks every few milliseconds,
and nothing blocks.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Callable, Optional

from SegmentEditorProMemLib.controller import Controller
from SegmentEditorProMemLib.options import Options
from trame.app import TrameApp
from trame_slicer.core import SlicerApp

from . import files, page, view_state
from .access import restrict_access
from .actions import Actions
from .error_reporting import ErrorReporter
from .tools import Tools
from .views import TITLES, Views
from .workspace import Workspace

# Seconds between two ticks of the controller, and between two updates of the page.
TICK_SECONDS = 0.015
REFRESH_SECONDS = 0.06


class Viewer(TrameApp):
    """One page, one scan. token: the access token that an address must contain."""

    def __init__(
        self, token: str, scan: Optional[str] = None, segmentation: Optional[str] = None, model: Optional[str] = None
    ) -> None:
        super().__init__()
        self.server.cli.set_defaults(authKey=token)
        self.state.client_only("typed", "over_views")
        demonstration = files.demonstration_program() is not None
        self.state.update({**view_state.INITIAL, "demonstration": demonstration, "open_shown": scan is None})
        self.state.model = model or ""
        self._begin_with = (scan, segmentation)
        self._problem: Optional[str] = None
        self._changed = True
        self._refreshed_at = 0.0
        self._limited_along = ""
        self._ticking: Optional[asyncio.Task] = None
        self._announce: Callable[[], None] = lambda: None
        self._errors = ErrorReporter(self._say)
        slicer_app = SlicerApp()
        self.temporary = files.TemporaryFolders()
        self.tools = Tools(slicer_app)
        self.views = Views(
            slicer_app, self.server, page.bar("slice_bar.html", TITLES), page.bar("surface_bar.html", TITLES)
        )
        self.workspace = Workspace(slicer_app, Options(model=model))
        self.workspace.on_change = self.views.on_change = self._mark_changed
        self.workspace.on_opened, self.workspace.on_volume = self._opened, self.views.show_volume
        self.actions = Actions(
            self.state,
            self.workspace,
            self.views,
            self.tools,
            self.temporary,
            lambda content: self.server.protocol.addAttachment(content),
        )
        for name in self.actions.names():
            self.server.trigger(name)(self._errors.guarded(getattr(self.actions, name)))
        self.ui = page.build(self.server, self.views)
        restrict_access(self.server, token)
        self.ctrl.on_server_ready.add(self._begin)

    # Lifecycle.

    def run(self, host: str, port: int, announce: Callable[[], None]) -> None:
        """Serves until it is interrupted. announce: called as soon as the page can be opened."""
        self._announce = announce
        self.server.start(host=host, port=port, open_browser=False, show_connection_info=False)

    def close(self) -> None:
        """Ends the engine."""
        if self._ticking is not None:
            self._ticking.cancel()
        self.workspace.clear()
        self.temporary.close()

    def _begin(self, **_: Any) -> None:
        self._announce()
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        scan, segmentation = self._begin_with
        if scan is not None:
            with self._errors:
                self.workspace.open(scan, segmentation)
            self.state.open_shown = self.controller is None
        while True:
            await asyncio.sleep(TICK_SECONDS)
            with self._errors:
                if self.controller is not None:
                    self.controller.tick()
                self._refresh()

    # The state of the page.

    @property
    def controller(self) -> Optional[Controller]:
        return self.workspace.controller

    def _say(self, problem: Optional[str]) -> None:
        self._problem = problem
        self._mark_changed()

    def _mark_changed(self) -> None:
        self._changed = True

    def _refresh(self) -> None:
        """Updates the page if something has changed, but not too often."""
        now = asyncio.get_running_loop().time()
        if not self._changed or now - self._refreshed_at < REFRESH_SECONDS:
            return
        self._changed, self._refreshed_at = False, now
        with self.state:
            if self.controller is None:
                self.state.failed = self._problem is not None
                self.state.status = self._problem or self.state.status
            else:
                self._write(self.controller)

    def _write(self, controller: Controller) -> None:
        workspace, state = self.workspace, self.state
        selected = workspace.scene.selected() or ""
        axis = controller.axis_of(selected) if selected else workspace.scene.grid().coarsest_axis
        report = controller.report(selected) if selected else None
        held = workspace.slices(selected, report.axis) if report is not None else frozenset()
        at = self.views.number(report.axis) if report is not None else None
        problem = self._problem or controller.error
        state.update(
            {
                "segments": view_state.segments_shown(workspace.segments()),
                "selected": selected,
                "marks": view_state.marks_shown(*workspace.marks(selected)),
                "phase": controller.state,
                "status": problem or controller.message or "Click into the object, or paint it on one slice.",
                "failed": problem is not None,
                "running": controller.is_propagating,
                "working": not controller.is_idle,
                "progress": view_state.progress_shown(controller.progress),
                "undoable": bool(workspace.scene.can_undo),
                "redoable": bool(workspace.scene.can_redo),
                "strip": view_state.strip_shown(report, held, at),
                "views": view_state.views_shown(self.views.shown()),
                "alone": self.views.alone,
                "pointed": view_state.pointed_shown(self.views.pointed),
                "slices": workspace.scene.grid().count(axis),
                "network": view_state.network_shown(controller.connection.model),
                "grey": list(workspace.window()),
            }
        )
        if not state.limited or axis != self._limited_along:
            # A range across another axis is meaningless.
            self._limited_along, state.limits = axis, [1, state.slices]

    def _opened(self) -> None:
        """Another scan was opened."""
        scene = self.workspace.scene
        grid, voxels = scene.grid(), scene.voxels()
        self.views.show(grid, voxels)
        self.tools.connect(self._clicked, self._boxed, self.workspace.before_stroke)
        self.tools.set_brush(self.state.brush)
        self.actions.tool(self.state.tool)
        self._problem = None
        self.workspace.show_surfaces(self.state.surfaces)
        low, high = float(voxels.min()), float(voxels.max())
        self.state.update(
            {
                "scan": view_state.scan_shown(self.workspace.name, grid),
                "greys": [low, high, max((high - low) / 500, 1e-6)],
                "limited": False,
                "open_shown": False,
                "failed": False,
            }
        )

    # Prompts in the views.

    def _clicked(self, node: Any, ras: Sequence[float], control: bool) -> None:
        self._say(None)
        with self._errors:
            segment, axis = self.actions.selected(), self._axis_of_view(node)
            self.controller.click(segment, ras, axis, positive=not (control or self.state.exclude))

    def _boxed(self, node: Any, corner: Sequence[float], opposite: Sequence[float]) -> None:
        self._say(None)
        with self._errors:
            segment, axis = self.actions.selected(), self._axis_of_view(node)
            self.controller.box(segment, corner, opposite, axis)

    def _axis_of_view(self, node: Any) -> str:
        """The axis of the view that was clicked in. Raises ObliqueView."""
        return self.controller.set_view_axis(self.views.matrix(node.GetSingletonTag()))
