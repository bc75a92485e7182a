"""Previews: seen where they belong, no part of segments, of undo, of editors' lists or of a saved scene, and gone when
they are done with.
"""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from mrml_world import SHAPE, placed, rotation  # noqa: E402
from SegmentEditorProMemLib import labelmaps  # noqa: E402
from SegmentEditorProMemLib.grid import Extent  # noqa: E402


@pytest.fixture
def liver(oblique, scene):
    return oblique.add_segment("Liver", (0.8, 0.2, 0.4))


def shown(world, scene, segment):
    """What the preview of a segment shows on the grid."""
    node = scene._preview.node
    found = node.GetSegmentation().GetSegment(segment) if node is not None else None
    if found is None:
        return np.zeros(scene.grid().shape, bool)
    geometry = scene._editor_selection.geometry()
    return labelmaps.mask_of(found, geometry, geometry.whole)


def plane(seed, shape, share=0.4):
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.parametrize(("axis", "slice_", "shape"), [("k", 5, (18, 24)), ("j", 11, (12, 24)), ("i", 23, (12, 18))])
def test_a_preview_is_shown_on_its_slice(oblique, scene, liver, axis, slice_, shape):
    mask = plane(1, shape)
    scene.show_preview(liver, axis, slice_, mask)
    expected = np.zeros(SHAPE, bool)
    expected[Extent.of_slices(SHAPE, axis, slice_, slice_ + 1).slices] = np.expand_dims(mask, "kji".index(axis))
    assert np.array_equal(shown(oblique, scene, liver), expected)
    assert not scene.mask(liver).any()


def test_a_preview_moves_with_the_segmentation(oblique, scene, liver):
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    transform = oblique.add_transform(placed(rotation(0, 0, 20), spacing=(1, 1, 1)))
    oblique.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    assert scene._preview.node.GetTransformNodeID() == transform.GetID()


def test_a_preview_is_the_segments_colour_brightened_an_outline_and_a_light_fill(oblique, scene, liver):
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    node = scene._preview.node
    assert np.allclose(node.GetSegmentation().GetSegment(liver).GetColor(), (0.9, 0.6, 0.7))
    display = node.GetDisplayNode()
    assert display.GetOpacity2DOutline() == 1 and 0 < display.GetOpacity2DFill() < 0.5
    assert display.GetVisibility2D() and not display.GetVisibility3D()
    assert display.GetSegmentVisibility(liver)


def test_a_preview_is_offered_by_no_editor_and_saved_with_no_scene(oblique, scene, liver, tmp_path):
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    node = scene._preview.node
    assert node.GetHideFromEditors() and not node.GetSaveWithScene() and not node.GetDisplayNode().GetSaveWithScene()
    assert oblique.mrml.Commit(str(tmp_path / "scene.mrml"))
    text = (tmp_path / "scene.mrml").read_text()
    assert "Segmentation" in text and node.GetID() not in text and node.GetDisplayNodeID() not in text


def test_a_preview_is_no_step_of_undo(oblique, scene, liver):
    scene.save_undo()
    scene.write(liver, Extent((0, 1), (0, 2), (0, 3)), np.ones((1, 2, 3)))
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    scene.show_preview(liver, "k", 6, plane(2, SHAPE[1:]))
    scene.clear_previews()
    scene.undo()
    assert not scene.mask(liver).any()
    assert not scene.can_undo


def test_a_preview_does_not_change_the_grid_or_the_stamp(oblique, scene, liver):
    stamp = scene.source_stamp()
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    assert scene.source_stamp() == stamp
    scene.clear_previews()
    assert scene.source_stamp() == stamp


def test_the_same_preview_again_touches_nothing_and_another_does(oblique, scene, liver):
    mask = plane(1, SHAPE[1:])
    scene.show_preview(liver, "k", 5, mask)
    node = scene._preview.node
    time = node.GetMTime(), node.GetSegmentation().GetSegment(liver).GetMTime()
    scene.show_preview(liver, "k", 5, mask.copy())
    assert (node.GetMTime(), node.GetSegmentation().GetSegment(liver).GetMTime()) == time
    mask[3, 4] = not mask[3, 4]
    scene.show_preview(liver, "k", 5, mask)
    assert np.array_equal(shown(oblique, scene, liver)[5], mask)
    oblique.segmentation.GetSegmentation().GetSegment(liver).SetColor(0, 0, 1)
    scene.show_preview(liver, "k", 5, mask)
    assert np.allclose(node.GetSegmentation().GetSegment(liver).GetColor(), (0.5, 0.5, 1))


def test_the_mask_that_was_given_may_be_changed_afterwards(oblique, scene, liver):
    mask = plane(1, SHAPE[1:])
    scene.show_preview(liver, "k", 5, mask)
    mask[...] = False
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    assert np.array_equal(shown(oblique, scene, liver)[5], plane(1, SHAPE[1:]))


@pytest.mark.parametrize("nothing", [None, np.zeros(SHAPE[1:], bool)], ids=["None", "an empty mask"])
def test_an_empty_mask_removes_one_preview_only(oblique, scene, liver, nothing):
    spleen = oblique.add_segment("Spleen")
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    scene.show_preview(spleen, "k", 5, plane(2, SHAPE[1:]))
    scene.show_preview(liver, "k", 5, nothing)
    assert not shown(oblique, scene, liver).any() and shown(oblique, scene, spleen).any()
    scene.clear_previews()
    assert not shown(oblique, scene, spleen).any()


def test_a_preview_goes_with_its_segment(oblique, scene, liver):
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    oblique.segmentation.GetSegmentation().RemoveSegment(liver)
    assert scene._preview.node is None


def test_previews_go_when_another_segmentation_is_chosen(oblique, scene, liver):
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    oblique.edit(oblique.volume, oblique.add_segmentation(oblique.volume, "other"))
    assert scene._preview.node is None


@pytest.mark.parametrize("ends", ["cleared", "emptied", "segmentation deleted", "scene closed"])
def test_the_preview_segmentation_goes_with_its_last_preview(oblique, scene, liver, ends):
    """Slicer's Segment Editor takes the scene's first segmentation, hidden or not, when it is entered without one."""
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    if ends == "cleared":
        scene.clear_previews()
    elif ends == "emptied":
        scene.show_preview(liver, "k", 5, None)
    elif ends == "segmentation deleted":
        oblique.mrml.RemoveNode(oblique.segmentation)
    else:
        oblique.mrml.Clear(False)
    left = [] if ends in ("segmentation deleted", "scene closed") else [oblique.segmentation]
    nodes = oblique.mrml.GetNodesByClass("vtkMRMLSegmentationNode")
    nodes.UnRegister(None)
    assert [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())] == left


def test_close_removes_the_preview_nodes(oblique, scene, liver):
    before = oblique.mrml.GetNumberOfNodes()
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    assert oblique.mrml.GetNumberOfNodes() > before
    scene.close()
    assert oblique.mrml.GetNumberOfNodes() == before
    scene.close()


def test_a_preview_can_be_shown_again_after_its_node_was_deleted(oblique, scene, liver):
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    oblique.mrml.RemoveNode(scene._preview.node)
    scene.show_preview(liver, "k", 5, plane(1, SHAPE[1:]))
    assert np.array_equal(shown(oblique, scene, liver)[5], plane(1, SHAPE[1:]))


def test_a_mask_that_does_not_fit_the_slice_is_rejected(scene, liver):
    with pytest.raises(ValueError, match=r"\(1, 3, 4\) on slice 5 across k, expected \(1, 18, 24\)"):
        scene.show_preview(liver, "k", 5, np.ones((3, 4)))
