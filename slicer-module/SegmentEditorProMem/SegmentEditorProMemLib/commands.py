"""The commands of the effect: one method for each button, key and click. No command raises: errors are shown.

In: commands. Out: calls of the controller, parameters on the editor's node, jumps of slice views, and a snapshot for
the panel. Knows no widget.
"""

import functools
import traceback
from typing import Any, Callable, Optional

from . import panel_state, parameters, slice_views
from .controller import Controller
from .editing import editor_around
from .engine import EngineUnavailable
from .grid import ObliqueView, OutsideScan, nearest_axis
from .i18n import _
from .options import BadOption, Options
from .report import Report
from .snapshot import Snapshot

# Errors whose message is complete for the user; others are shown with a traceback to copy.
USER_ERRORS = (BadOption, ObliqueView, OutsideScan, EngineUnavailable)

SOURCE_CHANGED = _(
    "The volume or the segmentation has changed: the propagation was stopped. The slices segmented so far are kept."
)


def shows_errors(method: Callable) -> Callable:
    """Decorates a command so that its exceptions are shown in the panel instead of being raised into Slicer."""

    @functools.wraps(method)
    def call(self: "Commands", *arguments: Any) -> Any:
        try:
            self.error, self.offers_rotation = None, False
            return method(self, *arguments)
        except Exception as error:
            self.show_error(error)
            return None
        finally:
            self.on_change()

    return call


def needs_controller(method: Callable) -> Callable:
    """Decorates a command that does nothing without a controller: keys work while libtorch is being installed."""
    handler = shows_errors(method)

    @functools.wraps(method)
    def call(self: "Commands", *arguments: Any) -> Any:
        return handler(self, *arguments) if self.controller is not None else None

    return call


class Commands:
    """One per effect. on_change: called when the panel has to be updated."""

    def __init__(self, effect: Any, mrml_scene: Any) -> None:
        """effect: Slicer's scriptedEffect."""
        self.on_change: Callable[[], None] = lambda: None
        self.controller: Optional[Controller] = None
        self.engine: Any = None
        # The slice view used last; its slice is marked in the strip.
        self.view: Any = None
        # Whether clicks add foreground points.
        self.positive = True
        self.error: Optional[tuple[str, str]] = None
        # Whether the panel offers to rotate the slice views.
        self.offers_rotation = False
        self._effect = effect
        self._mrml_scene = mrml_scene
        self._selected: Optional[str] = None
        self._is_active = False
        self._segmentation: Optional[str] = None
        self._panel_state = panel_state.PanelState(self, effect, mrml_scene)
        self._is_preview_pending = False
        self._doubtful: tuple[Optional[Report], int] = (None, 0)

    # The controller.

    @shows_errors
    def open(self, make_engine: Callable[[], Any], make_scene: Callable[[], Any]) -> None:
        """Creates the controller on the first call, and starts the engine."""
        if self.controller is None:
            self.engine = make_engine()
            self._create_controller(make_scene())
        self.controller.activate()
        self._segmentation = self._segmentation_id()
        self._selected = self._or_none(self.controller.scene.selected)
        self._is_active = True
        self.controller.scene.show_prompts(self._selected)
        self._read_options()

    def _create_controller(self, scene: Any) -> None:
        self.controller = Controller(self.engine, scene)
        self.controller.on_change = lambda: self.on_change()
        notify = scene.on_prompts_changed
        scene.on_prompts_changed = lambda segment: self.prompts_changed(notify, segment)
        scene.on_segments_changed = self.segments_changed
        scene.on_source_changed = self.source_changed

    @needs_controller
    def deactivate(self) -> None:
        """Another effect becomes active: removes previews, hides prompts, continues a propagation."""
        self._is_active = False
        self.controller.scene.show_prompts(None)
        self._clear_previews()

    def close(self) -> None:
        """Ends the engine, and then the controller."""
        controller, self.controller = self.controller, None
        engine, self.engine = self.engine, None
        try:
            if engine is not None:
                engine.stop()
        finally:
            if controller is not None:
                controller.close()

    def tick(self) -> None:
        """Does a piece of the controller's work. An error stays shown until the next command."""
        if self.controller is None:
            return
        try:
            self.controller.tick()
            if self._is_preview_pending and self.controller.is_idle:
                self._clear_previews()
        except Exception as error:
            # A failing write would fail at each tick, and the propagation would never end.
            if self.controller.is_propagating:
                self._restart_controller()
            self.show_error(error)
            self.on_change()

    def _clear_previews(self) -> None:
        """Removes the previews that are shown, and one that is still being computed."""
        self.controller.deactivate()
        self._is_preview_pending = self.is_busy

    @property
    def is_busy(self) -> bool:
        return self.controller is not None and not self.controller.is_idle

    def _restart_controller(self) -> None:
        """Replaces the controller by a new one on the same engine, without reports and history."""
        before = self.controller
        if before.is_propagating:
            self.engine.send("cancel")
        before.deactivate()
        if before.connection.scan is not None:
            before.connection.scan.close()
        self._create_controller(before.scene)
        self.controller.options, self.controller.view_axis = before.options, before.view_axis
        self.controller.activate()

    # Events of the scene.

    @needs_controller
    def prompts_changed(self, notify: Callable[[str], None], segment: str) -> None:
        """The user moved or removed a prompt. notify: the controller's own callback."""
        notify(segment)

    def source_changed(self) -> None:
        """The volume, the segmentation or the placement of one of them has changed."""
        if self.controller is None:
            return
        controller = self.controller
        controller.scene.clear_previews()
        segmentation, self._segmentation = self._segmentation, self._segmentation_id()
        if segmentation != self._segmentation or self._is_propagating_another_scan():
            # Segments of another segmentation may have the same identifiers: reports and history must not be mixed.
            was_propagating = controller.is_propagating
            self._restart_controller()
            if was_propagating:
                self.error = (SOURCE_CHANGED, "")
        self.on_change()

    def _is_propagating_another_scan(self) -> bool:
        """Whether the running propagation belongs to a scan other than the current one."""
        controller = self.controller
        if controller.propagation is None or controller.connection.scan is None:
            return False
        # Without a stamp the engine has ended, and the propagation ends by itself.
        stamp = controller.connection.scan.stamp
        return stamp is not None and self._or_none(controller.scene.source_stamp) != stamp

    def segments_changed(self) -> None:
        """Segments were added, removed, renamed or selected. A selection clears previews and resets the click mode."""
        controller = self.controller
        if controller is None:
            return
        selected = self._or_none(controller.scene.selected)
        if selected != self._selected:
            self._selected = selected
            self.positive = True
            if self._is_active:
                controller.scene.show_prompts(selected)
            self._clear_previews()
        if controller.propagation is not None:
            there = self._or_none(controller.scene.segment_ids) or []
            if any(target.segment not in there for target in controller.propagation.targets):
                controller.cancel(keep=True)
        self.on_change()

    def _segmentation_id(self) -> Optional[str]:
        node = self._effect.parameterSetNode()
        segmentation = node.GetSegmentationNode() if node is not None else None
        return segmentation.GetID() if segmentation is not None else None

    # Clicks.

    @needs_controller
    def point(self, ras: Any, axis: str, positive: bool) -> None:
        self._is_preview_pending = False
        self.controller.click(self._segment(), ras, axis, positive)

    @needs_controller
    def box(self, ras: Any, opposite: Any, axis: str) -> None:
        self._is_preview_pending = False
        self.controller.box(self._segment(), ras, opposite, axis)

    @needs_controller
    def axis_of(self, slice_to_ras: Any, view: Any) -> Optional[tuple[str, float]]:
        """The axis that a slice view is nearest to, for segments that have none yet, and the degrees between them;
        None, and an error, without a scan.
        """
        self.view = view
        axis, degrees = nearest_axis(slice_to_ras, self.controller.scene.grid())
        self.controller.view_axis = axis
        return axis, degrees

    @needs_controller
    def offer_rotation(self, degrees: float) -> None:
        """A box was drawn in a rotated view."""
        self.offers_rotation = True
        self.error = (
            _(
                "This slice view is rotated by {degrees:.0f}° from the scan's slices, and a box belongs to one of them. "
                "Rotate the views and draw it again; clicks work in any view."
            ).format(degrees=degrees),
            "",
        )

    @needs_controller
    def rotate_views(self) -> None:
        """Rotates the slice views to the scan's slices."""
        editor, node = editor_around(self._effect.optionsFrame()), self._effect.parameterSetNode()
        slice_views.rotate_to_scan(self._mrml_scene, editor, node.GetSourceVolumeNode())

    def view_entered(self, slice_to_ras: Any, view: Any) -> None:
        """The mouse has entered a slice view."""
        if self.controller is not None:
            self.view = view
            grid = self._or_none(self.controller.scene.grid)
            if grid is not None:
                self.controller.view_axis = nearest_axis(slice_to_ras, grid)[0]
            self.on_change()

    @needs_controller
    def undo_point(self) -> None:
        self.controller.undo_prompt(self._segment())

    @needs_controller
    def clear_prompts(self) -> None:
        self.controller.clear_prompts(self._segment())

    def set_click_mode(self, positive: bool) -> None:
        self.positive = positive
        self.on_change()

    def toggle_click_mode(self) -> None:
        self.set_click_mode(not self.positive)

    # Propagations.

    @needs_controller
    def propagate_both(self) -> None:
        self.controller.propagate([self._segment()], "both")

    @needs_controller
    def propagate_up(self) -> None:
        self.controller.propagate([self._segment()], "up")

    @needs_controller
    def propagate_down(self) -> None:
        self.controller.propagate([self._segment()], "down")

    @needs_controller
    def propagate_range(self) -> None:
        axis = self._panel_state.axis(self._segment())
        first, last = parameters.read_range(self._effect, self.controller.scene.grid().count(axis))
        self.controller.propagate([self._segment()], "both", (first - 1, last - 1), axis)

    @needs_controller
    def propagate_all(self) -> None:
        self.controller.propagate(self.controller.scene.segment_ids(), "both")

    @needs_controller
    def cancel(self) -> None:
        self.controller.cancel(keep=True)

    @needs_controller
    def discard(self) -> None:
        """Restores the segments: of the running propagation, else of the last one."""
        if self.controller.is_propagating:
            self.controller.cancel(keep=False)
        else:
            self.controller.discard_last()

    @needs_controller
    def choose_axis(self, axis: str) -> None:
        self.controller.set_axis(self._segment(), axis)

    def _segment(self) -> str:
        selected = self.controller.scene.selected()
        if selected is None:
            raise BadOption(_("No segment is selected: add one, or select one."))
        return selected

    # Slices.

    @needs_controller
    def jump(self, slice_: int) -> None:
        """Moves the slice views to a slice of the report."""
        report = self.report()
        if report is not None:
            place = slice_views.position_on_slice(self.controller.scene, report.segment, report.axis, slice_)
            slice_views.jump(self._mrml_scene, place)

    @needs_controller
    def next_doubtful(self) -> None:
        """Goes to the next doubtful slice, the lowest predicted IoU first, and wraps around."""
        report = self.report()
        slices = report.doubtful if report is not None else []
        if not slices:
            return
        known, number = self._doubtful
        number = number if known is report else 0
        self._doubtful = (report, number + 1)
        self.jump(slices[number % len(slices)])

    def report(self) -> Optional[Report]:
        """The report of the selected segment, if it belongs to the current scan."""
        if self.controller is None or self._selected is None:
            return None
        report = self.controller.report(self._selected)
        if report is None or self.controller.scene.grid().count(report.axis) != len(report.scores):
            return None
        return report

    # Options.

    @shows_errors
    def change_options(self, values: dict[str, str]) -> None:
        parameters.write(self._effect, values)
        self._read_options()

    @shows_errors
    def reject_option(self, sentence: str) -> None:
        raise BadOption(sentence)

    @shows_errors
    def change_range(self, first: int, last: int) -> None:
        parameters.write(self._effect, {"RangeFirst": first, "RangeLast": last})

    @shows_errors
    def read_options(self) -> None:
        """The parameters of the node have changed."""
        self._read_options()

    def _read_options(self) -> None:
        if self.controller is None:
            return
        try:
            self.controller.options = parameters.read(self._effect)
        except BadOption:
            # A script may have written invalid parameters: the defaults apply until they are valid.
            self.controller.options = Options()
            raise

    # The displayed state.

    def show_error(self, error: Exception) -> None:
        plain = (*USER_ERRORS, self.controller.scene.Error) if self.controller is not None else USER_ERRORS
        if isinstance(error, plain):
            self.error = (str(error), "")
        else:
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            sentence = _("Internal error in ProMem: {error}").format(error=str(error) or type(error).__name__)
            self.error = (sentence, self._details(text))

    def _details(self, what: str) -> str:
        return panel_state.details(self, what)

    def snapshot(self) -> Snapshot:
        """The state for the panel."""
        return self._panel_state.snapshot()

    def _or_none(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (*USER_ERRORS, self.controller.scene.Error):
            return None
