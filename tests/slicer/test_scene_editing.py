"""What a write does to segments: only what differs, under the editor's masks and modes, and undone exactly."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from mrml_world import SHAPE  # noqa: E402
from SegmentEditorProMemLib.editing import Mode  # noqa: E402
from SegmentEditorProMemLib.grid import Extent  # noqa: E402

SegmentationNode, EditorNode = slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLSegmentEditorNode
BOX = Extent((2, 8), (3, 12), (5, 20))


def noise(extent, seed, share=0.5):
    return np.random.default_rng(seed).random(extent.shape) < share


def full(extent, mask):
    """A mask of a box as one of the whole grid."""
    whole = np.zeros(SHAPE, bool)
    whole[extent.slices] = mask
    return whole


def paint(world, scene, name, extent=BOX, mask=True):
    """A new segment with that in it, whatever the editor is set to."""
    segment = world.add_segment(name)
    mode, intensity = world.node.GetMaskMode(), world.node.GetSourceVolumeIntensityMask()
    overwrite = world.node.GetOverwriteMode()
    world.node.SetMaskMode(SegmentationNode.EditAllowedEverywhere)
    world.node.SetSourceVolumeIntensityMask(False)
    world.node.SetOverwriteMode(EditorNode.OverwriteNone)
    scene.write(segment, extent, np.broadcast_to(mask, extent.shape))
    world.node.SetMaskMode(mode)
    world.node.SetSourceVolumeIntensityMask(intensity)
    world.node.SetOverwriteMode(overwrite)
    return segment


class Changes:
    """How often a segmentation's labelmaps have been changed, and how often its node said so, upon which views are
    drawn.
    """

    def __init__(self, segmentation):
        self.count = self.told = 0
        event = slicer.vtkSegmentation.SourceRepresentationModified
        segmentation.GetSegmentation().AddObserver(event, self._counted)
        segmentation.AddObserver(event, self._told)
        self._segmentation = segmentation

    def _counted(self, *_):
        self.count += 1

    def _told(self, *_):
        self.told += 1

    def times(self):
        """When each labelmap was last changed."""
        segmentation = self._segmentation.GetSegmentation()
        return [
            segmentation.GetSegment(name).GetRepresentation("Binary labelmap").GetMTime()
            for name in segmentation.GetSegmentIDs()
        ]


def test_a_write_is_read_back_and_changes_nothing_outside_its_box(oblique, scene):
    segment = oblique.add_segment()
    first, second = noise(BOX, 1), noise(Extent((4, 6), (0, 9), (0, 24)), 2)
    scene.write(segment, BOX, first)
    expected = full(BOX, first)
    assert np.array_equal(scene.mask(segment), expected)
    scene.write(segment, Extent((4, 6), (0, 9), (0, 24)), second)
    expected[4:6, 0:9, 0:24] = second
    assert np.array_equal(scene.mask(segment), expected)
    assert np.array_equal(scene.mask(segment, Extent((3, 7), (2, 5), (1, 23))), expected[3:7, 2:5, 1:23])


def test_many_writes_match_numpy(oblique, scene):
    segments = [oblique.add_segment(name) for name in "ABC"]
    oblique.node.SetOverwriteMode(EditorNode.OverwriteAllSegments)
    expected = np.zeros((3, *SHAPE), bool)
    chance = np.random.default_rng(11)
    for _ in range(40):
        ranges = [sorted(chance.choice(size + 1, 2, replace=False)) for size in SHAPE]
        extent = Extent(*((int(first), int(end)) for first, end in ranges))
        mask = chance.random(extent.shape) < chance.random()
        n = int(chance.integers(3))
        added = full(extent, mask) & ~expected[n]
        scene.write(segments[n], extent, mask)
        expected[n][extent.slices] = mask
        for other in {0, 1, 2} - {n}:
            expected[other] &= ~added
    for n, segment in enumerate(segments):
        assert np.array_equal(scene.mask(segment), expected[n])


def test_a_write_without_difference_changes_nothing(oblique, scene):
    segment = paint(oblique, scene, "A", BOX, noise(BOX, 1))
    empty = oblique.add_segment("empty")
    changes = Changes(oblique.segmentation)
    times = changes.times()
    scene.write(segment, BOX, noise(BOX, 1))
    scene.write(segment, Extent((0, 1), (0, 2), (0, 3)), np.zeros((1, 2, 3)))
    scene.write(empty, BOX, np.zeros(BOX.shape))
    assert changes.count == changes.told == 0 and changes.times() == times


def test_adding_alone_and_removing_alone_are_one_edit_and_both_are_two_that_are_told_as_one(oblique, scene):
    segment = paint(oblique, scene, "A", BOX, True)
    changes = Changes(oblique.segmentation)
    smaller = np.ones(BOX.shape, bool)
    smaller[0, 0, :4] = False
    scene.write(segment, BOX, smaller)
    assert changes.count == 1
    scene.write(segment, BOX, np.ones(BOX.shape))
    assert changes.count == 2
    scene.write(segment, Extent((0, 8), (3, 12), (5, 20)), np.concatenate([np.ones((2, 9, 15)), smaller]))
    assert changes.count == 4 and changes.told == 3


def test_other_labelmaps_are_not_touched(oblique, scene):
    oblique.node.SetOverwriteMode(EditorNode.OverwriteNone)
    other = paint(oblique, scene, "other", BOX, noise(BOX, 4))
    segment = paint(oblique, scene, "A", BOX, noise(BOX, 5))
    labelmap = oblique.segmentation.GetSegmentation().GetSegment(other).GetRepresentation("Binary labelmap")
    time = labelmap.GetMTime()
    scene.write(segment, BOX, np.ones(BOX.shape))
    assert labelmap.GetMTime() == time
    assert np.array_equal(scene.mask(other), full(BOX, noise(BOX, 4)))


@pytest.mark.parametrize("mode", ["OverwriteAllSegments", "OverwriteVisibleSegments", "OverwriteNone"])
@pytest.mark.parametrize("collapse", [False, True], ids=["own labelmaps", "a shared labelmap"])
def test_overwrite_mode_decides_what_other_segments_lose(oblique, scene, mode, collapse):
    left, right = Extent((2, 8), (3, 12), (0, 8)), Extent((2, 8), (3, 12), (12, 24))
    shown = paint(oblique, scene, "shown", left)
    hidden = paint(oblique, scene, "hidden", right)
    segment = paint(oblique, scene, "A", Extent((2, 3), (0, 1), (0, 24)))
    if collapse:
        oblique.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
        assert oblique.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    oblique.segmentation.GetDisplayNode().SetSegmentVisibility(hidden, False)
    oblique.node.SetOverwriteMode(getattr(EditorNode, mode))
    across = Extent((4, 6), (5, 7), (4, 16))
    scene.write(segment, across, np.ones(across.shape))
    written = full(across, True)
    trims = {"OverwriteAllSegments": {shown, hidden}, "OverwriteVisibleSegments": {shown}, "OverwriteNone": set()}[mode]
    assert np.array_equal(scene.mask(segment), full(Extent((2, 3), (0, 1), (0, 24)), True) | written)
    for other, extent in ((shown, left), (hidden, right)):
        expected = full(extent, True)
        assert np.array_equal(scene.mask(other), expected & ~written if other in trims else expected)


def test_in_a_shared_labelmap_removing_leaves_the_neighbours(oblique, scene):
    left, right = Extent((2, 8), (3, 12), (0, 8)), Extent((2, 8), (3, 12), (8, 24))
    segment, other = paint(oblique, scene, "A", left), paint(oblique, scene, "B", right)
    oblique.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert oblique.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    scene.write(segment, Extent.whole(SHAPE), np.zeros(SHAPE))
    assert not scene.mask(segment).any()
    assert np.array_equal(scene.mask(other), full(right, True))
    scene.write(segment, Extent((3, 4), (4, 5), (1, 3)), np.ones((1, 1, 2)))
    assert scene.mask(segment).sum() == 2 and np.array_equal(scene.mask(other), full(right, True))


@pytest.mark.parametrize("selected", ["written", "other"])
@pytest.mark.parametrize(
    "mode", ["OutsideAllSegments", "InsideAllSegments", "OutsideVisibleSegments", "InsideVisibleSegments"]
)
def test_the_editable_area_applies_whichever_segment_is_selected(oblique, scene, mode, selected):
    left, right = Extent((2, 8), (3, 12), (0, 8)), Extent((2, 8), (3, 12), (12, 24))
    shown, hidden = paint(oblique, scene, "shown", left), paint(oblique, scene, "hidden", right)
    own = Extent((4, 6), (8, 10), (9, 11))
    segment = paint(oblique, scene, "A", own)
    oblique.segmentation.GetDisplayNode().SetSegmentVisibility(hidden, False)
    oblique.node.SetOverwriteMode(EditorNode.OverwriteNone)
    oblique.node.SetMaskMode(getattr(SegmentationNode, "EditAllowed" + mode))
    oblique.select(segment if selected == "written" else shown)
    across = Extent((4, 6), (5, 10), (4, 16))
    wanted = noise(across, 6)
    scene.write(segment, across, wanted)
    others = full(left, True) | (full(right, True) if "All" in mode else False)
    # Its own voxels are inside it, and outside all others.
    area = ~others if mode.startswith("Outside") else others | full(own, True)
    before, there = full(own, True), full(across, True)
    expected = np.where(area & there, full(across, wanted), before)
    assert np.array_equal(scene.mask(segment), expected)
    assert np.array_equal(scene.mask(shown), full(left, True))
    assert oblique.node.GetSelectedSegmentID() == (segment if selected == "written" else shown)


def test_masking_inside_one_segment_allows_no_voxel_outside_it(oblique, scene):
    left = Extent((2, 8), (3, 12), (0, 8))
    around, segment = paint(oblique, scene, "around", left), oblique.add_segment("A")
    oblique.node.SetMaskMode(SegmentationNode.EditAllowedInsideSingleSegment)
    oblique.node.SetMaskSegmentID(around)
    oblique.node.SetOverwriteMode(EditorNode.OverwriteNone)
    oblique.select(segment)
    scene.write(segment, BOX, noise(BOX, 7))
    assert np.array_equal(scene.mask(segment), full(BOX, noise(BOX, 7)) & full(left, True))


@pytest.mark.parametrize("moved", [False, True], ids=["in place", "the volume moved"])
def test_the_editable_intensity_range_is_kept_when_adding_and_when_removing(oblique, scene, moved):
    if moved:
        matrix = np.eye(4)
        matrix[:3, 3] = (oblique.to_world(oblique.volume) @ [0, 0, 0, 1])[:3] + (0.3, -0.2, 0.4)
        oblique.volume.SetAndObserveTransformNodeID(oblique.add_transform(matrix).GetID())
    segment = paint(oblique, scene, "A", BOX, noise(BOX, 8))
    voxels = scene.voxels().copy()
    low, high = 2000, 3000
    oblique.node.SetSourceVolumeIntensityMask(True)
    oblique.node.SetSourceVolumeIntensityMaskRange(low, high)
    before = scene.mask(segment)
    wanted = noise(BOX, 9)
    scene.write(segment, BOX, wanted)
    area = (voxels >= low) & (voxels <= high) & full(BOX, True)
    assert area.any() and not area[BOX.slices].all()
    assert np.array_equal(scene.mask(segment), np.where(area, full(BOX, wanted), before))


def test_intensity_range_editable_area_and_overwriting_hold_together(oblique, scene):
    left = Extent((2, 8), (3, 12), (0, 12))
    other, segment = paint(oblique, scene, "other", left), oblique.add_segment("A")
    oblique.node.SetSourceVolumeIntensityMask(True)
    oblique.node.SetSourceVolumeIntensityMaskRange(1500, 2500)
    oblique.node.SetMaskMode(SegmentationNode.EditAllowedInsideAllSegments)
    oblique.node.SetOverwriteMode(EditorNode.OverwriteAllSegments)
    oblique.select(segment)
    scene.write(segment, BOX, np.ones(BOX.shape))
    voxels = scene.voxels()
    expected = full(BOX, True) & full(left, True) & (voxels >= 1500) & (voxels <= 2500)
    assert expected.any()
    assert np.array_equal(scene.mask(segment), expected)
    assert np.array_equal(scene.mask(other), full(left, True) & ~expected)


def test_voxels_removed_inside_one_segment_return_to_it(oblique, scene):
    left = Extent((2, 8), (3, 12), (0, 8))
    around, segment = paint(oblique, scene, "around", left), oblique.add_segment("A")
    oblique.node.SetMaskMode(SegmentationNode.EditAllowedInsideSingleSegment)
    oblique.node.SetMaskSegmentID(around)
    oblique.node.SetOverwriteMode(EditorNode.OverwriteAllSegments)
    part = Extent((3, 5), (4, 8), (2, 6))
    scene.write(segment, part, np.ones(part.shape))
    assert np.array_equal(scene.mask(around), full(left, True) & ~full(part, True))
    scene.write(segment, part, noise(part, 1))
    assert np.array_equal(scene.mask(segment), full(part, noise(part, 1)))
    assert np.array_equal(scene.mask(around), full(left, True) & ~full(part, noise(part, 1)))


AREAS = ["Everywhere", "InsideAllSegments", "InsideVisibleSegments", "OutsideAllSegments", "OutsideVisibleSegments"]


@pytest.mark.parametrize("by_intensity", [False, True], ids=["any intensity", "an intensity range"])
@pytest.mark.parametrize("mode", AREAS)
def test_masking_allows_the_same_voxels_as_slicer(oblique, scene, mode, by_intensity):
    whole = Extent.whole(SHAPE)
    corners = np.zeros(SHAPE, bool)
    corners[0, 0, 0] = corners[-1, -1, -1] = True
    paint(oblique, scene, "shown", whole, corners | noise(whole, 1, 0.3))
    hidden = paint(oblique, scene, "hidden", whole, noise(whole, 2, 0.3))
    before, wanted = noise(BOX, 3), noise(BOX, 4)
    ours, slicers = paint(oblique, scene, "ours", BOX, before), paint(oblique, scene, "Slicer's", BOX, before)
    display = oblique.segmentation.GetDisplayNode()
    display.SetSegmentVisibility(hidden, False)
    oblique.node.SetOverwriteMode(EditorNode.OverwriteNone)
    oblique.node.SetMaskMode(getattr(SegmentationNode, "EditAllowed" + mode))
    oblique.node.SetSourceVolumeIntensityMask(by_intensity)
    # Not whole: how a bound is cut to the voxels' type is a part of it.
    oblique.node.SetSourceVolumeIntensityMaskRange(1200.7, 3600.7)
    geometry = scene._editor_selection.geometry()
    extent = geometry.vtk_extent(BOX)
    for mode_, voxels in ((Mode.REMOVE, before & ~wanted), (Mode.ADD, wanted & ~before)):
        display.SetSegmentVisibility(ours, False)
        scene._editing.modify(slicers, geometry.labelmap(BOX, voxels), mode_, extent)
        display.SetSegmentVisibility(ours, True)
    # Each of the two is in the other's way in the same measure.
    display.SetSegmentVisibility(slicers, False)
    result = scene.mask(slicers, BOX)
    oblique.segmentation.GetSegmentation().RemoveSegment(slicers)
    restored = paint(oblique, scene, "Slicer's again", BOX, before)
    display.SetSegmentVisibility(restored, False)
    scene.write(ours, BOX, wanted)
    assert np.array_equal(scene.mask(ours, BOX), result)
    assert (result != before).any()


@pytest.mark.parametrize("bounds", [(120.7, 3600.2), (1200.7, 3600.2), (-1e9, 1e9), (5000, 4000)])
@pytest.mark.parametrize("scalar", ["u1", "i2", "f4"])
def test_an_intensity_range_is_clipped_as_in_slicer(world, scalar, bounds):
    # On both sides of each bound, and on what is left of it without its fraction.
    near = [0, 120, 121, 255] if scalar == "u1" else [1199, 1200, 1200.7, 1201, 3599, 3600, 3601, 4500]
    voxels = np.random.default_rng(1).choice(near, SHAPE).astype(scalar)
    volume = world.add_volume(voxels, np.diag([0.7, 0.9, 2.5, 1]))
    world.edit(volume, world.add_segmentation(volume))
    scene = world.open()
    ours, slicers = world.add_segment("ours"), world.add_segment("Slicer's")
    world.node.SetOverwriteMode(EditorNode.OverwriteNone)
    world.node.SetSourceVolumeIntensityMask(True)
    world.node.SetSourceVolumeIntensityMaskRange(*bounds)
    geometry = scene._editor_selection.geometry()
    scene._editing.modify(slicers, geometry.labelmap(BOX, np.ones(BOX.shape)), Mode.ADD, geometry.vtk_extent(BOX))
    scene.write(ours, BOX, np.ones(BOX.shape))
    assert np.array_equal(scene.mask(ours), scene.mask(slicers))


def test_writing_an_unselected_segment_sends_no_selection_event(oblique, scene):
    segment, other = oblique.add_segment("A"), oblique.add_segment("B")
    oblique.select(other)
    heard = []
    oblique.node.AddObserver("ModifiedEvent", lambda *_: heard.append(1))
    scene.write(segment, BOX, np.ones(BOX.shape))
    assert scene.mask(segment).any() and not scene.mask(other).any()
    assert scene.selected() == other and heard == []


def test_a_write_restores_the_masking_settings_without_events(oblique, scene):
    segment = oblique.add_segment()
    node = oblique.node
    node.SetMaskMode(SegmentationNode.EditAllowedOutsideAllSegments)
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(100, 4000)
    heard = []
    node.AddObserver("ModifiedEvent", lambda *_: heard.append(1))
    scene.write(segment, BOX, np.ones(BOX.shape))
    assert scene.mask(segment).any()
    assert node.GetMaskMode() == SegmentationNode.EditAllowedOutsideAllSegments and node.GetSourceVolumeIntensityMask()
    assert node.GetSelectedSegmentID() is None and heard == []


def test_a_hidden_segment_is_written_like_any_other(oblique, scene):
    segment = oblique.add_segment("hidden")
    assert scene.is_visible(segment)
    oblique.segmentation.GetDisplayNode().SetSegmentVisibility(segment, False)
    assert not scene.is_visible(segment)
    scene.write(segment, BOX, noise(BOX, 1))
    assert np.array_equal(scene.mask(segment), full(BOX, noise(BOX, 1)))
    assert not scene.is_visible(segment)


def test_an_empty_segment_occupies_nothing_and_a_painted_one_what_it_fills(oblique, scene):
    segment = oblique.add_segment()
    assert scene.occupied(segment) is None and not scene.mask(segment).any()
    inner = Extent((3, 5), (4, 9), (6, 7))
    scene.write(segment, Extent.whole(SHAPE), full(inner, True))
    assert scene.occupied(segment) == inner


def test_a_segment_that_was_emptied_holds_nothing_and_can_be_filled_again(oblique, scene):
    segment = paint(oblique, scene, "A", BOX)
    scene.write(segment, BOX, np.zeros(BOX.shape))
    assert not scene.mask(segment).any()
    scene.write(segment, Extent((0, 1), (0, 1), (0, 1)), np.ones((1, 1, 1)))
    assert scene.mask(segment).sum() == 1 and scene.mask(segment)[0, 0, 0]


def test_a_mask_read_is_a_copy(oblique, scene):
    segment = paint(oblique, scene, "A", BOX)
    mask = scene.mask(segment)
    mask[...] = False
    assert scene.mask(segment).sum() == full(BOX, True).sum()


def test_undo_brings_all_segments_back_exactly_and_redo_what_was_written(oblique, scene):
    other = paint(oblique, scene, "other", BOX, noise(BOX, 2))
    segment = paint(oblique, scene, "A", BOX, noise(BOX, 3))
    oblique.node.SetOverwriteMode(EditorNode.OverwriteAllSegments)
    before = scene.mask(segment), scene.mask(other)
    assert scene.save_undo()
    # A run: several writes after one saved state.
    for k in range(0, 10, 2):
        extent = Extent((k, k + 2), (0, 15), (2, 22))
        scene.write(segment, extent, noise(extent, k))
    after = scene.mask(segment), scene.mask(other)
    assert not np.array_equal(after[0], before[0]) and not np.array_equal(after[1], before[1])
    assert scene.can_undo and not scene.can_redo
    for _ in range(2):
        scene.undo()
        assert np.array_equal(scene.mask(segment), before[0]) and np.array_equal(scene.mask(other), before[1])
        assert scene.can_redo
        scene.redo()
        assert np.array_equal(scene.mask(segment), after[0]) and np.array_equal(scene.mask(other), after[1])
        assert scene.can_undo


def test_a_propagation_is_one_undo_step(oblique, scene):
    segment = paint(oblique, scene, "A", BOX)
    for n in range(3):
        scene.save_undo()
        for k in range(4):
            scene.write(segment, Extent((k, k + 1), (0, 2), (0, 24)), np.full((1, 2, 24), n % 2 == 0))
    scene.undo()
    assert scene.mask(segment)[:4, :2].sum() == 0
    scene.undo()
    assert scene.mask(segment)[:4, :2].all()
    scene.undo()
    assert np.array_equal(scene.mask(segment), full(BOX, True))


@pytest.mark.parametrize("blocked", [False, True], ids=["nothing written", "all of it masked"])
def test_undo_of_an_unchanged_propagation_keeps_the_edit_before_it(oblique, scene, blocked):
    segment = oblique.add_segment()
    scene.save_undo()
    scene.write(segment, BOX, noise(BOX, 1))
    assert scene.can_undo
    scene.save_undo()
    assert not scene.can_undo
    if blocked:
        oblique.node.SetSourceVolumeIntensityMask(True)
        oblique.node.SetSourceVolumeIntensityMaskRange(-2, -1)
        scene.write(segment, BOX, noise(BOX, 2))
    scene.undo()
    assert np.array_equal(scene.mask(segment), full(BOX, noise(BOX, 1)))


def test_save_undo_is_false_without_undo_states(oblique):
    oblique.logic.SetMaximumNumberOfUndoStates(0)
    oblique.add_segment()
    scene = oblique.open()
    assert scene.save_undo() is False and not scene.can_undo


def test_a_mask_that_does_not_fit_its_box_is_rejected(oblique, scene):
    segment = oblique.add_segment()
    with pytest.raises(ValueError, match=r"mask: \(1, 2, 3\).*expected \(6, 9, 15\)"):
        scene.write(segment, BOX, np.zeros((1, 2, 3)))
    beyond = Extent((0, 1), (0, 1), (20, 30))
    with pytest.raises(ValueError, match="within"):
        scene.write(segment, beyond, np.zeros(beyond.shape))
