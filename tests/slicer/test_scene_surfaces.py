"""Segments that are shown in 3D: writes leave their surfaces, and one call at the end makes those that are behind."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from SegmentEditorProMemLib.grid import Extent  # noqa: E402
from SegmentEditorProMemLib.surfaces import CLOSED_SURFACE  # noqa: E402

LEFT, RIGHT, BETWEEN = (Extent((2, 9), (3, 12), bounds) for bounds in ((1, 9), (14, 22), (6, 17)))


@pytest.fixture
def segments(oblique, scene):
    """Two segments that are shown in 3D."""
    segments = []
    for name, extent in (("left", LEFT), ("right", RIGHT)):
        segments.append(oblique.add_segment(name))
        scene.write(segments[-1], extent, np.ones(extent.shape))
    oblique.segmentation.CreateClosedSurfaceRepresentation()
    return segments


def surface(world, segment):
    return world.segmentation.GetSegmentation().GetSegment(segment).GetRepresentation(CLOSED_SURFACE)


def reach(world, scene, segment):
    """How far a surface reaches along i, in voxels."""
    data = surface(world, segment)
    indices = [scene.grid().index(data.GetPoint(n))[0] for n in range(data.GetNumberOfPoints())]
    return min(indices), max(indices)


def test_a_write_leaves_the_surface_and_an_update_makes_it(oblique, scene, segments):
    left, _ = segments
    before = surface(oblique, left)
    assert reach(oblique, scene, left)[1] == pytest.approx(8, abs=1)
    for k in range(2, 9):
        scene.write(left, Extent((k, k + 1), (3, 12), (9, 13)), np.ones((1, 9, 4)))
        assert surface(oblique, left) is before
    scene.update_surfaces()
    assert surface(oblique, left) is not before
    assert reach(oblique, scene, left)[1] == pytest.approx(12, abs=1)


@pytest.mark.parametrize("collapse", [False, True], ids=["own labelmaps", "a shared labelmap"])
def test_an_update_makes_the_surfaces_of_what_changed_and_no_others(oblique, scene, segments, collapse):
    left, right = segments
    if collapse:
        oblique.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    else:
        oblique.segmentation.GetSegmentation().SeparateSegmentLabelmap(right)
    assert oblique.segmentation.GetSegmentation().GetNumberOfLayers() == (1 if collapse else 2)
    oblique.segmentation.CreateClosedSurfaceRepresentation()
    before = surface(oblique, right)
    scene.write(left, LEFT, np.indices(LEFT.shape).sum(axis=0) > 4)
    scene.update_surfaces()
    made = surface(oblique, left)
    assert surface(oblique, right) is before
    scene.update_surfaces()
    assert surface(oblique, left) is made


def test_an_update_shows_what_another_segment_lost(oblique, scene, segments):
    left, right = segments
    oblique.node.SetOverwriteMode(oblique.node.OverwriteAllSegments)
    before = surface(oblique, right)
    assert reach(oblique, scene, right)[0] < 14.5
    scene.write(left, BETWEEN, np.ones(BETWEEN.shape))
    assert surface(oblique, right) is before
    scene.update_surfaces()
    assert reach(oblique, scene, right)[0] > 15.5


def test_a_write_of_what_is_there_touches_no_surface(oblique, scene, segments):
    heard = []
    for event in (slicer.vtkSegmentation.SegmentModified, slicer.vtkSegmentation.RepresentationModified):
        oblique.segmentation.GetSegmentation().AddObserver(event, lambda *_: heard.append(1))
    scene.write(segments[0], LEFT, np.ones(LEFT.shape))
    assert heard == []


def test_an_update_makes_no_surface_without_a_3d_display(oblique, scene):
    segment = oblique.add_segment("left")
    scene.write(segment, LEFT, np.ones(LEFT.shape))
    scene.update_surfaces()
    assert surface(oblique, segment) is None


def test_surfaces_that_the_user_has_switched_off_meanwhile_stay_off(oblique, scene, segments):
    scene.write(segments[0], LEFT, np.zeros(LEFT.shape))
    oblique.segmentation.RemoveClosedSurfaceRepresentation()
    scene.update_surfaces()
    assert surface(oblique, segments[0]) is None and surface(oblique, segments[1]) is None


def test_undo_brings_the_surface_back_with_the_voxels(oblique, scene, segments):
    left, _ = segments
    scene.save_undo()
    scene.write(left, BETWEEN, np.ones(BETWEEN.shape))
    scene.update_surfaces()
    assert reach(oblique, scene, left)[1] == pytest.approx(16, abs=1)
    scene.undo()
    assert reach(oblique, scene, left)[1] == pytest.approx(8, abs=1)
    scene.update_surfaces()
    assert reach(oblique, scene, left)[1] == pytest.approx(8, abs=1)


def test_undo_before_an_update_leaves_no_surface_behind(oblique, scene, segments):
    left, _ = segments
    scene.save_undo()
    scene.write(left, BETWEEN, np.ones(BETWEEN.shape))
    scene.undo()
    scene.update_surfaces()
    assert reach(oblique, scene, left)[1] == pytest.approx(8, abs=1)
    assert scene.mask(left).sum() == np.prod(LEFT.shape)


def test_close_updates_outdated_surfaces(oblique, scene, segments):
    before = surface(oblique, segments[0])
    scene.write(segments[0], BETWEEN, np.ones(BETWEEN.shape))
    scene.close()
    assert surface(oblique, segments[0]) is not before


def test_an_edit_with_another_tool_afterwards_makes_the_surface_itself(oblique, scene, segments):
    left, _ = segments
    scene.write(left, BETWEEN, np.ones(BETWEEN.shape))
    geometry = scene._editor_selection.geometry()
    at = Extent((4, 6), (5, 7), (20, 22))
    logic = oblique.logic
    logic.ModifySegmentByLabelmap(
        oblique.segmentation, left, geometry.labelmap(at, 1), logic.ModificationModeAdd, True, False
    )
    assert reach(oblique, scene, left)[1] == pytest.approx(21, abs=1)
