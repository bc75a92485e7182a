"""The axis of a segment: its first prompt or painting gives it, and only the user's choice changes it."""

import numpy as np
import pytest
from fakes import ArrayScene, ThresholdEngine
from SegmentEditorProMemLib.controller import Controller
from SegmentEditorProMemLib.options import BadOption


@pytest.fixture
def liver():
    voxels = np.zeros((20, 24, 30), np.int16)
    voxels[4:16, 5:15, 6:20] = 100
    scene = ArrayScene(voxels)
    engine = ThresholdEngine()
    return Controller(engine, scene), scene, engine


def paint(scene, segment, slice_):
    scene.masks[segment][slice_] = scene.array[slice_] == 100


@pytest.mark.parametrize("clicked_first", [False, True])
def test_a_click_in_another_view_goes_to_a_slice_of_the_segment(liver, clicked_first):
    controller, scene, _ = liver
    if clicked_first:
        controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    else:
        paint(scene, "liver", 9)
    controller.click("liver", scene.grid().ras((10, 8, 12)), "j")
    assert controller.axis_of("liver") == "k"
    controller.wait(5)
    assert list(scene.previews) == [("liver", 12)]
    controller.propagate()
    controller.wait(5)
    assert controller.report("liver").axis == "k"
    assert np.array_equal(scene.masks["liver"], scene.array == 100)


def test_results_keep_their_axis_when_the_prompts_are_cleared(liver):
    controller, scene, _ = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    controller.propagate()
    controller.wait(5)
    controller.clear_prompts("liver")
    controller.click("liver", scene.grid().ras((10, 8, 12)), "i")
    assert controller.axis_of("liver") == "k"


def test_a_segment_without_prompts_takes_the_axis_of_its_next_click(liver):
    controller, scene, _ = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    controller.undo_prompt("liver")
    controller.click("liver", scene.grid().ras((10, 8, 9)), "j")
    assert controller.axis_of("liver") == "j"


def test_a_box_on_other_slices_is_rejected_with_both_planes(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 9)
    with pytest.raises(BadOption, match="Liver: its slices are axial, the box was drawn on coronal slices"):
        controller.box("liver", scene.grid().ras((7, 8, 6)), scene.grid().ras((18, 8, 14)), "j")
    assert scene.box("liver") is None


def test_the_axis_can_be_chosen(liver):
    controller, scene, _ = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    controller.set_axis("liver", "j")
    controller.click("liver", scene.grid().ras((10, 9, 9)), "k")
    assert controller.axis_of("liver") == "j"
    with pytest.raises(BadOption, match="axis: 'x'"):
        controller.set_axis("liver", "x")


def test_painted_slices_that_are_far_apart_have_an_axis(liver):
    voxels = np.zeros((160, 340, 340), np.int16)
    scene = ArrayScene(voxels)
    controller = Controller(ThresholdEngine(), scene)
    for slice_ in (3, 150):
        scene.masks["liver"][slice_, 5:335, 5:335] = True
    controller.click("liver", scene.grid().ras((100, 100, 80)), "j")
    assert controller.axis_of("liver") == "k"
