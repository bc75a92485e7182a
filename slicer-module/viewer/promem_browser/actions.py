"""The actions of the panel: one method for each trigger of the page, with its name.

In: clicked or typed values. Out: calls of the workspace, the controller and the views. Raises the errors that
`error_reporting` shows. Draws nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Callable, Optional

from SegmentEditorProMemLib.controller import Controller
from SegmentEditorProMemLib.options import BadOption
from SegmentEditorProMemLib.slice_views import position_on_slice

from . import files, view_state
from .files import FileProblem
from .tools import TOOLS, Tools
from .views import SLICES, Views
from .workspace import Workspace

OPTIONS = ("search", "windows", "beams", "intensity", "stop", "model")


class Actions:
    """attach: makes bytes into an attachment that can be sent to the browser."""

    def __init__(
        self,
        state: Any,
        workspace: Workspace,
        views: Views,
        tools: Tools,
        temporary: files.TemporaryFolders,
        attach: Callable[[bytes], Any],
    ) -> None:
        self._state = state
        self._workspace = workspace
        self._views = views
        self._tools = tools
        self._temporary = temporary
        self._attach = attach

    @property
    def _controller(self) -> Controller:
        if self._workspace.controller is None:
            raise FileProblem("No scan is open.")
        return self._workspace.controller

    def selected(self) -> str:
        """The selected segment. Raises BadOption."""
        selected = self._workspace.scene.selected() if self._workspace.scene is not None else None
        if selected is None:
            raise BadOption("No segment is selected: add one or select one.")
        return selected

    def _reject_while_propagating(self) -> None:
        if self._workspace.controller is not None and self._workspace.controller.is_propagating:
            raise BadOption("A propagation is running: wait for it or cancel it.")

    def names(self) -> list[str]:
        """The triggers."""
        return [name for name in vars(Actions) if not name.startswith("_") and name not in ("selected", "names")]

    # Segments.

    def add(self) -> None:
        self._reject_while_propagating()
        self._workspace.add()
        self.tool(self._state.tool)

    def select(self, segment: str) -> None:
        if segment != self._workspace.scene.selected():
            self._workspace.scene.clear_previews()
            self._workspace.select(segment)

    def rename(self, segment: str, name: Any) -> None:
        self._workspace.rename(segment, str(name))

    def recolor(self, segment: str, color: Any) -> None:
        self._workspace.recolor(segment, str(color))

    def show(self, segment: str, visible: Any) -> None:
        self._workspace.show(segment, bool(visible))

    def remove(self, segment: str) -> None:
        self._reject_while_propagating()
        self._workspace.remove(segment)

    # Prompts and painting.

    def tool(self, tool: str) -> None:
        if tool not in TOOLS:
            raise BadOption(f"tool: {tool!r}, expected one of {', '.join(TOOLS)}")
        self._state.tool = tool
        chosen = self._workspace.scene is not None and self._workspace.scene.selected() is not None
        self._tools.use(tool if chosen else None)
        if chosen and tool in ("paint", "erase"):
            self._controller.deactivate()

    def exclude(self, exclude: Any) -> None:
        """Whether clicks add background points."""
        self._state.exclude = bool(exclude)

    def brush(self, millimetres: float) -> None:
        self._state.brush = millimetres
        self._tools.set_brush(float(millimetres))

    def undo_point(self) -> None:
        self._controller.undo_prompt(self.selected())

    def clear(self) -> None:
        self._controller.clear_prompts(self.selected())

    def undo(self) -> None:
        self._reject_while_propagating()
        self._workspace.undo()

    def redo(self) -> None:
        self._reject_while_propagating()
        self._workspace.redo()

    # Propagating.

    def propagate(self, direction: str) -> None:
        segments = self._workspace.scene.segment_ids() if self._state.everything else [self.selected()]
        first, last = self._state.limits
        self._controller.propagate(
            segments, direction, (int(first) - 1, int(last) - 1) if self._state.limited else None
        )

    def cancel(self, keep: Any) -> None:
        self._controller.cancel(keep=bool(keep))

    def everything(self, everything: Any) -> None:
        """Whether all segments are propagated."""
        self._state.everything = bool(everything)

    def limit(self, limited: Any) -> None:
        self._state.limited = bool(limited)

    def set_range_end(self, end: str, number: Any) -> None:
        """Sets the first or the last slice of the range, counted from 1. The other end moves along if they would
        cross.
        """
        first, last = self._state.limits
        chosen = min(max(int(number or 0), 1), self._state.slices)
        self._state.limits = [chosen, max(chosen, last)] if end == "first" else [min(chosen, first), chosen]
        # Without a change of value the page would keep the typed text.
        self._state.dirty("limits")

    def jump(self, slice_: int) -> None:
        """Moves all views to the segment's center on a slice."""
        selected = self.selected()
        report = self._controller.report(selected)
        if report is not None:
            self._views.go_to(position_on_slice(self._workspace.scene, selected, report.axis, int(slice_)))

    def next_doubtful(self) -> None:
        """Goes to the next doubtful slice above the displayed one, and wraps around."""
        report = self._controller.report(self.selected())
        doubtful = (
            view_state.doubtful(report, self._workspace.slices(report.segment, report.axis))
            if report is not None
            else []
        )
        if doubtful:
            at = self._views.number(report.axis)
            self.jump(next((n for n in doubtful if at is not None and n > at), doubtful[0]))

    # Views and options.

    def show_slice(self, view: str, number: int) -> None:
        if view in SLICES:
            self._views.show_slice(view, int(number))

    def enlarge(self, view: str) -> None:
        self._views.enlarge(view)

    def surfaces(self, shown: Any) -> None:
        self._state.surfaces = bool(shown)
        self._workspace.show_surfaces(self._state.surfaces)

    def reset_views(self) -> None:
        self._views.reset()

    def grey(self, end: str, value: float) -> None:
        """Sets the value that is black, or white. They do not cross."""
        black, white = self._workspace.window()
        if end == "black":
            self._workspace.set_window(min(float(value), white), white)
        else:
            self._workspace.set_window(black, max(float(value), black))

    def option(self, name: str, value: Any) -> None:
        if name not in OPTIONS:
            raise BadOption(f"option: {name!r}, expected one of {', '.join(OPTIONS)}")
        before, self._state[name] = self._state[name], value
        try:
            options = view_state.options_of(self._state, self._workspace.options)
            if options.model is not None:
                options = replace(options, model=str(files.existing(options.model, files.WEIGHTS)))
        except (BadOption, FileProblem):
            self._state[name] = before
            # The page shows the new value already: it has to be sent the old one again.
            self._state.dirty(name)
            raise
        self._workspace.options = options
        if self._workspace.controller is not None:
            self._workspace.controller.options = options

    # Scans and files.

    def open(self, path: Any) -> None:
        self._reject_while_propagating()
        self._workspace.open(path)

    def upload(self, sent: Mapping[str, Any]) -> None:
        try:
            self._reject_while_propagating()
            self._workspace.open(files.uploaded(sent, self._temporary.folder("uploaded")))
        finally:
            self._state.opening = False

    async def demonstration(self) -> None:
        self._reject_while_propagating()
        with self._state:
            self._state.opening = True
            self._state.status = "Making the demonstration …"
        try:
            self._workspace.open(
                await files.demonstration(self._temporary.folder("demonstration")), name="Demonstration"
            )
        finally:
            self._state.opening = False

    def save(self, kind: str) -> Optional[dict[str, Any]]:
        """A file for the browser to download."""
        self._reject_while_propagating()
        if self._workspace.segmentation is None:
            raise FileProblem("There is no segmentation to save.")
        path = self._workspace.save(kind, self._temporary.folder("saved"))
        return {"name": path.name, "content": self._attach(path.read_bytes())}
