"""Every control of the panel and every key does what it says."""

import numpy as np
import pytest
from conftest import needs

needs("slicer", "PySide6")

import pythonqt  # noqa: E402, F401
from SegmentEditorProMemLib import shortcuts  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]

LIVER = np.s_[4:16, 10:30, 8:30]


def slices(app, number=0):
    """Slices across k that a segment has something on."""
    return np.flatnonzero(app.mask(number).any(axis=(1, 2))).tolist()


@pytest.fixture
def clicked(app):
    """A app with a click in the liver, on slice 10."""
    app.click((15, 20, 10))
    app.run()
    return app


def test_propagate_segments_the_object_on_all_slices(clicked):
    clicked.press("ProMemPropagate")
    clicked.run()
    expected = np.zeros(clicked.mask().shape, bool)
    expected[LIVER] = True
    assert np.array_equal(clicked.mask(), expected)
    assert clicked.status.startswith("12 slices (5 to 16)")


def test_up_and_down_go_one_way(clicked):
    clicked.press("ProMemUp")
    clicked.run()
    assert slices(clicked) == list(range(10, 16))
    clicked.editor.undo()
    clicked.press("ProMemDown")
    clicked.run()
    assert slices(clicked) == list(range(4, 11))


def test_in_range_stays_within_slices_counted_from_one(clicked):
    clicked.widget("ProMemRangeFirst").value = 8
    clicked.widget("ProMemRangeLast").value = 13
    clicked.press("ProMemInRange")
    clicked.run()
    assert slices(clicked) == list(range(7, 13))
    assert clicked.controller.report(clicked.segments[0]).found == list(range(7, 13))


def test_the_range_begins_as_the_whole_scan_and_cannot_leave_it(clicked):
    first, last = clicked.widget("ProMemRangeFirst"), clicked.widget("ProMemRangeLast")
    assert (first.value, last.value, last.maximum) == (1, 20, 20)
    assert clicked.python.panel.plane.currentText == "axial"
    clicked.python.panel.plane.setCurrentIndex(1)
    clicked.python.panel.plane.activated.emit(1)
    clicked.run()
    assert last.value == 40 and clicked.python.panel.plane.currentText == "coronal"


def test_a_click_in_another_view_keeps_the_axis_of_the_segment(app):
    app.paint(0, 10)
    app.click((20, 20, 13), "Green")
    app.run()
    app.press("ProMemPropagate")
    app.run()
    truth = app.scene.voxels() == 100
    assert app.controller.report(app.segments[0]).axis == "k"
    np.testing.assert_array_equal(app.mask(), truth)


def test_a_view_that_is_entered_does_not_change_the_axis_of_a_clicked_segment(app):
    app.click((15, 20, 10))
    app.views["Green"].event("EnterEvent", (100, 100))
    app.run()
    assert app.controller.axis_of(app.segments[0]) == "k"
    assert app.controller.axis_of(app.segments[1]) == "j"


def test_a_box_in_another_view_is_rejected_with_the_planes_of_both(app):
    app.paint(0, 10)
    start = app.look_at("Green", (8, 20, 6))
    app.views["Green"].drag(start, (start[0] + 60, start[1] + 60))
    app.run()
    assert "axial" in app.status and "coronal" in app.status and app.kind == "error"
    assert app.scene.box(app.segments[0]) is None


def test_the_chosen_plane_is_the_axis_of_the_propagation(app):
    app.click((15, 20, 10))
    app.run()
    app.python.panel.plane.setCurrentIndex(2)
    app.python.panel.plane.activated.emit(2)
    app.press("ProMemPropagate")
    app.run()
    assert app.controller.report(app.segments[0]).axis == "i"


def test_a_reversed_range_is_swapped(clicked):
    clicked.widget("ProMemRangeFirst").value = 13
    clicked.widget("ProMemRangeLast").value = 8
    clicked.press("ProMemInRange")
    clicked.run()
    assert slices(clicked) == list(range(7, 13))


def test_all_segments_are_propagated_together(clicked):
    clicked.select(1)
    clicked.click((38, 10, 6))
    clicked.press("ProMemAll")
    clicked.run()
    assert slices(clicked, 0) == list(range(4, 16)) and slices(clicked, 1) == list(range(2, 10))
    assert "Liver: 12 slices" in clicked.status and "Kidney: 8 slices" in clicked.status


def test_one_propagation_is_one_undo(clicked):
    clicked.press("ProMemPropagate")
    clicked.run()
    clicked.editor.undo()
    assert not clicked.mask().any()


def test_undo_point_removes_the_newest_point(clicked):
    clicked.click((3, 3, 10), control=True)
    clicked.run()
    clicked.press("ProMemUndoPoint")
    clicked.run()
    assert [positive for _, positive in clicked.scene.points(clicked.segments[0])] == [True]
    clicked.press("ProMemUndoPoint")
    clicked.run()
    assert clicked.scene.points(clicked.segments[0]) == []
    assert not clicked.widget("ProMemUndoPoint").isEnabled()


def test_clear_prompts_removes_points_and_box(clicked):
    clicked.python.commands.box(clicked.grid.ras((8, 10, 10)), clicked.grid.ras((29, 29, 10)), "k")
    clicked.run()
    clicked.press("ProMemClearPrompts")
    clicked.run()
    segment = clicked.segments[0]
    assert clicked.scene.points(segment) == [] and clicked.scene.box(segment) is None
    assert not clicked.scene._preview.segments() and not clicked.widget("ProMemClearPrompts").isEnabled()


def test_exclude_makes_clicks_background_points_and_ctrl_inverts_them(clicked):
    clicked.press("ProMemExclude")
    clicked.run()
    assert clicked.widget("ProMemExclude").isChecked() and not clicked.widget("ProMemInclude").isChecked()
    clicked.click((3, 3, 10))
    clicked.click((16, 24, 10), control=True)
    clicked.press("ProMemInclude")
    clicked.click((22, 14, 10))
    signs = [positive for _, positive in clicked.scene.points(clicked.segments[0])]
    assert signs == [True, False, True, True]


def start(app):
    """Begins a propagation and lets it make a few slices."""
    app.press("ProMemPropagate")
    while len(app.engine.computed) < 5:
        app.events()
        app.python.timer.timeout.emit()
    app.python._show()


def test_the_panel_shows_progress_and_cancel_during_a_propagation(clicked):
    start(clicked)
    panel = clicked.python.panel
    assert not panel._running.isHidden() and panel.progress.maximum == 20 and panel.progress.value == 5
    assert panel.progress.format.startswith("5 of 20 slices")
    for name in ("ProMemPropagate", "ProMemUp", "ProMemDown", "ProMemAll", "ProMemInRange"):
        assert not clicked.widget(name).isEnabled()
    assert clicked.kind == "working" and "Segmenting Liver" in clicked.status
    clicked.run()
    assert panel._running.isHidden() and clicked.widget("ProMemPropagate").isEnabled()


def test_cancel_keeps_the_finished_slices(clicked):
    start(clicked)
    clicked.press("ProMemCancel")
    clicked.run()
    found = slices(clicked)
    assert 10 in found and len(found) < 12 and clicked.status.startswith("Cancelled.")


def test_discard_restores_the_segment(clicked):
    clicked.paint(0, 10)
    before = clicked.mask()
    start(clicked)
    clicked.press("ProMemDiscard")
    clicked.run()
    assert np.array_equal(clicked.mask(), before)


def test_keys_do_the_same_as_buttons(clicked):
    clicked.click((3, 3, 10), control=True)
    assert clicked.key(shortcuts.UNDO_POINT)
    clicked.run()
    assert len(clicked.scene.points(clicked.segments[0])) == 1
    assert clicked.key(shortcuts.PROPAGATE)
    while len(clicked.engine.computed) < 5:
        clicked.events()
        clicked.python.timer.timeout.emit()
    assert clicked.key(shortcuts.CANCEL)
    clicked.run()
    assert clicked.status.startswith("Cancelled.") and 0 < len(slices(clicked)) < 12
    assert clicked.key(shortcuts.CLEAR)
    clicked.run()
    assert clicked.scene.points(clicked.segments[0]) == []
    for positive, voxel in ((False, (3, 3, 10)), (True, (15, 20, 10))):
        assert clicked.key(shortcuts.TOGGLE)
        clicked.run()
        assert clicked.widget("ProMemInclude").checked is positive
        clicked.click(voxel)
        assert clicked.scene.points(clicked.segments[0])[-1][1] is positive


def test_a_key_works_that_another_module_uses_too(app):
    """SlicerNNInteractive, for one, installs P in the main window and leaves it there."""
    from PySide6 import QtTest
    from pythonqt import stand_in

    heard = []
    other = stand_in.QtGui.QShortcut(app.window)
    other.setKey("P")
    other.activated.connect(lambda: heard.append("other"))
    app.show_window()
    app.window.activateWindow()
    app.paint(0, 10)
    for _ in range(2):  # Qt asks the two in turn
        QtTest.QTest.keyClick(app.window, stand_in.QtCore.Qt.Key.Key_P)
    app.run()
    assert heard == [] and app.controller.report(app.segments[0]) is not None


def test_no_key_is_one_of_the_segment_editor(app):
    taken = set("0123456789ZYIQW/*,.<>") | {"Esc", "Space", "Ctrl+Z", "Ctrl+Y"} | {f"Shift+{n}" for n in range(10)}
    ours = {shortcut.key.toString() for shortcut, _ in app.python.shortcuts._installed}
    assert ours == set(shortcuts.DESCRIPTIONS) and not ours & taken


def test_every_key_is_named_in_the_tooltip_of_its_button_and_in_the_help(app):
    for key, name in (
        ("P", "ProMemPropagate"),
        ("C", "ProMemCancel"),
        ("U", "ProMemUndoPoint"),
        ("X", "ProMemClearPrompts"),
        ("N", "ProMemNextDoubtful"),
        ("T", "ProMemInclude"),
        ("T", "ProMemExclude"),
    ):
        assert app.widget(name).toolTip.endswith(f"Key: {key}") and f"<b>{key}</b>" in app.python.helpText()


def test_every_control_has_a_tooltip(app):
    from pythonqt import stand_in

    controls = (
        stand_in.QtWidgets.QPushButton,
        stand_in.QtWidgets.QComboBox,
        stand_in.QtWidgets.QSpinBox,
    )
    silent = [
        widget.objectName()
        for kind in controls
        for widget in stand_in.QtWidgets.QWidget.findChildren(app.python.panel.widget, kind)
        if not stand_in.QtWidgets.QWidget.toolTip(widget)
    ]
    assert silent == []


def test_a_slice_painted_with_another_effect_is_a_prompt(app):
    app.paint(0, 7)
    app.press("ProMemPropagate")
    app.run()
    assert slices(app) == list(range(4, 16)) and app.controller.report(app.segments[0]).prompted == (7,)


def test_propagation_without_a_prompt_is_an_error(app):
    app.press("ProMemPropagate")
    app.run()
    assert "nothing to start from" in app.status and app.kind == "error"


def test_buttons_are_disabled_without_a_segment(make_app):
    app = make_app(names=())
    app.effect.activate()
    app.run()
    for name in ("ProMemPropagate", "ProMemUp", "ProMemAll", "ProMemInRange", "ProMemUndoPoint"):
        assert not app.widget(name).isEnabled()
    app.key("P")
    app.run()
    assert app.status.startswith("No segment is selected")


def test_the_directions_are_the_anatomical_ones_of_the_scan(make_app):
    from mrml_world import placed

    app = make_app(ijk_to_ras=placed(np.diag([-1, -1, 1])))
    app.effect.activate()
    app.run()
    assert [app.widget(name).text for name in ("ProMemUp", "ProMemDown")] == ["Superior", "Inferior"]
    app.click((15, 20, 10), "Green")
    app.run()
    assert [app.widget(name).text for name in ("ProMemUp", "ProMemDown")] == ["Posterior", "Anterior"]
    app.press("ProMemUp")
    app.run()
    found = np.flatnonzero(app.mask().any(axis=(0, 2)))
    assert (found[0], found[-1]) == (20, 29)


def test_slices_are_shown_in_millimetres_as_slicer_shows_them(clicked):
    """Slice 0 is at S 33 mm, one slice is 2.5 mm."""
    assert clicked.widget("ProMemRangeFirst").suffix.strip() == "(S: 33.0 mm)"
    assert clicked.widget("ProMemRangeLast").suffix.strip() == "(S: 80.5 mm)"
    clicked.press("ProMemPropagate")
    clicked.run()
    clicked.look_at("Red", (15, 20, 12))
    clicked.python._show()
    assert clicked.python.panel.strip.text.text == "Slice 13 (S: 63.0 mm): predicted IoU 0.80"


def test_a_result_can_be_discarded_until_the_next_edit(clicked):
    clicked.show_window()
    discard = clicked.widget("ProMemDiscardResult")
    assert not discard.isVisible()
    clicked.press("ProMemPropagate")
    clicked.run()
    assert discard.isVisible() and clicked.mask().any()
    clicked.press("ProMemDiscardResult")
    clicked.run()
    assert not clicked.mask().any() and not discard.isVisible() and clicked.status.startswith("Discarded")
    assert clicked.controller.report(clicked.segments[0]) is None
    clicked.press("ProMemPropagate")
    clicked.run()
    clicked.paint(1, 5)
    clicked.python._show()
    assert not discard.isVisible()
    clicked.python.commands.discard()
    assert clicked.mask().any() and "were edited after the propagation" in clicked.python.commands.error[0]


def test_all_segments_says_which_and_is_undone_in_one_step_along_several_axes(clicked):
    button = clicked.widget("ProMemAll")
    assert button.text == "All segments (1)"
    assert "Propagates Liver" in button.toolTip and "left as they are: Kidney" in button.toolTip
    clicked.select(1)
    clicked.click((38, 10, 6), "Green")
    clicked.run()
    assert button.text == "All segments (2)" and "Propagates Liver, Kidney" in button.toolTip
    clicked.press("ProMemAll")
    clicked.run()
    axes = {clicked.controller.report(segment).axis for segment in clicked.segments}
    assert axes == {"k", "j"} and clicked.mask(0).any() and clicked.mask(1).any()
    clicked.editor.undo()
    assert not clicked.mask(0).any() and not clicked.mask(1).any()
