"""The strip of slices: what it shows, and where it leads."""

import numpy as np
import pytest
from conftest import needs

needs("slicer", "PySide6")

from pythonqt import stand_in  # noqa: E402
from SegmentEditorProMemLib import slice_views, strip, ui_text  # noqa: E402
from SegmentEditorProMemLib.report import DOUBTFUL, Report  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]

SCORES = (None, None, 0.95, 0.9, 0.4, 0.6, 1.0, 0.92, 0.3, None) + (None,) * 10


@pytest.fixture
def reported(app):
    """A app whose first segment has a report: doubtful are slices 9, 5 and 6, in this order; slice 7 was clicked."""
    app.show_window()
    app.paint(0, 8)
    app.controller.keep_report(app.segments[0], Report(app.segments[0], "k", SCORES, (6,), 3.0))
    app.python._show()
    app.events()
    return app


def picture(app):
    button = app.widget("ProMemStripPicture")
    return button.icon.pixmap(button.iconSize).toImage(), button


def color(image, x, y):
    found = image.pixelColor(int(x), int(y))
    return found.red(), found.green(), found.blue()


def middle(width, slice_):
    return (2 * slice_ + 1) * width / (2 * len(SCORES))


def test_the_strip_is_hidden_without_a_report(app):
    assert app.widget("ProMemStrip").isHidden()


def test_a_propagation_shows_the_strip(app):
    app.click((15, 20, 10))
    app.press("ProMemPropagate")
    app.run()
    assert not app.widget("ProMemStrip").isHidden() and not app.widget("ProMemNextDoubtful").isEnabled()


def test_bars_are_coloured_by_score_and_prompts_are_blue(reported):
    image, button = picture(reported)
    width, foot = image.width(), image.height() - 4
    assert width == button.width
    ground = color(image, middle(width, 0), foot)
    for slice_, score in enumerate(SCORES):
        seen = color(image, middle(width, slice_) - 2, foot)
        if slice_ == 6:
            assert seen == strip.PROMPT
        elif score is None:
            assert seen == ground
        else:
            assert seen == strip.color_of(score)


def test_bar_height_follows_the_score(reported):
    image, _ = picture(reported)
    ground = color(image, middle(image.width(), 0), image.height() - 4)

    def height(slice_):
        x = middle(image.width(), slice_) - 2
        return sum(color(image, x, y) != ground for y in range(image.height() - 1))

    assert height(2) > height(5) > height(4) > height(8) > 0


def test_colours_go_from_green_over_amber_to_red():
    assert strip.color_of(1.0) == strip.color_of(0.9) == strip.GOOD
    assert strip.color_of(DOUBTFUL) == strip.AMBER
    assert strip.color_of(0.0) == strip.color_of(0.5) == strip.BAD
    assert strip.color_of(0.8) not in (strip.GOOD, strip.AMBER)


def press_at(app, slice_):
    """Moves the mouse over a bar and presses."""
    button = app.widget("ProMemStripPicture")
    at = stand_in.QtCore.QPoint(int(middle(button.width, slice_)), 10)
    stand_in.QtGui.QCursor.setPos(button.mapToGlobal(at))
    app.events()
    button.pressed.emit()


@pytest.mark.parametrize("slice_", [0, 8, 19])
def test_a_click_on_a_bar_brings_the_views_to_its_slice(reported, slice_):
    reported.look_at("Red", (15, 20, 12))
    press_at(reported, slice_)
    assert slice_views.displayed_slice(reported.nodes["Red"], reported.grid, "k") == slice_


def test_a_click_on_a_bar_brings_the_other_views_to_the_middle_of_the_object(reported):
    press_at(reported, 8)
    assert slice_views.displayed_slice(reported.nodes["Green"], reported.grid, "j") == 20
    assert slice_views.displayed_slice(reported.nodes["Yellow"], reported.grid, "i") == 19


def test_the_displayed_slice_is_marked_and_named(reported):
    reported.look_at("Red", (15, 20, 4))
    reported.effect.call("processViewNodeEvents", reported.nodes["Red"], 0, reported.views["Red"])
    reported.run()
    image, _ = picture(reported)
    x = int(middle(image.width(), 4))
    top = [color(image, at, 0) for at in (x - 12, x, x + 12)]
    assert top[1] != top[0] == top[2]
    assert reported.python.panel.strip.text.text == "Slice 5 (S: 43.0 mm): predicted IoU 0.40"


def test_the_tooltip_is_that_of_the_bar_under_the_mouse(reported):
    button = reported.widget("ProMemStripPicture")
    for slice_, text in (
        (4, "Slice 5 (S: 43.0 mm): predicted IoU 0.40"),
        (6, "Slice 7 (S: 48.0 mm): prompt slice"),
        (0, "Slice 1 (S: 33.0 mm): not segmented"),
    ):
        at = stand_in.QtCore.QPoint(int(middle(button.width, slice_)), 10)
        stand_in.QtGui.QCursor.setPos(button.mapToGlobal(at))
        reported.events()
        reported.python.timer.timeout.emit()
        assert button.toolTip == text


def test_next_doubtful_visits_the_lowest_score_first_and_wraps_around(reported):
    button = reported.widget("ProMemNextDoubtful")
    assert button.text == "Next doubtful (3)"
    seen = []
    for _ in range(4):
        reported.press("ProMemNextDoubtful")
        seen.append(slice_views.displayed_slice(reported.nodes["Red"], reported.grid, "k"))
    assert seen == [8, 4, 5, 8]
    reported.key("N")
    assert slice_views.displayed_slice(reported.nodes["Red"], reported.grid, "k") == 4


def test_a_new_report_begins_with_its_worst_slice(reported):
    reported.press("ProMemNextDoubtful")
    scores = (None, 0.5, 0.2) + SCORES[3:]
    reported.controller.keep_report(reported.segments[0], Report(reported.segments[0], "k", scores, (6,), 3.0))
    reported.press("ProMemNextDoubtful")
    assert slice_views.displayed_slice(reported.nodes["Red"], reported.grid, "k") == 2


def test_the_strip_is_that_of_the_selected_segment(reported):
    reported.select(1)
    reported.run()
    assert reported.widget("ProMemStrip").isHidden()
    reported.select(0)
    reported.run()
    assert not reported.widget("ProMemStrip").isHidden()


def test_the_picture_follows_the_panel_width(reported):
    before = picture(reported)[0].width()
    reported.window.resize(700, 800)
    reported.events()
    reported.python.timer.timeout.emit()
    image, button = picture(reported)
    assert image.width() == button.width > before


def test_a_bar_of_several_slices_shows_the_lowest_score():
    scores = [0.9] * 1000
    scores[503] = 0.1
    assert strip.slice_at(scores, 100, 50) == 503
    assert strip.slice_at(scores, 100, -5) in range(10) and strip.slice_at(scores, 100, 5000) in range(990, 1000)
    assert strip.slice_at([None] * 20, 200, 105) == 10


@pytest.mark.parametrize(
    "directions, names",
    [
        (np.eye(3), ("sagittal", "coronal", "axial")),
        ([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], ("coronal", "axial", "sagittal")),
    ],
)
def test_planes_have_their_anatomical_names(directions, names):
    from mrml_world import placed
    from SegmentEditorProMemLib.grid import Grid

    grid = Grid((10, 20, 30), placed(directions))
    assert tuple(ui_text.plane_of(grid, axis) for axis in "ijk") == names


def test_a_plane_between_two_anatomical_planes_is_oblique():
    from mrml_world import placed, rotation
    from SegmentEditorProMemLib.grid import Grid

    assert ui_text.plane_of(Grid((10, 20, 30), placed(rotation(40, 0, 0))), "k") == "oblique"
    assert ui_text.plane_of(Grid((10, 20, 30), placed(rotation(20, 0, 0))), "k") == "axial"


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, ""),
        (0.2, "a moment left"),
        (4.2, "5 s left"),
        (31, "about 35 s left"),
        (150, "about 3 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_the_time_left_is_rounded_by_its_size(seconds, text):
    assert ui_text.time_left(seconds) == text
