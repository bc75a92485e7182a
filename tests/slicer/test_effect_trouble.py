"""Whatever goes wrong is said in the panel, nothing is lost, and the effect is usable afterwards."""

import numpy as np
import pytest
from conftest import needs

needs("slicer", "PySide6")

import slicer  # noqa: E402
from pythonqt import stand_in  # noqa: E402
from pythonqt.desk import KIDNEY, LIVER, scan  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]


def is_usable(desk, voxel=(15, 20, 10)):
    """Whether a click still leads to a preview, and to the object."""
    desk.click(voxel)
    desk.run()
    assert "predicted IoU" in desk.status, desk.status
    desk.press("ProMemPropagate")
    desk.run()
    return desk.mask().sum() == 12 * 20 * 22


def begin(desk, slices=3):
    desk.paint(0, 10)
    before = len(desk.engine.computed)
    desk.press("ProMemPropagate")
    while len(desk.engine.computed) < before + slices:
        desk.events()
        desk.python.timer.timeout.emit()


@pytest.mark.parametrize("method", ["hello", "load_model", "open_scan", "set_prompts", "propagate", "scores"])
def test_what_the_engine_refuses_is_shown_with_details_to_copy(make_desk, method):
    desk = make_desk()
    desk.engine.refuses[method] = ("BadModel", "weight `neck.convs.0`: file has [4], model expects [8]")
    desk.effect.activate()
    desk.run()
    if desk.kind != "error":
        desk.paint(0, 10)
        desk.press("ProMemPropagate")
        desk.run()
    assert desk.kind == "error" and "model expects [8]" in desk.status
    desk.press("ProMemCopyDetails")
    copied = stand_in.QtWidgets.QApplication.clipboard().text()
    assert "model expects [8]" in copied and "Python" in copied
    desk.editor.undo()
    assert is_usable(desk)
    assert desk.kind == "ready" and desk.widget("ProMemCopyDetails").isHidden()


def test_a_preview_that_fails_is_told_and_the_point_stays(desk):
    desk.engine.refuses["predict"] = ("ComputeError", "out of memory")
    desk.click((15, 20, 10))
    desk.run()
    assert desk.kind == "error" and desk.status == "out of memory"
    assert len(desk.scene.points(desk.segments[0])) == 1
    desk.click((20, 14, 10))
    desk.run()
    assert desk.kind == "ready"


def test_an_engine_that_dies_keeps_what_was_found_and_starts_again(desk):
    desk.paint(0, 10)
    desk.engine.dies_at = 6
    desk.press("ProMemPropagate")
    desk.run()
    assert desk.kind == "error" and "killed" in desk.status and "kept" in desk.status
    assert 1 < np.count_nonzero(desk.mask().any(axis=(1, 2))) < 12
    desk.press("ProMemPropagate")
    desk.run()
    assert desk.kind == "ready" and desk.mask().sum() == 12 * 20 * 22


def test_a_defect_in_a_tick_is_shown_and_ends_the_propagation(desk):
    begin(desk)
    before = desk.scene.write
    desk.scene.write = lambda *arguments: 1 / 0
    desk.run()
    assert desk.kind == "error" and "division by zero" in desk.status and not desk.controller.is_propagating
    desk.press("ProMemCopyDetails")
    assert "ZeroDivisionError" in stand_in.QtWidgets.QApplication.clipboard().text()
    desk.scene.write = before
    assert is_usable(desk)


def test_a_defect_in_a_handler_is_shown_and_nothing_leaves_it(desk):
    keep = desk.controller.click
    desk.controller.click = lambda *arguments: {}["missing"]
    assert desk.click((15, 20, 10)) is True
    desk.run()
    assert desk.kind == "error" and "missing" in desk.status
    desk.controller.click = keep
    assert is_usable(desk)


def test_a_defect_in_a_view_is_shown_and_the_event_left_to_slicer(desk):
    desk.effect.viewNode = lambda view: None
    assert desk.views["Red"].click((100, 100)) is False
    del desk.effect.viewNode
    desk.run()
    assert desk.kind == "error"
    assert is_usable(desk)


def test_the_volume_can_be_removed_while_the_effect_is_active(desk):
    desk.click((15, 20, 10))
    desk.run()
    desk.world.mrml.RemoveNode(desk.volume)
    desk.run()
    assert desk.effect.active() and not desk.widget("ProMemPropagate").isEnabled()
    assert desk.views["Red"].click((60, 60)) is False
    desk.run()
    assert desk.status.startswith("No source volume is selected")
    desk.key("P")
    desk.run()
    assert desk.kind == "error"


def test_the_volume_can_be_removed_in_the_middle_of_a_propagation(desk):
    begin(desk)
    desk.world.mrml.RemoveNode(desk.volume)
    desk.run()
    assert not desk.controller.is_propagating and desk.kind == "error"
    desk.volume = desk.world.add_volume(scan(LIVER, KIDNEY), slicer.util.arrayFromVTKMatrix(vtk_identity()))
    desk.world.node.SetAndObserveSourceVolumeNode(desk.volume)
    desk.run()
    assert desk.widget("ProMemPropagate").isEnabled()


def vtk_identity():
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 0, 0.7)
    matrix.SetElement(1, 1, 0.9)
    matrix.SetElement(2, 2, 2.5)
    return matrix


def test_the_selected_segment_can_be_deleted(desk):
    desk.click((15, 20, 10))
    desk.run()
    desk.select(1)
    desk.world.segmentation.GetSegmentation().RemoveSegment(desk.segments[0])
    desk.run()
    assert desk.kind == "ready"
    desk.click((38, 10, 6))
    desk.run()
    assert "predicted IoU" in desk.status


def test_the_last_segment_can_be_deleted(make_desk):
    desk = make_desk(names=("Liver",))
    desk.effect.activate()
    desk.run()
    desk.click((15, 20, 10))
    desk.run()
    desk.world.segmentation.GetSegmentation().RemoveSegment(desk.segments[0])
    desk.run()
    assert not desk.widget("ProMemPropagate").isEnabled()
    desk.views["Red"].click((60, 60))
    desk.run()
    assert desk.status.startswith("No segment is selected")
    # A new one begins with clean prompts.
    desk.segments[0] = desk.world.add_segment("Liver")
    desk.select(0)
    assert desk.scene.points(desk.segments[0]) == [] and desk.controller.report(desk.segments[0]) is None
    desk.click((15, 20, 10))
    desk.run()
    assert "predicted IoU" in desk.status and len(desk.scene.points(desk.segments[0])) == 1


def test_a_segment_can_be_deleted_in_the_middle_of_its_propagation(desk):
    begin(desk)
    desk.select(1)
    desk.world.segmentation.GetSegmentation().RemoveSegment(desk.segments[0])
    desk.run()
    assert not desk.controller.is_propagating
    desk.click((38, 10, 6))
    desk.press("ProMemPropagate")
    desk.run()
    assert desk.kind == "ready" and desk.mask(1).any()


def test_another_segment_begins_with_a_clean_view_and_clicks_that_mark_the_object(desk):
    desk.click((15, 20, 10))
    desk.press("ProMemExclude")
    desk.run()
    assert desk.scene._preview.segments()
    desk.select(1)
    desk.run()
    assert not desk.scene._preview.segments() and desk.widget("ProMemInclude").isChecked()
    assert not desk.widget("ProMemUndoPoint").isEnabled()
    # The prompts of the first are there again with it.
    desk.select(0)
    desk.run()
    assert desk.widget("ProMemUndoPoint").isEnabled()


@pytest.mark.parametrize("leaves", ["another segment", "another effect"])
def test_a_preview_that_comes_too_late_is_not_shown(desk, leaves):
    desk.click((15, 20, 10))
    while not desk.engine.count("predict"):
        desk.python.timer.timeout.emit()
    if leaves == "another segment":
        desk.select(1)
    else:
        desk.effect.deactivate()
    desk.run()
    assert desk.engine.count("predict") == 1 and not desk.scene._preview.segments()


def test_another_segmentation_with_segments_of_the_same_names_knows_nothing_of_the_first(desk):
    assert is_usable(desk)
    other = desk.world.add_segmentation(desk.volume, "Other")
    twin = other.GetSegmentation().AddEmptySegment(desk.segments[0], "Liver")
    assert twin == desk.segments[0]
    desk.effect.deactivate()
    desk.world.node.SetAndObserveSegmentationNode(other)
    desk.select(0)
    desk.effect.activate()
    desk.run()
    assert desk.controller.report(twin) is None and desk.widget("ProMemStrip").isHidden()
    assert desk.scene.points(twin) == [] and desk.kind == "ready"
    assert is_usable(desk)


def test_another_segmentation_in_the_middle_of_a_propagation_gets_nothing_of_it(desk):
    begin(desk)
    other = desk.world.add_segmentation(desk.volume, "Other")
    other.GetSegmentation().AddEmptySegment(desk.segments[0], "Liver")
    desk.world.node.SetAndObserveSegmentationNode(other)
    desk.run()
    assert not desk.mask().any() and not desk.controller.is_propagating
    assert "the propagation was stopped" in desk.status


def test_a_scene_can_be_closed_while_the_effect_is_active(desk):
    desk.click((15, 20, 10))
    desk.run()
    desk.world.mrml.Clear(False)
    for _ in range(3):
        desk.events()
        desk.python.timer.timeout.emit()
    desk.python._show()
    assert desk.views["Red"].press((100, 100)) is False


def test_an_engine_that_cannot_be_made_is_told_and_tried_again_at_the_next_activation(make_desk):
    desk = make_desk()
    engine = desk.engine

    def fails():
        raise RuntimeError("PythonSlicer was not found")

    desk.python.make_engine = fails
    desk.effect.activate()
    desk.run()
    assert desk.kind == "error" and "PythonSlicer was not found" in desk.status
    desk.effect.deactivate()
    desk.python.make_engine = lambda: engine
    desk.effect.activate()
    desk.run()
    assert desk.kind == "ready" and is_usable(desk)


def test_a_vector_volume_is_refused_with_a_sentence(desk):
    colours = desk.world.add_volume(np.zeros((5, 6, 7, 3), np.uint8), np.eye(4), "Photo")
    desk.world.edit(colours, desk.world.add_segmentation(name="Of a photo"))
    desk.segments = [desk.world.add_segment("Spot")]
    desk.select(0)
    desk.key("P")
    desk.run()
    assert desk.kind == "error" and "3 values in each voxel" in desk.status
