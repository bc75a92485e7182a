"""Whatever goes wrong is said in the panel, nothing is lost, and the effect is usable afterwards."""

import numpy as np
import pytest
from conftest import needs

needs("slicer", "PySide6")

import slicer  # noqa: E402
from pythonqt import stand_in  # noqa: E402
from pythonqt.slicer_app import KIDNEY, LIVER, scan  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]


def is_usable(app, voxel=(15, 20, 10)):
    """Whether a click still leads to a preview, and to the object."""
    app.click(voxel)
    app.run()
    assert "predicted IoU" in app.status, app.status
    app.press("ProMemPropagate")
    app.run()
    return app.mask().sum() == 12 * 20 * 22


def begin(app, slices=3):
    app.paint(0, 10)
    before = len(app.engine.computed)
    app.press("ProMemPropagate")
    while len(app.engine.computed) < before + slices:
        app.events()
        app.python.timer.timeout.emit()


@pytest.mark.parametrize("method", ["hello", "load_model", "open_scan", "set_prompts", "propagate", "scores"])
def test_an_engine_error_is_shown_with_details_to_copy(make_app, method):
    app = make_app()
    app.engine.refuses[method] = ("BadModel", "weight `neck.convs.0`: file has [4], model expects [8]")
    app.effect.activate()
    app.run()
    if app.kind != "error":
        app.paint(0, 10)
        app.press("ProMemPropagate")
        app.run()
    assert app.kind == "error" and "model expects [8]" in app.status
    app.press("ProMemCopyDetails")
    copied = stand_in.QtWidgets.QApplication.clipboard().text()
    assert "model expects [8]" in copied and "Python" in copied
    app.editor.undo()
    assert is_usable(app)
    assert app.kind == "ready" and app.widget("ProMemCopyDetails").isHidden()


def test_a_failed_preview_is_an_error_and_the_point_stays(app):
    app.engine.refuses["predict"] = ("ComputeError", "out of memory")
    app.click((15, 20, 10))
    app.run()
    assert app.kind == "error" and app.status == "out of memory"
    assert len(app.scene.points(app.segments[0])) == 1
    app.click((20, 14, 10))
    app.run()
    assert app.kind == "ready"


def test_an_engine_crash_keeps_the_finished_slices_and_the_engine_restarts(app):
    app.paint(0, 10)
    app.engine.dies_at = 6
    app.press("ProMemPropagate")
    app.run()
    assert app.kind == "error" and "killed" in app.status and "kept" in app.status
    assert 1 < np.count_nonzero(app.mask().any(axis=(1, 2))) < 12
    app.press("ProMemPropagate")
    app.run()
    assert app.kind == "ready" and app.mask().sum() == 12 * 20 * 22


def test_an_exception_in_a_tick_is_shown_and_ends_the_propagation(app):
    begin(app)
    before = app.scene.write
    app.scene.write = lambda *arguments: 1 / 0
    app.run()
    assert app.kind == "error" and "division by zero" in app.status and not app.controller.is_propagating
    app.press("ProMemCopyDetails")
    assert "ZeroDivisionError" in stand_in.QtWidgets.QApplication.clipboard().text()
    app.scene.write = before
    assert is_usable(app)


def test_an_exception_in_a_handler_is_shown_and_not_raised(app):
    keep = app.controller.click
    app.controller.click = lambda *arguments: {}["missing"]
    assert app.click((15, 20, 10)) is True
    app.run()
    assert app.kind == "error" and "missing" in app.status
    app.controller.click = keep
    assert is_usable(app)


def test_an_exception_in_a_view_is_shown_and_the_event_is_left_to_slicer(app):
    app.effect.viewNode = lambda view: None
    assert app.views["Red"].click((100, 100)) is False
    del app.effect.viewNode
    app.run()
    assert app.kind == "error"
    assert is_usable(app)


def test_the_volume_can_be_removed_while_the_effect_is_active(app):
    app.click((15, 20, 10))
    app.run()
    app.world.mrml.RemoveNode(app.volume)
    app.run()
    assert app.effect.active() and not app.widget("ProMemPropagate").isEnabled()
    assert app.views["Red"].click((60, 60)) is False
    app.run()
    assert app.status.startswith("No source volume is selected")
    app.key("P")
    app.run()
    assert app.kind == "error"


def test_the_volume_can_be_removed_in_the_middle_of_a_propagation(app):
    begin(app)
    app.world.mrml.RemoveNode(app.volume)
    app.run()
    assert not app.controller.is_propagating and app.kind == "error"
    app.volume = app.world.add_volume(scan(LIVER, KIDNEY), slicer.util.arrayFromVTKMatrix(vtk_identity()))
    app.world.node.SetAndObserveSourceVolumeNode(app.volume)
    app.run()
    assert app.widget("ProMemPropagate").isEnabled()


def vtk_identity():
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 0, 0.7)
    matrix.SetElement(1, 1, 0.9)
    matrix.SetElement(2, 2, 2.5)
    return matrix


def test_the_selected_segment_can_be_deleted(app):
    app.click((15, 20, 10))
    app.run()
    app.select(1)
    app.world.segmentation.GetSegmentation().RemoveSegment(app.segments[0])
    app.run()
    assert app.kind == "ready"
    app.click((38, 10, 6))
    app.run()
    assert "predicted IoU" in app.status


def test_the_last_segment_can_be_deleted(make_app):
    app = make_app(names=("Liver",))
    app.effect.activate()
    app.run()
    app.click((15, 20, 10))
    app.run()
    app.world.segmentation.GetSegmentation().RemoveSegment(app.segments[0])
    app.run()
    assert not app.widget("ProMemPropagate").isEnabled()
    app.views["Red"].click((60, 60))
    app.run()
    assert app.status.startswith("No segment is selected")
    # A new one begins with clean prompts.
    app.segments[0] = app.world.add_segment("Liver")
    app.select(0)
    assert app.scene.points(app.segments[0]) == [] and app.controller.report(app.segments[0]) is None
    app.click((15, 20, 10))
    app.run()
    assert "predicted IoU" in app.status and len(app.scene.points(app.segments[0])) == 1


def test_a_segment_can_be_deleted_in_the_middle_of_its_propagation(app):
    begin(app)
    app.select(1)
    app.world.segmentation.GetSegmentation().RemoveSegment(app.segments[0])
    app.run()
    assert not app.controller.is_propagating
    app.click((38, 10, 6))
    app.press("ProMemPropagate")
    app.run()
    assert app.kind == "ready" and app.mask(1).any()


def test_selecting_another_segment_clears_previews_and_resets_the_click_mode(app):
    app.click((15, 20, 10))
    app.press("ProMemExclude")
    app.run()
    assert app.scene._preview.segments()
    app.select(1)
    app.run()
    assert not app.scene._preview.segments() and app.widget("ProMemInclude").isChecked()
    assert not app.widget("ProMemUndoPoint").isEnabled()
    # The prompts of the first are there again with it.
    app.select(0)
    app.run()
    assert app.widget("ProMemUndoPoint").isEnabled()


@pytest.mark.parametrize("leaves", ["another segment", "another effect"])
def test_a_late_preview_is_not_shown(app, leaves):
    app.click((15, 20, 10))
    while not app.engine.count("predict"):
        app.python.timer.timeout.emit()
    if leaves == "another segment":
        app.select(1)
    else:
        app.effect.deactivate()
    app.run()
    assert app.engine.count("predict") == 1 and not app.scene._preview.segments()


def test_another_segmentation_with_the_same_segment_names_has_no_report(app):
    assert is_usable(app)
    other = app.world.add_segmentation(app.volume, "Other")
    twin = other.GetSegmentation().AddEmptySegment(app.segments[0], "Liver")
    assert twin == app.segments[0]
    app.effect.deactivate()
    app.world.node.SetAndObserveSegmentationNode(other)
    app.select(0)
    app.effect.activate()
    app.run()
    assert app.controller.report(twin) is None and app.widget("ProMemStrip").isHidden()
    assert app.scene.points(twin) == [] and app.kind == "ready"
    assert is_usable(app)


def test_another_segmentation_during_a_propagation_is_not_written(app):
    begin(app)
    other = app.world.add_segmentation(app.volume, "Other")
    other.GetSegmentation().AddEmptySegment(app.segments[0], "Liver")
    app.world.node.SetAndObserveSegmentationNode(other)
    app.run()
    assert not app.mask().any() and not app.controller.is_propagating
    assert "the propagation was stopped" in app.status


def test_a_scene_can_be_closed_while_the_effect_is_active(app):
    app.click((15, 20, 10))
    app.run()
    app.world.mrml.Clear(False)
    for _ in range(3):
        app.events()
        app.python.timer.timeout.emit()
    app.python._show()
    assert app.views["Red"].press((100, 100)) is False


def test_an_engine_that_cannot_be_created_is_an_error_and_is_retried_on_activation(make_app):
    app = make_app()
    engine = app.engine

    def fails():
        raise RuntimeError("PythonSlicer was not found")

    app.python.make_engine = fails
    app.effect.activate()
    app.run()
    assert app.kind == "error" and "PythonSlicer was not found" in app.status
    app.effect.deactivate()
    app.python.make_engine = lambda: engine
    app.effect.activate()
    app.run()
    assert app.kind == "ready" and is_usable(app)


def test_a_vector_volume_is_rejected_with_a_message(app):
    colours = app.world.add_volume(np.zeros((5, 6, 7, 3), np.uint8), np.eye(4), "Photo")
    app.world.edit(colours, app.world.add_segmentation(name="Of a photo"))
    app.segments = [app.world.add_segment("Spot")]
    app.select(0)
    app.key("P")
    app.run()
    assert app.kind == "error" and "3 values in each voxel" in app.status
