"""Prompts as markups: what is set is there in order, is told when a user moves it, is saved, and goes with its
segment.
"""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

import vtk  # noqa: E402
from SegmentEditorProMemLib import markups  # noqa: E402

Markups = slicer.vtkMRMLMarkupsNode


@pytest.fixture
def liver(oblique, scene):
    return oblique.add_segment("Liver")


@pytest.fixture
def heard(scene):
    """Segments whose prompts were told to have changed."""
    heard = []
    scene.on_prompts_changed = heard.append
    return heard


def nodes(world, role=None):
    found = slicer.util.getNodesByClass("vtkMRMLMarkupsNode", world.mrml)
    return [node for node in found if role is None or node.GetAttribute(markups.ROLE) == role]


def test_points_come_back_in_the_order_in_which_they_were_set(scene, liver):
    set_ = [((1.5, -2.25, 3.0), True), ((4.0, 5.0, 6.0), False), ((7.0, 8.0, 9.5), True), ((0.0, 0.0, 0.0), False)]
    for ras, positive in set_:
        scene.add_point(liver, ras, positive)
    assert scene.points(liver) == set_
    for n in (3, 2, 1, 0):
        scene.remove_last_point(liver)
        assert scene.points(liver) == set_[:n]
    scene.remove_last_point(liver)
    assert scene.points(liver) == []


def test_segments_have_prompts_of_their_own(oblique, scene, liver):
    spleen = oblique.add_segment("Spleen")
    scene.add_point(liver, (1, 2, 3), True)
    scene.add_point(spleen, (4, 5, 6), False)
    scene.set_box(spleen, scene.grid().ras((2, 3, 4)), scene.grid().ras((9, 8, 4)), "k")
    assert scene.points(liver) == [((1, 2, 3), True)] and scene.box(liver) is None
    scene.clear_prompts(spleen)
    assert scene.points(spleen) == [] and scene.box(spleen) is None
    assert scene.points(liver) == [((1, 2, 3), True)]


def test_points_are_green_and_red_small_and_without_text(oblique, scene, liver):
    scene.add_point(liver, (1, 2, 3), True)
    scene.add_point(liver, (1, 2, 3), False)
    (positive,), (negative,) = nodes(oblique, "positive"), nodes(oblique, "negative")
    red, green, _ = positive.GetDisplayNode().GetSelectedColor()
    assert green > 0.8 > 0.4 > red
    red, green, _ = negative.GetDisplayNode().GetSelectedColor()
    assert red > 0.8 > 0.4 > green
    for node in (positive, negative):
        display = node.GetDisplayNode()
        assert not display.GetPointLabelsVisibility() and not display.GetPropertiesLabelVisibility()
        assert display.GetGlyphScale() < 2 and not node.GetLocked()
        assert node.GetName().startswith("Liver")


@pytest.mark.parametrize(("axis", "along"), [("i", 0), ("j", 1), ("k", 2)])
def test_a_box_lies_in_its_slice_and_is_as_thick(oblique, scene, liver, axis, along):
    grid = scene.grid()
    corner, opposite = np.array([3.2, 13.8, 2.1]), np.array([17.9, 4.0, 8.6])
    corner[along] = opposite[along] = 6
    scene.set_box(liver, grid.ras(corner), grid.ras(opposite), axis)
    found = np.array([grid.index(ras) for ras in scene.box(liver)])
    assert np.allclose(np.sort(found, axis=0), np.sort([corner, opposite], axis=0), atol=1e-9)
    (node,) = nodes(oblique, "box")
    size = np.array(node.GetSize())
    assert np.isclose(size[2], grid.spacing[along])
    others = [n for n in range(3) if n != along]
    assert np.allclose(sorted(size[:2]), sorted(abs(corner - opposite)[others] * np.array(grid.spacing)[others]))
    # All of it lies on the slice: the eight corners are half a slice away from its middle.
    axes = np.array([[node.GetObjectToWorldMatrix().GetElement(row, n) for n in range(4)] for row in range(4)])
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1) / 2 * size[:, None]
    corners = [grid.index(ras) for ras in (axes @ np.vstack([signs, np.ones(8)]))[:3].T]
    assert np.allclose(np.abs(np.array(corners)[:, along] - 6), 0.5, atol=1e-9)
    assert np.isclose(np.linalg.det(axes[:3, :3]), 1.0)


def test_a_box_is_cut_off_at_the_scans_border_and_one_that_begins_outside_is_refused(scene, liver):
    from SegmentEditorProMemLib.grid import OutsideScan

    grid = scene.grid()
    scene.set_box(liver, grid.ras((3, 4, 5)), grid.ras((100, -50, 5)), "k")
    found = np.sort([grid.index(ras) for ras in scene.box(liver)], axis=0)
    assert np.allclose(found, [[3, -0.5, 5], [grid.shape[2] - 0.5, 4, 5]])
    with pytest.raises(OutsideScan):
        scene.set_box(liver, grid.ras((3, 4, 500)), grid.ras((5, 6, 500)), "k")


def test_a_new_box_replaces_the_one_before(oblique, scene, liver):
    grid = scene.grid()
    scene.set_box(liver, grid.ras((3, 4, 5)), grid.ras((8, 9, 5)), "k")
    scene.set_box(liver, grid.ras((2, 7, 3)), grid.ras((2, 9, 9)), "i")
    assert len(nodes(oblique, "box")) == 1
    assert {grid.voxel(ras)[0] for ras in scene.box(liver)} == {2}


def test_changes_by_the_scene_itself_are_not_reported(scene, liver, heard):
    grid = scene.grid()
    scene.add_point(liver, grid.ras((3, 4, 5)), True)
    scene.set_box(liver, grid.ras((3, 4, 5)), grid.ras((8, 9, 5)), "k")
    scene.add_point(liver, grid.ras((4, 4, 5)), False)
    scene.remove_last_point(liver)
    scene.clear_prompts(liver)
    assert heard == []


def test_a_dragged_point_is_reported_once_on_release(oblique, scene, liver, heard):
    scene.add_point(liver, (1, 2, 3), True)
    (node,) = nodes(oblique)
    node.InvokeCustomModifiedEvent(Markups.PointStartInteractionEvent)
    for step in range(10):
        node.SetNthControlPointPositionWorld(0, 1 + step, 2, 3)
    assert heard == []
    node.InvokeCustomModifiedEvent(Markups.PointEndInteractionEvent)
    assert heard == [liver] and scene.points(liver) == [((10, 2, 3), True)]


def test_a_point_pressed_but_not_moved_is_not_reported(oblique, scene, liver, heard):
    scene.add_point(liver, (1, 2, 3), True)
    (node,) = nodes(oblique)
    node.InvokeCustomModifiedEvent(Markups.PointStartInteractionEvent)
    node.InvokeCustomModifiedEvent(Markups.PointEndInteractionEvent)
    node.GetDisplayNode().SetGlyphScale(3)
    node.SetName("another name")
    assert heard == []


def test_points_moved_added_or_deleted_by_the_user_are_reported(oblique, scene, liver, heard):
    scene.add_point(liver, (1, 2, 3), True)
    scene.add_point(liver, (4, 5, 6), True)
    (node,) = nodes(oblique)
    node.SetNthControlPointPositionWorld(0, 7, 8, 9)
    assert heard == [liver]
    node.AddControlPointWorld(vtk.vtkVector3d(0, 1, 2))
    assert heard == [liver] * 2
    assert scene.points(liver) == [((7, 8, 9), True), ((4, 5, 6), True), ((0, 1, 2), True)]
    node.RemoveNthControlPoint(0)
    assert heard == [liver] * 3 and len(scene.points(liver)) == 2
    oblique.mrml.RemoveNode(node)
    assert heard == [liver] * 4 and scene.points(liver) == []


def test_a_point_being_placed_is_not_a_prompt(oblique, scene, liver, heard):
    scene.add_point(liver, (1, 2, 3), True)
    (node,) = nodes(oblique)
    index = node.AddNControlPoints(1, "", [9.0, 9.0, 9.0])
    index = node.GetNumberOfControlPoints() - 1
    node.ResetNthControlPointPosition(index)
    heard.clear()
    node.SetNthControlPointPositionWorld(index, 5, 5, 5, Markups.PositionPreview)
    assert scene.points(liver) == [((1, 2, 3), True)] and heard == []
    node.SetNthControlPointPositionWorld(index, 6, 5, 5, Markups.PositionDefined)
    assert scene.points(liver) == [((1, 2, 3), True), ((6, 5, 5), True)] and heard == [liver]


def test_a_box_resized_by_the_user_is_reported(oblique, scene, liver, heard):
    grid = scene.grid()
    scene.set_box(liver, grid.ras((3, 4, 5)), grid.ras((8, 9, 5)), "k")
    (node,) = nodes(oblique, "box")
    size = node.GetSize()
    node.SetSize(size[0] * 2, size[1], size[2])
    assert heard == [liver]
    corners = np.array([grid.index(ras) for ras in scene.box(liver)])
    assert np.allclose(np.sort(corners, axis=0), [[0.5, 4, 5], [10.5, 9, 5]])


def test_prompts_go_with_their_segment(oblique, scene, liver, heard):
    spleen = oblique.add_segment("Spleen")
    grid = scene.grid()
    for segment in (liver, spleen):
        scene.add_point(segment, (1, 2, 3), True)
        scene.add_point(segment, (1, 2, 4), False)
        scene.set_box(segment, grid.ras((3, 4, 5)), grid.ras((8, 9, 5)), "k")
    assert len(nodes(oblique)) == 6
    oblique.segmentation.GetSegmentation().RemoveSegment(liver)
    assert len(nodes(oblique)) == 3
    assert len(scene.points(spleen)) == 2 and scene.box(spleen) is not None
    assert heard == []


def test_prompts_go_with_their_segmentation(oblique, scene, liver):
    first, other = oblique.segmentation, oblique.add_segmentation(oblique.volume, "other")
    scene.add_point(liver, (1, 2, 3), True)
    oblique.edit(oblique.volume, other)
    second = oblique.add_segment("second")
    scene.add_point(second, (4, 5, 6), True)
    assert len(nodes(oblique)) == 2
    oblique.mrml.RemoveNode(first)
    assert len(nodes(oblique)) == 1 and scene.points(second) == [((4, 5, 6), True)]


def test_prompts_of_two_segmentations_whose_segments_are_called_alike_are_not_mixed(oblique, scene):
    first = oblique.segmentation
    first.GetSegmentation().AddEmptySegment("same", "A")
    scene.add_point("same", (1, 2, 3), True)
    other = oblique.add_segmentation(oblique.volume, "other")
    other.GetSegmentation().AddEmptySegment("same", "A")
    oblique.edit(oblique.volume, other)
    assert scene.points("same") == []
    scene.add_point("same", (4, 5, 6), False)
    assert scene.points("same") == [((4, 5, 6), False)]
    oblique.edit(oblique.volume, first)
    assert scene.points("same") == [((1, 2, 3), True)]


@pytest.mark.parametrize("added", [False, True], ids=["opened", "added to another"])
def test_a_saved_scene_restores_its_prompts_and_reports_their_moves(oblique, scene, liver, heard, tmp_path, added):
    grid = scene.grid()
    scene.add_point(liver, (1, 2, 3), True)
    scene.add_point(liver, (4, 5, 6), False)
    scene.add_point(liver, (7, 8, 9), True)
    scene.set_box(liver, grid.ras((3, 4, 5)), grid.ras((8, 9, 5)), "k")
    points, box = scene.points(liver), scene.box(liver)
    saved = tmp_path / "scene.mrml"
    oblique.mrml.SetURL(str(saved))
    oblique.mrml.SetRootDirectory(str(tmp_path))
    for node in [oblique.segmentation, *nodes(oblique)]:
        node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(str(tmp_path / f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"))
        assert storage.WriteData(node)
    assert oblique.mrml.Commit(str(saved))
    if added:
        assert oblique.mrml.Import()
    else:
        assert oblique.mrml.Connect()
    loaded = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", oblique.mrml)[-1]
    assert loaded is not oblique.segmentation or not added
    volume = oblique.add_volume(np.zeros((12, 18, 24), np.int16), np.eye(4), "new")
    if oblique.node.GetScene() is None:
        oblique.mrml.AddNode(oblique.node)
    oblique.edit(volume, loaded)
    assert scene.points(liver) == points
    assert np.allclose(scene.box(liver), box, atol=1e-4)
    heard.clear()
    mine = [
        node for node in nodes(oblique, "positive") if node.GetNodeReferenceID(markups.SEGMENTATION) == loaded.GetID()
    ]
    assert len(mine) == 1
    mine[0].SetNthControlPointPositionWorld(0, 0, 0, 0)
    assert heard == [liver]


@pytest.mark.parametrize("active", [None, "vtkMRMLMarkupsLineNode"])
def test_the_active_markups_list_stays_the_active_one(oblique, scene, liver, active):
    selection = oblique.mrml.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    mine = oblique.mrml.AddNewNodeByClass(active, "mine") if active else None
    if active:
        mine.CreateDefaultDisplayNodes()
    before = (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID())
    assert before == ((active, mine.GetID()) if active else (None, None))
    scene.add_point(liver, (1, 2, 3), True)
    scene.add_point(liver, (1, 2, 4), False)
    scene.set_box(liver, scene.grid().ras((2, 3, 4)), scene.grid().ras((9, 8, 4)), "k")
    assert (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()) == before


def test_prompts_are_not_in_3d_and_no_dialog_asks_to_save_them(oblique, scene, liver):
    scene.add_point(liver, (1, 2, 3), True)
    scene.set_box(liver, scene.grid().ras((2, 3, 4)), scene.grid().ras((9, 8, 4)), "k")
    assert not any(node.GetDisplayNode().GetVisibility3D() for node in nodes(oblique))
    modified = vtk.vtkCollection()
    oblique.mrml.GetStorableNodesModifiedSinceRead(modified)
    asked = [modified.GetItemAsObject(n) for n in range(modified.GetNumberOfItems())]
    assert asked and not any(node in asked for node in nodes(oblique))
    assert all(node.GetHideFromEditors() and node.GetSaveWithScene() for node in nodes(oblique))


def test_only_the_prompts_of_the_shown_segment_are_visible(oblique, scene, liver):
    spleen = oblique.add_segment("Spleen")
    for segment in (liver, spleen):
        scene.add_point(segment, (1, 2, 3), True)
    visible = {node.GetAttribute(markups.SEGMENT): node.GetDisplayNode() for node in nodes(oblique)}
    scene.show_prompts(spleen)
    assert (visible[liver].GetVisibility(), visible[spleen].GetVisibility()) == (0, 1)
    scene.add_point(liver, (1, 2, 3), False)
    assert not any(node.GetDisplayNode().GetVisibility() for node in nodes(oblique, "negative"))
    scene.show_prompts(liver)
    assert (visible[liver].GetVisibility(), visible[spleen].GetVisibility()) == (1, 0)
    other = oblique.add_segmentation(oblique.volume, "other")
    oblique.edit(oblique.volume, other)
    scene.show_prompts(liver)
    assert not any(display.GetVisibility() for display in visible.values()), "of another segmentation"
    oblique.edit(oblique.volume, oblique.segmentation)
    scene.close()
    assert not any(node.GetDisplayNode().GetVisibility() for node in nodes(oblique))


def test_a_box_that_was_loaded_without_its_file_is_none(oblique, scene, liver):
    scene.set_box(liver, scene.grid().ras((2, 3, 4)), scene.grid().ras((9, 8, 4)), "k")
    (node,) = nodes(oblique)
    node.SetSize(0, 0, 0)
    assert scene.box(liver) is None


def test_prompts_stay_after_close_and_nothing_is_reported(oblique, scene, liver, heard):
    scene.add_point(liver, (1, 2, 3), True)
    scene.close()
    (node,) = nodes(oblique)
    node.SetNthControlPointPositionWorld(0, 7, 8, 9)
    oblique.mrml.RemoveNode(node)
    assert heard == []


def test_a_second_scene_on_the_same_editor_finds_the_prompts(oblique, scene, liver):
    scene.add_point(liver, (1, 2, 3), True)
    scene.close()
    assert oblique.open().points(liver) == [((1, 2, 3), True)]
