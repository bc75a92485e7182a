"""Clicks and drags in slice views: what they become, and what is left to others."""

import numpy as np
import pytest
from conftest import needs

needs("slicer", "PySide6")

import slicer  # noqa: E402
from mrml_world import placed, rotation  # noqa: E402
from pythonqt import host  # noqa: E402
from SegmentEditorProMemLib import pointing  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]


def points(desk, number=0):
    """Voxels and signs of a segment's points."""
    return [(desk.grid.voxel(ras), positive) for ras, positive in desk.scene.points(desk.segments[number])]


def test_a_click_is_a_point_of_the_object_and_shows_a_preview(desk):
    assert desk.click((15, 20, 10)) is True
    desk.run()
    assert points(desk) == [((15, 20, 10), True)]
    assert desk.status.startswith("Slice 11: predicted IoU 0.90")
    assert not desk.mask().any()


def test_a_click_does_not_wait_for_the_timer(desk):
    sent = len(desk.engine.requests)
    desk.click((15, 20, 10))
    assert len(desk.engine.requests) > sent


def test_ctrl_click_is_a_point_of_what_is_not_the_object(desk):
    desk.click((15, 20, 10))
    assert desk.click((3, 3, 10), control=True) is True
    desk.run()
    assert points(desk) == [((15, 20, 10), True), ((3, 3, 10), False)]


@pytest.mark.parametrize("view, axis", [("Red", "k"), ("Green", "j"), ("Yellow", "i")])
def test_the_view_that_was_clicked_says_along_which_axis(desk, view, axis):
    desk.click((15, 20, 10), view)
    desk.run()
    assert desk.controller.axis_of(desk.segments[0]) == axis
    assert points(desk) == [((15, 20, 10), True)]
    desk.press("ProMemPropagate")
    desk.run()
    assert desk.controller.report(desk.segments[0]).axis == axis


@pytest.mark.parametrize(
    "directions",
    [rotation(0, 0, 180), rotation(20, -15, 40), rotation(90, 0, 90)],
    ids=["LPS", "oblique", "sagittal"],
)
def test_a_click_lands_on_the_voxel_that_was_seen_however_the_scan_lies(make_desk, directions):
    desk = make_desk(ijk_to_ras=placed(directions, (0.7, 0.9, 2.5)))
    desk.effect.activate()
    desk.run()
    for view, voxel in (("Red", (15, 20, 10)), ("Green", (20, 11, 6)), ("Yellow", (9, 28, 14))):
        desk.click(voxel, view)
        desk.run()
        assert points(desk)[-1][0] == voxel


def test_a_drag_is_a_box_on_the_slice(desk):
    start = desk.look_at("Red", (8, 10, 10))
    end = desk.views["Red"].xy(desk.grid.ras((29, 29, 10)))
    assert desk.views["Red"].drag(start, end) is True
    desk.run()
    corners = np.sort(np.round([desk.grid.index(corner) for corner in desk.scene.box(desk.segments[0])]), axis=0)
    assert np.abs(corners - [(8, 10, 10), (29, 29, 10)]).max() <= 1
    assert points(desk) == [] and "Slice 11" in desk.status


def test_the_rectangle_is_seen_while_it_is_dragged_and_gone_afterwards(desk):
    view = desk.views["Red"]
    start = desk.look_at("Red", (8, 10, 10))
    view.press(start)
    assert not desk.effect.actors.get(view)
    view.move((start[0] + 2, start[1]))
    assert not desk.effect.actors.get(view), "a hand that trembles draws no box"
    view.move((start[0] + 30, start[1] + 20))
    assert len(desk.effect.actors[view]) == 1
    view.release((start[0] + 30, start[1] + 20))
    assert desk.effect.actors[view] == [] and desk.effect.renders > 0


def test_a_view_that_is_scrolled_during_a_drag_keeps_the_slice_of_the_press(desk):
    view = desk.views["Red"]
    start = desk.look_at("Red", (8, 10, 10))
    end = view.xy(desk.grid.ras((29, 29, 10)))
    view.press(start)
    view.move(end)
    desk.nodes["Red"].JumpSliceByOffsetting(*desk.grid.ras((8, 10, 14)))
    view.release(end)
    desk.run()
    assert {round(desk.grid.index(corner)[2]) for corner in desk.scene.box(desk.segments[0])} == {10}


def test_a_drag_with_ctrl_stays_a_point(desk):
    desk.click((15, 20, 10))
    start = desk.look_at("Red", (3, 3, 10))
    desk.views["Red"].drag(start, (start[0] + 40, start[1] + 40), control=True)
    desk.run()
    assert points(desk)[-1] == ((3, 3, 10), False) and desk.scene.box(desk.segments[0]) is None


@pytest.mark.parametrize("keys", [{"shift": True}, {"alt": True}, {"control": True, "shift": True}])
def test_clicks_with_other_keys_are_left_to_slicer(desk, keys):
    assert desk.click((15, 20, 10), **keys) is False
    assert points(desk) == []


@pytest.mark.parametrize("mode", ["Place", "AdjustWindowLevel"])
def test_while_something_else_has_the_mouse_nothing_is_taken(desk, mode):
    desk.interaction.SetCurrentInteractionMode(getattr(slicer.vtkMRMLInteractionNode, mode))
    assert desk.click((15, 20, 10)) is False
    desk.interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)
    assert desk.click((15, 20, 10)) is True


@pytest.mark.parametrize(
    "event", ["RightButtonPressEvent", "MiddleButtonPressEvent", "MouseWheelForwardEvent", "KeyPressEvent"]
)
def test_other_events_are_left_to_slicer(desk, event):
    assert desk.views["Red"].event(event, (100, 100)) is False


def test_the_second_click_of_a_double_click_enlarges_no_view(desk):
    assert desk.views["Red"].event("LeftButtonDoubleClickEvent", (100, 100)) is True
    assert desk.views["Red"].event("LeftButtonDoubleClickEvent", (100, 100), shift=True) is False


def test_moves_without_a_press_are_left_to_slicer(desk):
    assert desk.views["Red"].move((100, 100)) is False and desk.views["Red"].release((100, 100)) is False


def test_three_dimensional_views_are_left_to_slicer(desk):
    view = host.ThreeDView(desk.effect, desk.nodes["Red"])
    assert view.press((100, 100)) is False and view.release((100, 100)) is False


def test_a_turned_view_is_refused_with_a_sentence(desk):
    node = desk.nodes["Red"]
    node.SetSliceToRASByNTP(0, 0.3, 1, 1, 0, 0, *desk.grid.ras((15, 20, 10)), 0)
    node.UpdateMatrices()
    assert desk.views["Red"].click((150, 150)) is False
    desk.run()
    assert desk.status.startswith("This slice view is oblique: it is rotated by 17°") and desk.kind == "error"
    assert points(desk) == []
    # It is usable all the same.
    desk.click((15, 20, 10), "Green")
    desk.run()
    assert desk.kind == "ready" and len(points(desk)) == 1


def test_a_click_beside_the_scan_is_refused_with_a_sentence(desk):
    desk.look_at("Red", (15, 20, 10))
    x, y = desk.views["Red"].xy(desk.grid.ras((-3, 20, 10)))
    assert desk.views["Red"].click((x, y)) is True
    desk.run()
    assert "outside the scan" in desk.status and points(desk) == []


def test_a_press_on_a_point_drags_it(desk):
    desk.click((15, 20, 10))
    desk.run()
    xy = desk.look_at("Red", (15, 20, 10))
    near = (xy[0] + pointing.NEAR - 2, xy[1])
    assert desk.views["Red"].click(near) is False and len(points(desk)) == 1
    # On another slice it is not seen, and not in the way.
    desk.look_at("Red", (15, 20, 12))
    assert desk.views["Red"].click(xy) is True
    assert len(points(desk)) == 2


def test_a_press_on_a_corner_of_the_box_drags_it_and_inside_it_is_a_click(desk):
    desk.python.commands.box(desk.grid.ras((8, 10, 10)), desk.grid.ras((29, 29, 10)), "k")
    desk.run()
    desk.look_at("Red", (18, 20, 10))
    corner = desk.scene.box(desk.segments[0])[0]
    assert desk.views["Red"].click(desk.views["Red"].xy(corner)) is False
    assert desk.click((14, 15, 10)) is True


def test_a_point_that_was_dragged_gets_a_new_preview(desk):
    desk.click((15, 20, 10))
    desk.run()
    asked = desk.engine.count("predict")
    node = next(
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode", desk.world.mrml)
        if node.GetNumberOfControlPoints()
    )
    node.SetNthControlPointPositionWorld(0, *desk.grid.ras((16, 22, 10)))
    desk.run()
    assert desk.engine.count("predict") == asked + 1 and points(desk) == [((16, 22, 10), True)]


def test_a_hidden_segment_is_asked_about_first(desk):
    desk.effect.confirmed = host.AbstractEffect.NotConfirmed
    assert desk.click((15, 20, 10)) is True
    assert points(desk) == []


def test_the_view_under_the_mouse_is_the_one_whose_axis_counts(desk):
    desk.views["Green"].event("EnterEvent", (10, 10))
    assert desk.controller.view_axis == "j"
    desk.views["Yellow"].event("EnterEvent", (10, 10))
    assert desk.controller.view_axis == "i"
