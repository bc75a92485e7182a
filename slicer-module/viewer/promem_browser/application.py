"""The viewer: what is done on the page and in the views goes to the desk and the controller, and what they come to goes to the page.

In: clicks. Out: a page that is up to date. Everything runs on trame's own loop: the controller ticks every few milliseconds, and nothing else
waits.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Callable, Optional

from SegmentEditorProMemLib.controller import Controller
from SegmentEditorProMemLib.options import Options
from trame.app import TrameApp
from trame_slicer.core import SlicerApp

from . import board, files, page
from .actions import Actions
from .desk import Desk
from .entrance import open_entrance
from .told import Told
from .tools import Tools
from .views import TITLES, Views

# Between two ticks of the controller, and between two looks of the page, in seconds.
TICK = 0.015
LOOK = 0.06


class Viewer(TrameApp):
    """One page, one scan. word: what an address must hold to be let in."""

    def __init__(
        self, word: str, scan: Optional[str] = None, segmentation: Optional[str] = None, model: Optional[str] = None
    ) -> None:
        super().__init__()
        self.server.cli.set_defaults(authKey=word)
        self.state.client_only("typed", "over_views")
        demonstration = files.demonstration_program() is not None
        self.state.update({**board.BEGINNING, "demonstration": demonstration, "open_shown": scan is None})
        self.state.model = model or ""
        self._begin_with = (scan, segmentation)
        self._problem: Optional[str] = None
        self._changed = True
        self._looked_at = 0.0
        self._limited_along = ""
        self._ticking: Optional[asyncio.Task] = None
        self._announce: Callable[[], None] = lambda: None
        self._told = Told(self._say)
        slicer_app = SlicerApp()
        self.workplace = files.Workplace()
        self.tools = Tools(slicer_app)
        self.views = Views(
            slicer_app, self.server, page.bar("slice_bar.html", TITLES), page.bar("surface_bar.html", TITLES)
        )
        self.desk = Desk(slicer_app, Options(model=model))
        self.desk.on_change = self.views.on_change = self._mark
        self.desk.on_opened, self.desk.on_volume = self._opened, self.views.show_volume
        self.actions = Actions(
            self.state,
            self.desk,
            self.views,
            self.tools,
            self.workplace,
            lambda content: self.server.protocol.addAttachment(content),
        )
        for name in self.actions.names():
            self.server.trigger(name)(self._told.guarded(getattr(self.actions, name)))
        self.ui = page.build(self.server, self.views)
        open_entrance(self.server, word)
        self.ctrl.on_server_ready.add(self._begin)

    # From the first to the last.

    def run(self, host: str, port: int, announce: Callable[[], None]) -> None:
        """Serves until it is interrupted. announce: called as soon as the page can be opened."""
        self._announce = announce
        self.server.start(host=host, port=port, open_browser=False, show_connection_info=False)

    def close(self) -> None:
        """Ends the engine."""
        if self._ticking is not None:
            self._ticking.cancel()
        self.desk.clear()
        self.workplace.close()

    def _begin(self, **_: Any) -> None:
        self._announce()
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        scan, segmentation = self._begin_with
        if scan is not None:
            with self._told:
                self.desk.open(scan, segmentation)
            self.state.open_shown = self.controller is None
        while True:
            await asyncio.sleep(TICK)
            with self._told:
                if self.controller is not None:
                    self.controller.tick()
                self._look()

    # What the page says.

    @property
    def controller(self) -> Optional[Controller]:
        return self.desk.controller

    def _say(self, problem: Optional[str]) -> None:
        self._problem = problem
        self._mark()

    def _mark(self) -> None:
        self._changed = True

    def _look(self) -> None:
        """Brings the page up to date, where something has changed and not too often."""
        now = asyncio.get_running_loop().time()
        if not self._changed or now - self._looked_at < LOOK:
            return
        self._changed, self._looked_at = False, now
        with self.state:
            if self.controller is None:
                self.state.failed = self._problem is not None
                self.state.status = self._problem or self.state.status
            else:
                self._write(self.controller)

    def _write(self, controller: Controller) -> None:
        desk, state = self.desk, self.state
        selected = desk.scene.selected() or ""
        axis = controller.axis_of(selected) if selected else desk.scene.grid().coarsest_axis
        report = controller.report(selected) if selected else None
        held = desk.slices(selected, report.axis) if report is not None else frozenset()
        at = self.views.number(report.axis) if report is not None else None
        problem = self._problem or controller.error
        state.update(
            {
                "segments": board.segments_shown(desk.segments()),
                "selected": selected,
                "marks": board.marks_shown(*desk.marks(selected)),
                "phase": controller.state,
                "status": problem or controller.message or "Click into the object, or paint it on one slice.",
                "failed": problem is not None,
                "running": controller.is_propagating,
                "working": not controller.is_idle,
                "progress": board.progress_shown(controller.progress),
                "undoable": bool(desk.scene.can_undo),
                "redoable": bool(desk.scene.can_redo),
                "strip": board.strip_shown(report, held, at),
                "views": board.views_shown(self.views.shown()),
                "alone": self.views.alone,
                "pointed": board.pointed_shown(self.views.pointed),
                "slices": desk.scene.grid().count(axis),
                "network": board.network_shown(controller.link.model),
                "grey": list(desk.window()),
            }
        )
        if not state.limited or axis != self._limited_along:
            # Numbers of other slices say nothing.
            self._limited_along, state.limits = axis, [1, state.slices]

    def _opened(self) -> None:
        """Another scan is on the desk."""
        scene = self.desk.scene
        grid, voxels = scene.grid(), scene.voxels()
        self.views.show(grid, voxels)
        self.tools.connect(self._clicked, self._boxed, self.desk.before_stroke)
        self.tools.set_brush(self.state.brush)
        self.actions.tool(self.state.tool)
        self._problem = None
        self.desk.show_surfaces(self.state.surfaces)
        low, high = float(voxels.min()), float(voxels.max())
        self.state.update(
            {
                "scan": board.scan_shown(self.desk.name, grid),
                "greys": [low, high, max((high - low) / 500, 1e-6)],
                "limited": False,
                "open_shown": False,
                "failed": False,
            }
        )

    # What is done in the views.

    def _clicked(self, node: Any, ras: Sequence[float], control: bool) -> None:
        self._say(None)
        with self._told:
            segment, axis = self.actions.selected(), self._look_along(node)
            self.controller.click(segment, ras, axis, positive=not (control or self.state.exclude))

    def _boxed(self, node: Any, corner: Sequence[float], opposite: Sequence[float]) -> None:
        self._say(None)
        with self._told:
            segment, axis = self.actions.selected(), self._look_along(node)
            self.controller.box(segment, corner, opposite, axis)

    def _look_along(self, node: Any) -> str:
        """The axis of the view that was clicked in. Raises ObliqueView."""
        return self.controller.look_along(self.views.matrix(node.GetSingletonTag()))
