"""The panel of the effect: status, prompts, directions, progress, strip, options, and the installation of libtorch.

In: a snapshot to display. Out: calls of `commands`. Knows neither node nor controller.
"""

from typing import Any, Callable, Optional

import qt

from . import shortcuts, ui_text
from .i18n import _
from .install_panel import InstallPanel
from .options_panel import OptionsPanel
from .snapshot import Snapshot
from .status_line import StatusLine
from .strip import Strip


class Panel:
    """widget: to be put into the effect's options frame. commands: an object with a method for each button."""

    def __init__(self, commands: Any, make_installation: Callable[[Optional[str]], Any]) -> None:
        self._commands = commands
        self._connections: list[tuple[Any, str, Callable]] = []
        self._shown_options: dict[str, str] = {}
        self._planes: tuple[tuple[str, str], ...] = ()
        self.widget = qt.QWidget()
        self.widget.objectName = "ProMemPanel"
        self._layout = qt.QVBoxLayout(self.widget)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(6)
        self.status = StatusLine()
        self._layout.addWidget(self.status.widget)
        self.rotate = self._button("ProMemRotate", _("Rotate views to the scan"), commands.rotate_views)
        self.rotate.setToolTip(_("Rotates every slice view to the slices of the scan, as the Segment Editor does."))
        self._layout.addWidget(self.rotate)
        self.install = InstallPanel(make_installation)
        self._layout.addWidget(self.install.widget)
        self._tools = qt.QWidget()
        self._layout.addWidget(self._tools)
        tools = qt.QVBoxLayout(self._tools)
        tools.setContentsMargins(0, 0, 0, 0)
        tools.setSpacing(6)
        self._add_prompts(tools)
        self._add_directions(tools)
        self._add_progress(tools)
        self.strip = Strip()
        self.strip.on_jump, self.strip.on_next = commands.jump, commands.next_doubtful
        tools.addWidget(self.strip.widget)
        self.options = OptionsPanel()
        self.options.on_change, self.options.on_error = commands.change_options, commands.reject_option
        tools.addWidget(self.options.widget)

    # Parts.

    def _add_prompts(self, layout: Any) -> None:
        self.hint = qt.QLabel(ui_text.HINT)
        self.hint.setWordWrap(True)
        layout.addWidget(self.hint)
        row = _row(layout)
        self.include = self._mode(
            "ProMemInclude", _("+ Include"), True, _("Clicks add foreground points, which belong to the object.")
        )
        self.exclude = self._mode(
            "ProMemExclude",
            _("− Exclude"),
            False,
            _("Clicks add background points, which do not belong to the object. Ctrl+click does so at any time."),
        )
        self.undo_point = self._button("ProMemUndoPoint", _("Undo point"), self._commands.undo_point)
        self.undo_point.setToolTip(shortcuts.with_key(_("Removes the last point."), shortcuts.UNDO_POINT))
        self.clear = self._button("ProMemClearPrompts", _("Clear prompts"), self._commands.clear_prompts)
        self.clear.setToolTip(
            shortcuts.with_key(_("Removes all points and the box. Painted slices stay."), shortcuts.CLEAR)
        )
        for button in (self.include, self.exclude, self.undo_point, self.clear):
            row.addWidget(button, 1)

    def _mode(self, name: str, text: str, positive: bool, tip: str) -> Any:
        button = qt.QPushButton(text)
        button.objectName = name
        button.checkable = True
        button.setToolTip(shortcuts.with_key(tip, shortcuts.TOGGLE))
        self._connect(button, "clicked()", lambda: self._commands.set_click_mode(positive))
        return button

    def _add_directions(self, layout: Any) -> None:
        self.propagate = self._button("ProMemPropagate", _("Propagate"), self._commands.propagate_both)
        self.propagate.setMinimumHeight(30)
        self.propagate.setToolTip(
            shortcuts.with_key(
                _(
                    "Propagates the selected segment to all slices, in both directions from its prompt slices.\n"
                    "Painted slices are not changed. Masking and undo of the Segment Editor apply."
                ),
                shortcuts.PROPAGATE,
            )
        )
        layout.addWidget(self.propagate)
        row = _row(layout)
        self.up = self._button("ProMemUp", "", self._commands.propagate_up)
        self.up.setToolTip(_("Propagates in this direction only, towards higher slice numbers."))
        self.down = self._button("ProMemDown", "", self._commands.propagate_down)
        self.down.setToolTip(_("Propagates in this direction only, towards lower slice numbers."))
        self.all = self._button("ProMemAll", _("All segments"), self._commands.propagate_all)
        for button in (self.up, self.down, self.all):
            row.addWidget(button, 1)
        row = _row(layout)
        self.in_range = self._button("ProMemInRange", _("In range"), self._commands.propagate_range)
        self.in_range.setToolTip(
            _("Propagates in both directions, but within these slices only. Slices are counted from 1.")
        )
        self.first, self.last = qt.QSpinBox(), qt.QSpinBox()
        for spin, name, tip in (
            (self.first, "ProMemRangeFirst", _("First slice")),
            (self.last, "ProMemRangeLast", _("Last slice")),
        ):
            spin.objectName = name
            spin.setToolTip(_("{tip} of the range, counted from 1.").format(tip=tip))
            spin.minimum = 1
            spin.keyboardTracking = False
            self._connect(spin, "valueChanged(int)", self._range_changed)
        self.plane = qt.QComboBox()
        self.plane.objectName = "ProMemPlane"
        self.plane.setToolTip(
            _(
                "The slices that the selected segment is propagated over. The first prompt or the painted slices give them,\n"
                "and clicks in any view go to them. Finished slices become prompts if you choose others."
            )
        )
        self._connect(self.plane, "activated(int)", self._plane_chosen)
        row.addWidget(self.in_range, 1)
        row.addWidget(self.first)
        row.addWidget(qt.QLabel(_("to")))
        row.addWidget(self.last)
        row.addWidget(self.plane, 1)

    def _add_progress(self, layout: Any) -> None:
        self._running = qt.QWidget()
        layout.addWidget(self._running)
        column = qt.QVBoxLayout(self._running)
        column.setContentsMargins(0, 0, 0, 0)
        self.progress = qt.QProgressBar()
        self.progress.setAlignment(qt.Qt.AlignCenter)
        column.addWidget(self.progress)
        row = _row(column)
        self.stop = self._button("ProMemCancel", _("Cancel (keep)"), self._commands.cancel)
        self.stop.setToolTip(
            shortcuts.with_key(_("Stops the propagation. The slices segmented so far are kept."), shortcuts.CANCEL)
        )
        self.discard = self._button("ProMemDiscard", _("Discard"), self._commands.discard)
        self.discard.setToolTip(_("Stops the propagation and restores the segment."))
        row.addWidget(self.stop, 1)
        row.addWidget(self.discard, 1)
        self.discard_result = self._button("ProMemDiscardResult", _("Discard result"), self._commands.discard)
        self.discard_result.setToolTip(
            _(
                "Restores the segments as they were before the last propagation, as undo does.\n"
                "Offered until the next edit."
            )
        )
        layout.addWidget(self.discard_result)

    def _button(self, name: str, text: str, call: Callable[[], None]) -> Any:
        button = qt.QPushButton(text)
        button.objectName = name
        self._connect(button, "clicked()", call)
        return button

    def _connect(self, widget: Any, signal: str, call: Callable) -> None:
        widget.connect(signal, call)
        self._connections.append((widget, signal, call))

    # Display.

    def show(self, now: Snapshot) -> None:
        self.status.show(now.kind, now.sentence, now.details)
        self.rotate.visible = now.offers_rotation
        self._tools.visible = now.is_usable and not self.install.is_open
        idle = now.slices > 0 and not now.is_propagating
        for button in (self.propagate, self.up, self.down):
            button.enabled = idle and now.has_selection
        self._show_directions(now)
        self._show_all(now)
        self.all.enabled = idle and now.segments > 1 and bool(now.with_prompts)
        self.discard_result.visible = now.can_discard and not now.is_propagating
        for widget in (self.in_range, self.first, self.last):
            widget.enabled = idle and now.has_selection
        self.undo_point.enabled = now.has_points
        self.clear.enabled = now.has_prompts
        self.include.checked, self.exclude.checked = now.positive, not now.positive
        self._show_range(now)
        self._show_progress(now)
        self.strip.show(now.report, now.current, now.place)
        self.options.show_engine(now.engine)
        if now.options and now.options != self._shown_options:
            self._shown_options = dict(now.options)
            self.options.show(now.options)

    def _show_directions(self, now: Snapshot) -> None:
        for button, direction in zip((self.up, self.down), now.directions):
            if button.text != direction:
                button.text = direction

    def _show_all(self, now: Snapshot) -> None:
        text = (
            _("All segments ({count})").format(count=len(now.with_prompts)) if now.segments > 1 else _("All segments")
        )
        if self.all.text != text:
            self.all.text = text
        tip = ui_text.all_segments_tip(now.with_prompts, now.without_prompts)
        if self.all.toolTip != tip:
            self.all.toolTip = tip

    def _show_range(self, now: Snapshot) -> None:
        for spin, value, place in zip((self.first, self.last), now.range, now.range_places):
            suffix = f"  ({place})" if place else ""
            if spin.suffix != suffix:
                spin.suffix = suffix
            was = spin.blockSignals(True)
            spin.maximum = max(now.slices, 1)
            # A field that is being edited is not changed.
            if not spin.hasFocus() or spin.value > spin.maximum:
                spin.value = value
            spin.blockSignals(was)
        self._show_planes(now)

    def _show_planes(self, now: Snapshot) -> None:
        self.plane.enabled = now.has_selection and now.slices > 0 and not now.is_propagating
        if now.planes != self._planes:
            self._planes = now.planes
            self.plane.clear()
            for axis, plane in now.planes:
                self.plane.addItem(plane, axis)
        index = self.plane.findData(now.axis)
        if index != self.plane.currentIndex:
            self.plane.setCurrentIndex(index)

    def _show_progress(self, now: Snapshot) -> None:
        self._running.visible = now.is_propagating
        if not now.is_propagating:
            return
        progress = now.progress
        # Without a maximum the bar shows activity only.
        self.progress.maximum = progress.expected if progress else 0
        self.progress.value = progress.done if progress else 0
        self.progress.format = ui_text.progress_line(progress) if progress else ""

    def _plane_chosen(self, index: int) -> None:
        self._commands.choose_axis(self.plane.itemData(index))

    def _range_changed(self, *_: Any) -> None:
        self._commands.change_range(self.first.value, self.last.value)

    def disconnect(self) -> None:
        """Disconnects every signal, so that none keeps an object alive."""
        for widget, signal, call in self._connections:
            widget.disconnect(signal, call)
        self._connections.clear()
        for part in (self.status, self.install, self.strip, self.options):
            part.disconnect()


def _row(layout: Any) -> Any:
    row = qt.QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    layout.addLayout(row)
    return row
