"""Clicks and drags in slice views: what they become, and what is left to others."""

import numpy as np
import pytest
from conftest import needs

needs("slicer", "PySide6")

import slicer  # noqa: E402
from mrml_world import placed, rotation  # noqa: E402
from pythonqt import host  # noqa: E402
from SegmentEditorProMemLib import mouse  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]


def points(app, number=0):
    """Voxels and signs of a segment's points."""
    return [(app.grid.voxel(ras), positive) for ras, positive in app.scene.points(app.segments[number])]


def test_a_click_adds_a_foreground_point_and_shows_a_preview(app):
    assert app.click((15, 20, 10)) is True
    app.run()
    assert points(app) == [((15, 20, 10), True)]
    assert app.status.startswith("Slice 11: predicted IoU 0.90")
    assert not app.mask().any()


def test_a_click_does_not_wait_for_the_timer(app):
    sent = len(app.engine.requests)
    app.controller._clock = lambda: 0.0  # a busy computer must not end the tick early
    app.click((15, 20, 10))
    assert len(app.engine.requests) > sent


def test_ctrl_click_adds_a_background_point(app):
    app.click((15, 20, 10))
    assert app.click((3, 3, 10), control=True) is True
    app.run()
    assert points(app) == [((15, 20, 10), True), ((3, 3, 10), False)]


@pytest.mark.parametrize("view, axis", [("Red", "k"), ("Green", "j"), ("Yellow", "i")])
def test_the_clicked_view_sets_the_axis(app, view, axis):
    app.click((15, 20, 10), view)
    app.run()
    assert app.controller.axis_of(app.segments[0]) == axis
    assert points(app) == [((15, 20, 10), True)]
    app.press("ProMemPropagate")
    app.run()
    assert app.controller.report(app.segments[0]).axis == axis


@pytest.mark.parametrize(
    "directions",
    [rotation(0, 0, 180), rotation(20, -15, 40), rotation(90, 0, 90)],
    ids=["LPS", "oblique", "sagittal"],
)
def test_a_click_hits_the_displayed_voxel_in_any_scan_orientation(make_app, directions):
    app = make_app(ijk_to_ras=placed(directions, (0.7, 0.9, 2.5)))
    app.effect.activate()
    app.run()
    for view, voxel in (("Red", (15, 20, 10)), ("Green", (20, 11, 6)), ("Yellow", (9, 28, 14))):
        app.click(voxel, view)
        app.run()
        assert points(app)[-1][0] == voxel


def test_a_drag_is_a_box_on_the_slice(app):
    start = app.look_at("Red", (8, 10, 10))
    end = app.views["Red"].xy(app.grid.ras((29, 29, 10)))
    assert app.views["Red"].drag(start, end) is True
    app.run()
    corners = np.sort(np.round([app.grid.index(corner) for corner in app.scene.box(app.segments[0])]), axis=0)
    assert np.abs(corners - [(8, 10, 10), (29, 29, 10)]).max() <= 1
    assert points(app) == [] and "Slice 11" in app.status


def test_the_rectangle_is_visible_only_while_it_is_dragged(app):
    view = app.views["Red"]
    start = app.look_at("Red", (8, 10, 10))
    view.press(start)
    assert not app.effect.actors.get(view)
    view.move((start[0] + 2, start[1]))
    assert not app.effect.actors.get(view), "a hand that trembles draws no box"
    view.move((start[0] + 30, start[1] + 20))
    assert len(app.effect.actors[view]) == 1
    view.release((start[0] + 30, start[1] + 20))
    assert app.effect.actors[view] == [] and app.effect.renders > 0


def test_a_drag_keeps_the_slice_of_its_press_when_the_view_scrolls(app):
    view = app.views["Red"]
    start = app.look_at("Red", (8, 10, 10))
    end = view.xy(app.grid.ras((29, 29, 10)))
    view.press(start)
    view.move(end)
    app.nodes["Red"].JumpSliceByOffsetting(*app.grid.ras((8, 10, 14)))
    view.release(end)
    app.run()
    assert {round(app.grid.index(corner)[2]) for corner in app.scene.box(app.segments[0])} == {10}


def test_a_drag_with_ctrl_stays_a_point(app):
    app.click((15, 20, 10))
    start = app.look_at("Red", (3, 3, 10))
    app.views["Red"].drag(start, (start[0] + 40, start[1] + 40), control=True)
    app.run()
    assert points(app)[-1] == ((3, 3, 10), False) and app.scene.box(app.segments[0]) is None


@pytest.mark.parametrize("keys", [{"shift": True}, {"alt": True}, {"control": True, "shift": True}])
def test_clicks_with_other_keys_are_left_to_slicer(app, keys):
    assert app.click((15, 20, 10), **keys) is False
    assert points(app) == []


@pytest.mark.parametrize("mode", ["Place", "AdjustWindowLevel"])
def test_mouse_events_are_left_to_slicer_during_markup_placement(app, mode):
    app.interaction.SetCurrentInteractionMode(getattr(slicer.vtkMRMLInteractionNode, mode))
    assert app.click((15, 20, 10)) is False
    app.interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)
    assert app.click((15, 20, 10)) is True


@pytest.mark.parametrize(
    "event", ["RightButtonPressEvent", "MiddleButtonPressEvent", "MouseWheelForwardEvent", "KeyPressEvent"]
)
def test_other_events_are_left_to_slicer(app, event):
    assert app.views["Red"].event(event, (100, 100)) is False


def test_the_second_click_of_a_double_click_enlarges_no_view(app):
    assert app.views["Red"].event("LeftButtonDoubleClickEvent", (100, 100)) is True
    assert app.views["Red"].event("LeftButtonDoubleClickEvent", (100, 100), shift=True) is False


def test_moves_without_a_press_are_left_to_slicer(app):
    assert app.views["Red"].move((100, 100)) is False and app.views["Red"].release((100, 100)) is False


def test_three_dimensional_views_are_left_to_slicer(app):
    view = host.ThreeDView(app.effect, app.nodes["Red"])
    assert view.press((100, 100)) is False and view.release((100, 100)) is False


@pytest.fixture
def tilted(make_app):
    """A tilted scan in anatomical views, as Slicer opens it."""
    app = make_app(ijk_to_ras=placed(rotation(17, 0, 0), (0.7, 0.9, 2.5)))
    for node, turn in zip(app.nodes.values(), ("Axial", "Coronal", "Sagittal")):
        getattr(node, f"SetOrientationTo{turn}")()
    app.effect.activate()
    app.run()
    return app


def test_a_click_in_a_rotated_view_goes_to_the_slice_that_holds_it(tilted):
    for number, (view, voxel) in enumerate((("Red", (15, 20, 10)), ("Green", (20, 13, 6)), ("Yellow", (9, 28, 14)))):
        assert tilted.click(voxel, view) is True
        tilted.run()
        assert tilted.kind == "ready" and points(tilted)[number][0] == voxel
    assert tilted.controller.axis_of(tilted.segments[0]) == "k"
    tilted.press("ProMemPropagate")
    tilted.run()
    assert np.array_equal(tilted.mask(), tilted.scene.voxels() == 100)


@pytest.mark.parametrize("editor", ["of Slicer 5.10", "without the slot"])
def test_a_box_in_a_rotated_view_offers_to_rotate_the_views(tilted, monkeypatch, editor):
    if editor == "without the slot":
        monkeypatch.delattr(host.EditorWidget, "rotateSliceViewsToSegmentation")
    tilted.show_window()
    rotate = tilted.widget("ProMemRotate")
    start = tilted.look_at("Red", (8, 10, 10))
    assert tilted.views["Red"].drag(start, (start[0] + 80, start[1] + 80)) is True
    tilted.run()
    assert tilted.kind == "error" and "rotated by 17°" in tilted.status and rotate.isVisible()
    assert tilted.scene.box(tilted.segments[0]) is None and not tilted.effect.actors.get(tilted.views["Red"])
    tilted.press("ProMemRotate")
    tilted.run()
    assert not rotate.isVisible()
    tilted.views["Red"].drag(tilted.look_at("Red", (8, 10, 10)), tilted.views["Red"].xy(tilted.grid.ras((29, 29, 10))))
    tilted.run()
    corners = np.sort(np.round([tilted.grid.index(corner) for corner in tilted.scene.box(tilted.segments[0])]), axis=0)
    assert np.abs(corners - [(8, 10, 10), (29, 29, 10)]).max() <= 1


def test_a_click_outside_the_scan_is_rejected_with_a_message(app):
    app.look_at("Red", (15, 20, 10))
    x, y = app.views["Red"].xy(app.grid.ras((-3, 20, 10)))
    assert app.views["Red"].click((x, y)) is True
    app.run()
    assert "outside the scan" in app.status and points(app) == []


def test_a_press_on_a_point_drags_it(app):
    app.click((15, 20, 10))
    app.run()
    xy = app.look_at("Red", (15, 20, 10))
    near = (xy[0] + mouse.HANDLE_RADIUS - 2, xy[1])
    assert app.views["Red"].click(near) is False and len(points(app)) == 1
    # On another slice it is not seen, and not in the way.
    app.look_at("Red", (15, 20, 12))
    assert app.views["Red"].click(xy) is True
    assert len(points(app)) == 2


def test_a_press_on_a_corner_of_the_box_drags_it_and_inside_it_is_a_click(app):
    app.python.commands.box(app.grid.ras((8, 10, 10)), app.grid.ras((29, 29, 10)), "k")
    app.run()
    app.look_at("Red", (18, 20, 10))
    corner = app.scene.box(app.segments[0])[0]
    assert app.views["Red"].click(app.views["Red"].xy(corner)) is False
    assert app.click((14, 15, 10)) is True


def test_a_dragged_point_updates_the_preview(app):
    app.click((15, 20, 10))
    app.run()
    asked = app.engine.count("predict")
    node = next(
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode", app.world.mrml)
        if node.GetNumberOfControlPoints()
    )
    node.SetNthControlPointPositionWorld(0, *app.grid.ras((16, 22, 10)))
    app.run()
    assert app.engine.count("predict") == asked + 1 and points(app) == [((16, 22, 10), True)]


@pytest.mark.parametrize("answer", ["NotConfirmed", "ConfirmedWithDialog"])
def test_a_press_that_opened_a_dialog_is_over(app, answer):
    """The dialog takes the release of the button; what comes later belongs to another press."""
    app.effect.confirmed = getattr(host.AbstractEffect, answer)
    xy, view = app.look_at("Red", (15, 20, 10)), app.views["Red"]
    assert view.press(xy) is True
    assert view.move((xy[0] + 50, xy[1] + 50)) is False and view.release((xy[0] + 50, xy[1] + 50)) is False
    assert points(app) == [] and app.scene.box(app.segments[0]) is None
    app.effect.confirmed = host.AbstractEffect.ConfirmedWithoutDialog
    app.click((15, 20, 10))
    assert len(points(app)) == 1


@pytest.mark.parametrize("scaled", ["pixel_ratio", "screen scale factor"])
def test_distances_follow_the_scale_of_the_screen(app, scaled):
    view = app.views["Red"]
    if scaled == "pixel_ratio":
        view.pixel_ratio = 2.0
    else:
        app.nodes["Red"].SetScreenScaleFactor(0.4)
    xy = app.look_at("Red", (15, 20, 10))
    view.press(xy)
    view.move((xy[0] + 2 * mouse.CLICK_TOLERANCE, xy[1]))
    assert not app.effect.actors.get(view), "within a click at 200 %"
    view.move((xy[0] + 2 * mouse.CLICK_TOLERANCE + 1, xy[1]))
    assert len(app.effect.actors[view]) == 1
    view.release(xy)
    app.run()
    assert len(points(app)) == 1
    near = (xy[0] + 2 * mouse.HANDLE_RADIUS - 2, xy[1])
    assert view.click(near) is False, "on the point at 200 %"


def test_a_drag_over_a_few_voxels_is_a_click(app):
    app.nodes["Red"].SetFieldOfView(12, 12, 1)
    app.nodes["Red"].UpdateMatrices()
    start = app.look_at("Red", (15, 20, 10))
    end = app.views["Red"].xy(app.grid.ras((17, 21, 10)))
    assert abs(end[0] - start[0]) > 4 * mouse.CLICK_TOLERANCE
    app.views["Red"].drag(start, end)
    app.run()
    assert points(app) == [((15, 20, 10), True)] and app.scene.box(app.segments[0]) is None
    app.views["Red"].drag(app.look_at("Red", (15, 24, 10)), app.views["Red"].xy(app.grid.ras((19, 25, 10))))
    app.run()
    assert app.scene.box(app.segments[0]) is not None


def test_the_view_under_the_mouse_sets_the_axis(app):
    app.views["Green"].event("EnterEvent", (10, 10))
    assert app.controller.view_axis == "j"
    app.views["Yellow"].event("EnterEvent", (10, 10))
    assert app.controller.view_axis == "i"
