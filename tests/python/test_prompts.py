"""Masks, label maps and points in millimetres as prompts."""

import numpy as np
import promem
import promem.worker
import pytest
from promem import Prompt

OBLIQUE = np.array([[0.0, -1.5, 0.1, 10.0], [1.2, 0.0, 0.2, -20.0], [0.0, 0.1, 3.0, 5.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def placed(model, small):
    """A session on a small oblique scan of three different sizes."""
    with promem.Session(model, small, OBLIQUE, axis="k") as session:
        yield session


def test_masks_with_one_value_beside_0_are_taken(session, slice_mask):
    number, mask = slice_mask
    for value in (1, 255, 7, 1.0, 0.25, np.float32(3)):
        session.add_mask(1, number, mask * value)
        np.testing.assert_array_equal(session.predict_slice(1, number)[0], mask)


def test_masks_that_could_mean_something_else_are_refused(session, slice_mask):
    number, mask = slice_mask
    gaps, infinite, likely, labels = (mask.astype(float) for _ in range(4))
    gaps[0, 0], infinite[0, :2], likely[mask] = np.nan, np.inf, np.linspace(0.1, 0.9, mask.sum())
    labels[0, 0] = 3
    for words, given in {
        "1 pixels are NaN or infinite, expected 0 and 1": gaps,
        "2 pixels are NaN or infinite": infinite,
        r"it has the values 0\.1 and .*, expected one beside 0; .*mask > 0\.5": likely,
        r"it has the values 3\.0 and 1\.0, .*mask == 3": labels,
        "it has the values 3 and 1": labels.astype(np.uint8),
        "complex128, expected numbers": mask * 1j,
    }.items():
        with pytest.raises(promem.InvalidArgument, match=words):
            session.add_mask(1, number, given)
    with pytest.raises(promem.InvalidArgument, match="1 pixels are NaN"):
        promem.worker.pack(gaps)


def test_each_label_of_a_map_is_an_object_on_the_middle_of_its_extent(placed):
    labels = np.zeros(placed.shape, np.int64)
    labels[3, 2:6, 3:9] = 7  # one slice: as it is
    labels[2:8, 10:15, 3:9] = 2  # between 2 and 7: 4
    labels[[1, 8], 2:5, 12:20] = 300  # the middle, 4, is a gap: the nearer end
    assert placed.add_label_map(labels) == {2: [4], 7: [3], 300: [1]}
    assert placed.prompts == [Prompt(n, s, 0, False, True, 0, 1) for n, s in ((2, 4), (7, 3), (300, 1))]
    for number, slice in ((2, 4), (7, 3), (300, 1)):
        np.testing.assert_array_equal(placed.predict_slice(number, slice)[0], labels[slice] == number)


def test_a_label_map_says_the_same_whatever_its_type(placed):
    labels = np.zeros(placed.shape, np.uint8)
    labels[3, 2:6, 3:9] = 1
    for given in (labels, labels.astype(bool), labels.astype(np.float32), labels.astype(">u2"), labels[::-1][::-1]):
        placed.clear_prompts()
        assert placed.add_label_map(given) == {1: [3]}
        np.testing.assert_array_equal(placed.predict_slice(1, 3)[0], labels[3] == 1)


def test_slices_of_a_label_map_can_be_chosen(placed):
    labels = np.zeros(placed.shape, np.uint8)
    labels[2:6, 2:6, 3:9] = 4
    assert placed.add_label_map(labels, slice=5) == {4: [5]}
    assert placed.add_label_map(labels, slice=[2, np.int64(3)]) == {4: [2, 3]}
    assert placed.add_label_map(labels, slice="all") == {4: [2, 3, 4, 5]}
    assert [prompt.slice for prompt in placed.prompts] == [2, 3, 4, 5]


@pytest.mark.parametrize("axis", ["i", "j", "k"])
def test_a_label_map_is_cut_along_the_axis_of_the_session(placed, axis):
    placed.set_axis(axis)
    labels = np.zeros(placed.shape, np.uint8)
    labels[2:5, 6:13, 10:21] = 9  # the middles differ: k 3, j 9, i 15
    middle = {"k": 3, "j": 9, "i": 15}[axis]
    assert placed.add_label_map(labels) == {9: [middle]}
    plane = labels.take(middle, axis="kji".index(axis))
    np.testing.assert_array_equal(placed.predict_slice(9, middle)[0], plane == 9)


def test_wrong_label_maps_are_refused_before_anything_is_added(placed):
    good = np.zeros(placed.shape, np.int32)
    good[3, 2:6, 3:9], good[5, 2:6, 3:9] = 1, 2
    half, many, negative, gap = good * 0.5, good * 40000, -good, good.astype(float)
    gap[0, 0, 0] = np.nan
    for words, given, slices in (
        (r"shape \(26, 20, 9\), expected the scan's \(9, 20, 26\)", good.T, None),
        ("it is 0 everywhere", good * 0, None),
        (r"it has the value 0\.5, expected whole numbers from 0 to 65535", half, None),
        ("it has the value 80000", many, None),
        ("it has the value -1", negative, None),
        ("it has the value nan", gap, None),
        ("label 2 is not on slice 3; it lies between 5 and 5", good, 3),
        ("slice: 'middle', expected one of 'all'", good, "middle"),
        ("slice: 1.5, expected an integer", good, 1.5),
        ("slice: no number", good, []),
        ("label map: list, expected a numpy array", [[[1]]], None),
    ):
        with pytest.raises(promem.InvalidArgument, match=words):
            placed.add_label_map(given, slice=slices)
    assert placed.prompts == []


def test_a_point_in_millimetres_is_the_voxel_that_it_lies_in(placed):
    for voxel in ((0, 0, 0), (25, 19, 8), (3, 11, 5)):
        for shift in ((0, 0, 0), (0.49, -0.49, 0.49), (-0.49, 0.49, -0.49)):
            x, y, z, _ = OBLIQUE @ [*np.add(voxel, shift), 1]
            assert placed.add_point_mm(1, (x, y, z), space="RAS") == voxel
            assert placed.add_point_mm(1, np.array([-x, -y, z]), space="LPS", positive=False) == voxel
    assert [(prompt.slice, prompt.points) for prompt in placed.prompts] == [(0, 6), (5, 6), (8, 6)]


def test_points_in_millimetres_without_a_doubtless_place_are_refused(placed, model, small):
    x, y, z, _ = OBLIQUE @ [3, 11, 5, 1]
    with pytest.raises(TypeError, match="space"):
        placed.add_point_mm(1, (x, y, z))
    for words, point, space in (
        ("space: 'ras', expected one of 'RAS', 'LPS'", (x, y, z), "ras"),
        (r"it lies at voxel .*, expected one of the scan's 26 x 20 x 9; is it LPS\?", (x, y, z), "LPS"),
        ("expected three numbers in mm", (x, y), "RAS"),
        ("expected three numbers in mm", "here", "RAS"),
        ("it lies at voxel nan", (x, y, np.nan), "RAS"),
    ):
        with pytest.raises(promem.InvalidArgument, match=words):
            placed.add_point_mm(1, point, space=space)
    assert placed.prompts == []
    with promem.Session(model, small, spacing_ijk=(1, 1, 2)) as session:
        assert session.ijk_to_ras is None
        with pytest.raises(promem.InvalidArgument, match="it is not known where this scan lies.*ijk_to_ras="):
            session.add_point_mm(1, (3, 3, 3), space="RAS")


@pytest.fixture
def disk(placed):
    """A mask of slice 4 of the small scan: rows 5 to 14, columns 8 to 17."""
    mask = np.zeros(placed.slice_shape, bool)
    mask[5:15, 8:18] = True
    return mask


def test_prompts_of_every_kind_are_undone_newest_first(placed, disk):
    placed.add_point(1, (12, 10, 4))
    placed.add_scribble(1, np.array([(12, 10, 3), (14, 10, 5)]))
    placed.add_lasso(1, [(8, 5, 6), (17, 5, 6), (17, 14, 6), (8, 14, 6)])
    placed.add_mask(1, 4, disk)
    placed.add_box_3d(1, (8, 5, 2), (17, 14, 6))
    four = Prompt(object=1, slice=4, points=0, has_box=True, has_mask=True, regions=0, prompts=4)
    assert [prompt.slice for prompt in placed.prompts] == [3, 4, 5, 6] and placed.prompts[1] == four
    assert placed.prompts[3].regions == 1
    left = []
    while placed.undo(1):
        left.append([(prompt.slice, prompt.prompts) for prompt in placed.prompts])
    assert left == [
        [(3, 1), (4, 3), (5, 1), (6, 1)],
        [(3, 1), (4, 2), (5, 1), (6, 1)],
        [(3, 1), (4, 2), (5, 1)],
        [(4, 1)],
        [],
    ]
    assert not placed.undo(2)


def test_what_is_excluded_leaves_the_mask_to_the_voxel(placed, disk):
    placed.add_mask(1, 4, disk)
    expected = disk.copy()
    expected[:, :11] = False
    placed.add_box_3d(1, (0, 0, 3), (10, 19, 5), positive=False)
    np.testing.assert_array_equal(placed.predict_slice(1, 4)[0], expected)
    placed.undo(1)
    placed.add_lasso(1, [(0, 0, 4), (10, 0, 4), (10, 19, 4), (0, 19, 4)], positive=False)
    np.testing.assert_array_equal(placed.predict_slice(1, 4)[0], expected)
    placed.add_lasso(1, [(0, 0, 4), (10, 0, 4), (10, 19, 4), (0, 19, 4)])
    expected[:, :11] = True
    np.testing.assert_array_equal(placed.predict_slice(1, 4)[0], expected)


def test_a_box_over_several_slices_bounds_the_propagation(placed):
    placed.add_box_3d(1, (8, 5, 2), (17, 14, 6))
    placed.propagate(never_stop=True)
    (slices,) = np.nonzero(np.isfinite(placed.scores(1)))
    assert 4 in slices and set(slices) <= set(range(2, 7))


def test_masks_that_exist_are_the_result_and_are_corrected(placed, disk):
    known = np.zeros(placed.shape, np.int64)
    known[2:7, disk] = 3
    placed.set_initial(known)
    np.testing.assert_array_equal(placed.labels(), known)
    placed.add_box_3d(3, (0, 0, 4), (10, 19, 4), positive=False)
    placed.propagate()
    np.testing.assert_array_equal(placed.labels()[4, :, :11], 0)
    np.testing.assert_array_equal(placed.labels()[4, :, 11:], known[4, :, 11:])
    placed.clear_prompts()
    placed.set_initial(None)
    assert not placed.labels().any()
