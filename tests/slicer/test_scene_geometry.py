"""Where things are: the grid, the source volume on it, and segments that land in the world where they were meant, for
every geometry.
"""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from mrml_world import SHAPE, SPACING, homogeneous, ordered, placed, rotation  # noqa: E402
from SegmentEditorProMemLib import labelmaps  # noqa: E402
from SegmentEditorProMemLib.grid import Extent  # noqa: E402

# Directions of volumes.
PLACES = {
    "axes of the world": placed(np.eye(3)),
    "LPS, as DICOM has it": placed(np.diag([-1, -1, 1])),
    "sagittal": placed([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    "oblique": placed(rotation(12, -23, 34)),
    "left-handed": placed(np.diag([1, 1, -1])),
    "oblique, left-handed": placed(rotation(12, -23, 34) @ np.diag([-1, 1, 1])),
}

# Little, so that both still overlap.
TURNED = placed(rotation(-5, 4, 6), spacing=(1, 1, 1), origin=(1.5, -2, 1))
STRETCHED = placed(rotation(0, 0, 3), spacing=(1.1, 0.95, 1.05), origin=(-1, 2, 1))
SHEARED = np.array([[1, 0.2, 0, 3], [0, 1, 0.1, -4], [0, 0, 1, 5], [0, 0, 0, 1.0]])

# Transforms of the volume and of the segmentation.
MOVES = {
    "neither moved": (None, None),
    "volume moved": (TURNED, None),
    "segmentation moved": (None, TURNED),
    "both moved by one": (TURNED, TURNED),
    "both moved, by two": (STRETCHED, TURNED),
    "both sheared": (SHEARED, SHEARED),
}


def brightness(ras):
    """A ramp through the world: between its values, interpolation is exact."""
    return 3.0 * ras[0] - 2.0 * ras[1] + 5.0 * ras[2]


def make(world, ijk_to_ras, volume_moved=None, segmentation_moved=None):
    """A volume with the ramp in it, and its segmentation, under transforms; one node where both are the same."""
    world_of = (np.eye(4) if volume_moved is None else volume_moved) @ ijk_to_ras
    indices = np.argwhere(np.ones(SHAPE))[:, ::-1]
    volume = world.add_volume(brightness(world_of @ homogeneous(indices)).reshape(SHAPE), ijk_to_ras)
    segmentation = world.add_segmentation(volume)
    transforms = {}
    for node, matrix in ((volume, volume_moved), (segmentation, segmentation_moved)):
        if matrix is not None:
            transform = transforms.setdefault(id(matrix), world.add_transform(matrix))
            node.SetAndObserveTransformNodeID(transform.GetID())
    world.edit(volume, segmentation)
    return world.open()


def blob(shape, seed=3):
    """A box and where it is, with holes, off the middle."""
    k, j, i = (int(size * 0.2) for size in shape)
    extent = Extent((k, k + 3), (j + 1, j + 6), (i + 2, i + 9))
    mask = np.random.default_rng(seed).random(extent.shape) > 0.3
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    return extent, mask


def ras_of(scene, extent, mask):
    """Where a mask's voxels are by the grid."""
    return ordered(np.array([scene.grid().ras(ijk) for ijk in (np.argwhere(mask) + extent.first)[:, ::-1]]))


def assert_lands(world, scene, seed=3):
    """A segment that is written is read back, and is exported by Slicer to the places that the grid names."""
    segment = world.add_segment()
    extent, mask = blob(scene.grid().shape, seed)
    scene.write(segment, extent, mask)
    assert np.array_equal(scene.mask(segment, extent), mask)
    assert scene.mask(segment).sum() == mask.sum()
    exported, expected = world.exported(segment), ras_of(scene, extent, mask)
    assert exported.shape == expected.shape
    assert np.abs(exported - expected).max() < 1e-6


def assert_shows(scene, margin=1e-9):
    """The voxels on the grid are what the volume shows there, wherever it shows something."""
    volume = scene._editor_selection.volume()
    grid, voxels = scene.grid(), scene.voxels()
    assert voxels.shape == grid.shape
    indices = np.argwhere(np.ones(grid.shape))[:, ::-1]
    ras = grid.ijk_to_ras @ homogeneous(indices)
    own = np.linalg.inv(ijk_to_world(volume)) @ ras
    inside = np.all((own[:3] > -margin) & (own[:3] < np.array(SHAPE[::-1])[:, None] - 1 + margin), axis=0)
    assert inside.sum() > 200
    off = np.abs(voxels.reshape(-1)[inside] - brightness(ras)[inside])
    # From one voxel to the next it is 1.4 at least; Slicer resamples in single precision.
    assert off.max() < 1e-3, f"the worst of {inside.sum()} voxels is off by {off.max()}"


def ijk_to_world(volume):
    matrix = labelmaps.vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    own = labelmaps.array_of_matrix(matrix)
    if volume.GetParentTransformNode() is None:
        return own
    volume.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
    return labelmaps.array_of_matrix(matrix) @ own


@pytest.mark.parametrize("place", PLACES)
def test_the_grid_is_the_volumes_and_shows_its_voxels(world, place):
    scene = make(world, PLACES[place])
    assert scene.grid().shape == SHAPE
    assert np.allclose(scene.grid().ijk_to_ras, PLACES[place], rtol=0, atol=1e-9)
    assert np.allclose(scene.grid().spacing, SPACING)
    assert np.array_equal(scene.voxels(), labelmaps.array_of(world.volume.GetImageData()))
    assert_shows(scene)


@pytest.mark.parametrize("moved", MOVES)
@pytest.mark.parametrize("place", ["LPS, as DICOM has it", "oblique, left-handed"])
def test_the_grid_matches_the_volume_under_transforms(world, place, moved):
    scene = make(world, PLACES[place], *MOVES[moved])
    assert_shows(scene, margin=-0.01)


@pytest.mark.parametrize("moved", MOVES)
@pytest.mark.parametrize("place", PLACES)
def test_a_segment_lands_where_the_grid_says(world, place, moved):
    assert_lands(world, make(world, PLACES[place], *MOVES[moved]))


@pytest.mark.parametrize("moved", ["neither moved", "both moved by one"])
@pytest.mark.parametrize("place", PLACES)
def test_a_bright_voxel_is_found_painted_and_exported_where_it_is(world, place, moved):
    scene = make(world, PLACES[place], *MOVES[moved])
    k, j, i = 7, 3, 20
    labelmaps.array_of(world.volume.GetImageData())[k, j, i] = 1e6
    world.volume.GetImageData().Modified()
    ras = (ijk_to_world(world.volume) @ [i, j, k, 1])[:3]
    voxel = scene.grid().voxel(ras)
    assert voxel == (i, j, k) and scene.voxels()[voxel[::-1]] == 1e6
    segment = world.add_segment()
    scene.write(segment, Extent((k, k + 1), (j, j + 1), (i, i + 1)), np.ones((1, 1, 1)))
    assert np.allclose(world.exported(segment), [ras], atol=1e-6)


def test_a_grid_that_begins_inside_the_volume_holds_its_part_of_it(world):
    scene = make(world, PLACES["oblique"])
    part = placed(rotation(12, -23, 34))
    part[:3, 3] = (PLACES["oblique"] @ [5, 4, 3, 1])[:3]
    small = world.add_volume(np.zeros((6, 7, 8)), part, "part")
    world.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(small)
    assert scene.grid().shape == (6, 7, 8)
    assert np.allclose(scene.voxels(), labelmaps.array_of(world.volume.GetImageData())[3:9, 4:11, 5:13], atol=1e-6)
    assert_shows(scene, margin=1e-6)
    extent, mask = Extent((1, 4), (2, 5), (0, 8)), np.random.default_rng(1).random((3, 3, 8)) > 0.5
    segment = world.add_segment()
    scene.write(segment, extent, mask)
    assert np.abs(world.exported(segment) - ras_of(scene, extent, mask)).max() < 1e-6


def test_a_finer_grid_is_filled_between_the_volumes_voxels(world):
    scene = make(world, PLACES["oblique, left-handed"])
    fine = placed(rotation(12, -23, 34) @ np.diag([-1, 1, 1]), spacing=(0.35, 0.9, 1.25))
    dense = world.add_volume(np.zeros((23, 18, 47)), fine, "finer")
    world.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(dense)
    assert scene.grid().shape == (23, 18, 47)
    assert_shows(scene, margin=1e-6)
    assert_lands(world, scene)


def test_the_grid_grows_for_a_segment_that_extends_beyond_the_volume(world):
    scene = make(world, PLACES["oblique"])
    far = world.add_segment("far")
    outside = slicer.vtkOrientedImageData()
    outside.SetExtent(-3, 1, -2, 1, -4, 0)
    outside.SetImageToWorldMatrix(labelmaps.matrix_of(PLACES["oblique"]))
    outside.AllocateScalars(labelmaps.vtk.VTK_UNSIGNED_CHAR, 1)
    labelmaps.array_of(outside)[...] = 1
    assert world.segmentations.SetBinaryLabelmapToSegment(outside, world.segmentation, far, 0)
    assert scene.grid().shape == (SHAPE[0] + 4, SHAPE[1] + 2, SHAPE[2] + 3)
    assert np.allclose(scene.grid().ras((3, 2, 4)), PLACES["oblique"][:3, 3])
    assert scene.mask(far)[0:5, 0:4, 0:5].all() and scene.mask(far).sum() == 100
    assert scene.occupied(far) == Extent((0, 5), (0, 4), (0, 5))
    assert_shows(scene, margin=1e-6)
    assert_lands(world, scene)
    assert scene.mask(far).sum() == 100


@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 0, 25)])
def test_a_segment_of_another_geometry_is_read_as_slicer_will_edit_it(world, turn):
    scene = make(world, PLACES["LPS, as DICOM has it"])
    other = placed(np.diag([-1, -1, 1]) @ rotation(*turn), spacing=(1.1, 1.3, 2.0), origin=(9.0, -24.0, 36.0))
    segment = world.add_segment()
    coarse = slicer.vtkOrientedImageData()
    coarse.SetExtent(2, 8, 1, 6, 1, 5)
    coarse.SetImageToWorldMatrix(labelmaps.matrix_of(other))
    coarse.AllocateScalars(labelmaps.vtk.VTK_UNSIGNED_CHAR, 1)
    labelmaps.array_of(coarse)[...] = np.random.default_rng(5).random((5, 6, 7)) > 0.4
    world.segmentations.SetBinaryLabelmapToSegment(coarse, world.segmentation, segment, 0)
    world.select(segment)
    world.logic.UpdateSelectedSegmentLabelmap()
    slicers = labelmaps.array_of(world.logic.GetSelectedSegmentLabelmap()).astype(bool)
    before = scene.mask(segment)
    assert before.any() and np.array_equal(before, slicers)
    part = Extent((2, 9), (3, 11), (1, 19))
    assert np.array_equal(scene.mask(segment, part), before[part.slices])
    occupied = scene.occupied(segment)
    outside = np.ones(SHAPE, bool)
    outside[occupied.slices] = False
    assert not (before & outside).any()
    # One voxel more: the rest of it stays as it was read.
    free = np.argwhere(~before[5])[0]
    at = Extent((5, 6), (free[0], free[0] + 1), (free[1], free[1] + 1))
    scene.write(segment, at, np.ones((1, 1, 1)))
    before[at.slices] = True
    assert np.array_equal(scene.mask(segment), before)


def test_a_volume_of_a_single_slice_is_fine(world):
    ijk_to_ras = PLACES["oblique"]
    volume = world.add_volume(np.arange(18 * 24, dtype=np.uint8).reshape(1, 18, 24), ijk_to_ras)
    world.edit(volume, world.add_segmentation(volume))
    scene = world.open()
    assert scene.grid().shape == scene.voxels().shape == (1, 18, 24)
    segment = world.add_segment()
    mask = np.random.default_rng(2).random((1, 18, 24)) > 0.5
    scene.write(segment, Extent.whole((1, 18, 24)), mask)
    assert np.array_equal(scene.mask(segment), mask)


@pytest.mark.parametrize("scalar", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_voxels_have_the_type_that_the_volume_has(world, scalar):
    volume = world.add_volume(np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(scalar), placed(np.eye(3)))
    world.edit(volume, world.add_segmentation(volume))
    voxels = world.open().voxels()
    assert voxels.dtype == np.dtype(scalar) and voxels[1, 2, 3] == np.array(
        SHAPE[1] * SHAPE[2] + 2 * SHAPE[2] + 3
    ).astype(scalar)


def test_voxels_are_no_copy_and_outlive_the_node(world):
    scene = make(world, PLACES["oblique"])
    voxels = scene.voxels()
    assert np.shares_memory(voxels, labelmaps.array_of(world.volume.GetImageData()))
    before = voxels.copy()
    world.mrml.RemoveNode(world.volume)
    world.volume = None
    assert np.array_equal(voxels, before)


def test_voxels_that_were_resampled_stay_as_they_were_when_slicer_resamples_again(world):
    scene = make(world, PLACES["oblique"], *MOVES["volume moved"])
    voxels = scene.voxels()
    before = voxels.copy()
    labelmaps.array_of(world.volume.GetImageData())[...] = -1000
    world.volume.GetImageData().Modified()
    world.volume.Modified()
    assert not np.array_equal(scene.voxels(), before)
    assert np.array_equal(voxels, before)


def test_a_position_goes_round_through_points_and_boxes(world):
    scene = make(world, PLACES["oblique, left-handed"], *MOVES["both moved, by two"])
    segment = world.add_segment()
    grid = scene.grid()
    scene.add_point(segment, grid.ras((5, 6, 7)), True)
    scene.set_box(segment, grid.ras((3, 15, 7)), grid.ras((20, 4, 7)), "k")
    (ras, positive), box = scene.points(segment)[0], scene.box(segment)
    assert positive and grid.voxel(ras) == (5, 6, 7)
    corners = np.sort([grid.voxel(corner) for corner in box], axis=0)
    assert corners.tolist() == [[3, 4, 7], [20, 15, 7]]
