"""The displayed state of the panel, from the commands and their controller.

In: commands, the effect's parameters, the scene. Out: a `Snapshot`, and details of an error to copy. Changes nothing.
"""

import functools
import platform
from typing import Any, Optional

from . import parameters, slice_views, ui_text
from .options import BadOption
from .snapshot import ERROR, STATUS_KINDS, WORKING, Snapshot


def details(commands: Any, what: str) -> str:
    """For a bug report: what has happened, the system, the model, the engine's last lines."""
    lines = [what.rstrip(), f"{platform.platform()}, Python {platform.python_version()}"]
    if commands.controller is not None and commands.controller.connection.model:
        lines.append(ui_text.engine_line(commands.controller.connection.model))
    return "\n".join([*lines, *getattr(commands.engine, "last_lines", [])])


class PanelState:
    """commands: `Commands`; effect: Slicer's scriptedEffect."""

    def __init__(self, commands: Any, effect: Any, mrml_scene: Any) -> None:
        self._commands = commands
        self._effect = effect
        self._mrml_scene = mrml_scene
        # The axis of a segment, and what it depends on.
        self._axis: tuple[Any, str] = (None, "k")
        self._names: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def snapshot(self) -> Snapshot:
        """The state for the panel. Missing nodes are no error here: the user may not have chosen them yet."""
        now = Snapshot(
            positive=self._commands.positive,
            options=parameters.values(self._effect),
        )
        self._add_status(now)
        controller = self._commands.controller
        if controller is None:
            return now
        scene = controller.scene
        now.offers_rotation = self._commands.offers_rotation
        now.is_propagating, now.progress = controller.is_propagating, controller.progress
        now.engine = ui_text.engine_line(controller.connection.model)
        try:
            now.segments = len(scene.segment_ids())
            grid = scene.grid()
            selected = scene.selected()
            axis = self.axis(selected)
            now.slices, now.axis = grid.count(axis), axis
            now.planes = tuple((name, ui_text.plane_of(grid, name)) for name in "kji")
            now.directions = ui_text.directions_of(grid, axis)
            now.range = parameters.read_range(self._effect, now.slices)
            now.range_places = tuple(ui_text.position_of(grid, axis, slice_ - 1) for slice_ in now.range)
            now.can_discard = controller.can_discard
            now.with_prompts, now.without_prompts = self._prompted(scene)
            if selected is not None:
                now.has_selection = True
                now.has_points = bool(scene.points(selected))
                now.has_prompts = now.has_points or scene.box(selected) is not None
            now.report = self._commands.report()
            if now.report is not None:
                now.place = functools.partial(ui_text.position_of, grid, now.report.axis)
                now.current = slice_views.current_slice(self._mrml_scene, grid, now.report.axis, self._commands.view)
        except (scene.Error, BadOption):
            pass
        except Exception as error:
            self._commands.show_error(error)
            self._add_status(now)
        return now

    def _prompted(self, scene: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of segments with and without prompts or painting. During a propagation, as before it."""
        if not self._commands.controller.is_propagating:
            found: tuple[list[str], list[str]] = ([], [])
            for segment in scene.segment_ids():
                has_prompts = scene.occupied(segment) or scene.points(segment) or scene.box(segment)
                found[0 if has_prompts else 1].append(scene.name(segment))
            self._names = (tuple(found[0]), tuple(found[1]))
        return self._names

    def _add_status(self, now: Snapshot) -> None:
        commands, controller = self._commands, self._commands.controller
        if commands.error is not None:
            now.kind, (now.sentence, now.details) = ERROR, commands.error
        elif controller is not None and controller.error is not None:
            now.kind, now.sentence = ERROR, controller.error
            now.details = details(commands, controller.error)
        elif controller is not None:
            now.kind, now.sentence = STATUS_KINDS[controller.state], controller.message
            if commands.is_busy and now.kind != ERROR:
                now.kind = WORKING

    def axis(self, segment: Optional[str]) -> str:
        """The axis along which the segment would be propagated; cached, as it may depend on its voxels."""
        controller, scene = self._commands.controller, self._commands.controller.scene
        if segment is None:
            return controller.view_axis or scene.grid().coarsest_axis
        if not controller.is_propagating:
            placed = (scene.points(segment), scene.box(segment), scene.occupied(segment))
            held = (controller.axes.held(segment), controller.view_axis, controller.report(segment))
            key = (segment, held, placed, scene.source_stamp())
            if key != self._axis[0]:
                self._axis = (key, controller.axis_of(segment))
        return self._axis[1]
