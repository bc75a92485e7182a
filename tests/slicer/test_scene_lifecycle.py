"""What a scene says when something is missing, and what it does when something goes away while it is in use."""

import gc

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from mrml_world import SHAPE, editing_of, placed  # noqa: E402
from SegmentEditorProMemLib.editing import EffectEditing, editor_around  # noqa: E402
from SegmentEditorProMemLib.grid import Extent  # noqa: E402
from SegmentEditorProMemLib.scene import Scene, SceneError  # noqa: E402

BOX = Extent((2, 4), (3, 12), (5, 20))


@pytest.fixture
def no_complaints(capfd):
    """Fails where an exception came out of an observer: VTK prints it and goes on."""
    yield
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err, out + err


@pytest.fixture
def told(scene):
    told = []
    scene.on_source_changed = lambda: told.append("source")
    scene.on_segments_changed = lambda: told.append("segments")
    return told


# What is missing.


def test_a_missing_parameter_node_is_an_error(world):
    world.logic.SetSegmentEditorNode(None)
    with pytest.raises(SceneError, match="no parameter node"):
        world.open().grid()


def test_a_missing_segmentation_is_an_error(world):
    scene = world.open()
    for ask in (scene.grid, scene.segment_ids, scene.save_undo, lambda: scene.mask("a")):
        with pytest.raises(SceneError, match=r"No (segmentation|source volume) is selected"):
            ask()
    assert scene.selected() is None


def test_a_missing_source_volume_is_an_error(world):
    world.edit(None, world.add_segmentation())
    scene = world.open()
    for ask in (scene.grid, scene.voxels, scene.window, scene.source_stamp):
        with pytest.raises(SceneError, match="No source volume is selected"):
            ask()


def test_a_volume_without_voxels_is_named(world):
    volume = world.mrml.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "half loaded")
    world.edit(volume, world.add_segmentation())
    with pytest.raises(SceneError, match="half loaded: the volume has no voxels"):
        world.open().voxels()


def test_a_volume_of_colours_is_named_with_its_components(world):
    volume = world.add_volume(np.zeros((*SHAPE, 3), np.uint8), placed(np.eye(3)), "photograph")
    world.edit(volume, world.add_segmentation(volume))
    with pytest.raises(SceneError, match="photograph: a volume with 3 values in each voxel, expected one"):
        world.open().grid()


def test_a_segment_that_is_gone_is_named_and_not_selected(oblique, scene):
    segment = oblique.add_segment("Liver")
    oblique.select(segment)
    assert scene.selected() == segment
    oblique.segmentation.GetSegmentation().RemoveSegment(segment)
    assert scene.selected() is None
    for ask in (
        lambda: scene.mask(segment),
        lambda: scene.occupied(segment),
        lambda: scene.name(segment),
        lambda: scene.write(segment, BOX, np.ones(BOX.shape)),
        lambda: scene.show_preview(segment, "k", 1, np.ones(SHAPE[1:])),
        lambda: scene.add_point(segment, (1, 2, 3), True),
        lambda: scene.set_box(segment, (1, 2, 3), (1, 2, 3), "k"),
    ):
        with pytest.raises(SceneError, match=f"Segmentation: there is no segment '{segment}' any more"):
            ask()
    assert scene.points(segment) == [] and scene.box(segment) is None
    scene.clear_prompts(segment)
    scene.show_preview(segment, "k", 1, None)


def test_segments_stored_as_surfaces_are_rejected_with_a_remedy(oblique, scene):
    segment = oblique.add_segment("Liver")
    scene.write(segment, BOX, np.ones(BOX.shape))
    segmentation = oblique.segmentation.GetSegmentation()
    segmentation.CreateRepresentation("Closed surface")
    segmentation.SetSourceRepresentationName("Closed surface")
    with pytest.raises(
        SceneError, match="Segmentation: the segments are stored as Closed surface, expected Binary labelmap"
    ):
        scene.mask(segment)


def test_a_segmentation_under_a_nonlinear_transform_is_rejected_by_name(oblique, scene):
    bend = oblique.mrml.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    grid = slicer.vtkOrientedGridTransform()
    displacement = slicer.vtkOrientedImageData()
    displacement.SetDimensions(3, 3, 3)
    displacement.AllocateScalars(11, 3)
    grid.SetDisplacementGridData(displacement)
    bend.SetAndObserveTransformToParent(grid)
    oblique.segmentation.SetAndObserveTransformNodeID(bend.GetID())
    with pytest.raises(
        SceneError, match="Segmentation: the segmentation is under warp, which is not a linear transform"
    ):
        scene.grid()


def test_the_error_is_the_scenes_own(scene):
    assert scene.Error is SceneError and Scene.Error is SceneError


# What changes.


def test_the_stamp_changes_with_voxels_or_placement(oblique, scene):
    stamps = [scene.source_stamp()]

    def changed():
        stamps.append(scene.source_stamp())
        return stamps[-1] != stamps[-2]

    assert not changed()
    oblique.volume.CreateDefaultDisplayNodes()
    oblique.volume.GetDisplayNode().SetWindowLevel(10, 20)
    oblique.volume.SetName("another name")
    oblique.volume.SetAttribute("a", "b")
    segment = oblique.add_segment()
    scene.write(segment, BOX, np.ones(BOX.shape))
    scene.add_point(segment, (1, 2, 3), True)
    assert not changed()
    oblique.volume.GetImageData().GetPointData().GetScalars().SetValue(5, 77)
    oblique.volume.GetImageData().GetPointData().GetScalars().Modified()
    assert changed()
    oblique.volume.SetOrigin(1, 2, 3)
    assert changed()
    matrix = np.eye(4)
    matrix[0, 3] = 5
    transform = oblique.add_transform(matrix)
    oblique.volume.SetAndObserveTransformNodeID(transform.GetID())
    assert changed()
    oblique.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    assert changed()
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1, 1, -1, 1])))
    assert changed()
    small = oblique.add_volume(np.zeros((3, 4, 5)), placed(np.eye(3)), "small")
    oblique.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(small)
    assert changed()
    oblique.edit(oblique.add_volume(np.zeros(SHAPE), placed(np.eye(3))), oblique.segmentation)
    assert changed()


def test_a_change_of_the_source_is_reported(oblique, scene, told):
    oblique.volume.SetOrigin(1, 2, 3)
    assert "source" in told
    told.clear()
    oblique.volume.GetImageData().Modified()
    oblique.volume.InvokeCustomModifiedEvent(oblique.volume.ImageDataModifiedEvent)
    assert "source" in told
    told.clear()
    for node in (oblique.segmentation, oblique.volume):
        node.SetAndObserveTransformNodeID(oblique.add_transform(np.diag([1, 1, -1, 1])).GetID())
        assert "source" in told
        told.clear()
        node.GetParentTransformNode().SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.eye(4)))
        assert "source" in told
        told.clear()
    oblique.edit(oblique.add_volume(np.zeros(SHAPE), placed(np.eye(3))), oblique.segmentation)
    assert "source" in told and "segments" not in told


def test_added_renamed_selected_and_removed_segments_are_reported(oblique, scene, told):
    segment = oblique.add_segment("Liver")
    assert told == ["segments"]
    oblique.select(segment)
    assert told == ["segments"] * 2
    oblique.segmentation.GetSegmentation().GetSegment(segment).SetName("Spleen")
    assert told == ["segments"] * 3 and scene.name(segment) == "Spleen"
    oblique.segmentation.GetSegmentation().RemoveSegment(segment)
    assert told == ["segments"] * 4 and scene.segment_ids() == []


def test_an_edit_of_voxels_is_no_change_of_segments_or_source(oblique, scene, told):
    segment = oblique.add_segment("Liver")
    scene.write(segment, BOX, np.ones(BOX.shape))
    told.clear()
    scene.write(segment, BOX, np.zeros(BOX.shape))
    scene.show_preview(segment, "k", 3, np.ones(SHAPE[1:]))
    scene.add_point(segment, (1, 2, 3), False)
    assert told == []


def test_the_window_is_that_of_the_display(oblique, scene):
    assert scene.window() is None
    oblique.volume.CreateDefaultDisplayNodes()
    display = oblique.volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(350, 40)
    assert scene.window() == (350, 40)


# What goes away.


def test_a_removed_segmentation_is_reported_and_missing(oblique, scene, told, no_complaints):
    segment = oblique.add_segment("Liver")
    oblique.select(segment)
    scene.show_preview(segment, "k", 3, np.ones(SHAPE[1:]))
    scene.add_point(segment, (1, 2, 3), True)
    told.clear()
    oblique.mrml.RemoveNode(oblique.segmentation)
    assert set(told) == {"segments", "source"}
    with pytest.raises(SceneError, match="No segmentation is selected"):
        scene.segment_ids()
    scene.clear_previews()
    scene.close()


def test_a_removed_volume_is_reported_and_missing(oblique, scene, told, no_complaints):
    oblique.mrml.RemoveNode(oblique.volume)
    assert "source" in told
    with pytest.raises(SceneError, match="No source volume is selected"):
        scene.voxels()


def test_closing_the_mrml_scene_is_survived_and_a_new_one_works(oblique, scene, told, no_complaints):
    segment = oblique.add_segment("Liver")
    scene.show_preview(segment, "k", 3, np.ones(SHAPE[1:]))
    scene.add_point(segment, (1, 2, 3), True)
    scene.set_box(segment, scene.grid().ras((2, 3, 4)), scene.grid().ras((9, 8, 4)), "k")
    heard = []
    scene.on_prompts_changed = heard.append
    oblique.mrml.Clear(False)
    assert heard == []
    with pytest.raises(SceneError):
        scene.grid()
    oblique.mrml.AddNode(oblique.node)
    volume = oblique.add_volume(np.zeros(SHAPE, np.int16), placed(np.eye(3)))
    oblique.edit(volume, oblique.add_segmentation(volume))
    segment = oblique.add_segment("Liver")
    scene.show_preview(segment, "k", 3, np.ones(SHAPE[1:]))
    scene.write(segment, BOX, np.ones(BOX.shape))
    assert scene.mask(segment).sum() == 2 * 9 * 15 and scene.points(segment) == []


def test_an_editor_whose_node_is_exchanged_is_followed(oblique, scene, told):
    volume = oblique.add_volume(np.zeros((3, 4, 5)), placed(np.eye(3)), "small")
    node = slicer.vtkMRMLSegmentEditorNode()
    oblique.mrml.AddNode(node)
    node.SetAndObserveSegmentationNode(oblique.add_segmentation(volume, "small"))
    node.SetAndObserveSourceVolumeNode(volume)
    oblique.logic.SetSegmentEditorNode(node)
    assert scene.grid().shape == (3, 4, 5)
    told.clear()
    volume.SetOrigin(1, 2, 3)
    assert "source" in told
    told.clear()
    oblique.volume.SetOrigin(1, 2, 3)
    assert told == []
    event = volume.ImageDataModifiedEvent
    assert volume.HasObserver(event) and not oblique.volume.HasObserver(event)


def test_a_logic_is_given_the_node_that_comes_with_it(oblique):
    node = oblique.mrml.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetAndObserveSegmentationNode(oblique.segmentation)
    node.SetAndObserveSourceVolumeNode(oblique.volume)
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(oblique.mrml)
    scene = Scene(oblique.mrml, logic, node)
    assert logic.GetSegmentEditorNode() is node and scene.grid().shape == SHAPE
    scene.close()


def test_close_removes_every_observer(oblique, scene, told, no_complaints):
    segment = oblique.add_segment("Liver")
    told.clear()
    scene.close()
    assert scene.points(segment) == []
    oblique.volume.SetOrigin(1, 2, 3)
    oblique.segmentation.GetSegmentation().RemoveSegment(segment)
    oblique.mrml.RemoveNode(oblique.segmentation)
    assert told == []


def test_a_scene_dropped_without_close_gets_no_events(oblique, no_complaints):
    heard = []
    scene = Scene(oblique.mrml, oblique.logic)
    scene.on_source_changed = lambda: heard.append(1)
    del scene
    gc.collect()
    oblique.volume.SetOrigin(1, 2, 3)
    assert heard == []


# Undo through the widget around an effect.


def test_the_editor_around_an_effect_is_found_among_its_parents(oblique, monkeypatch):
    effect = editing_of(oblique, "effect", monkeypatch)._effect
    assert editor_around(effect.optionsFrame()).className() == "qMRMLSegmentEditorWidget"
    assert editor_around(None) is None


def test_undo_without_an_editor_widget_is_an_error_with_a_remedy(oblique, monkeypatch):
    effect = editing_of(oblique, "effect", monkeypatch)._effect
    scene = oblique.open(EffectEditing(effect, editor=lambda: None))
    with pytest.raises(SceneError, match="Use its own undo button"):
        scene.undo()
