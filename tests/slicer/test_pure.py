"""Grids, extents, options, plans and reports: no scene, no engine."""

import math

import numpy as np
import pytest
from SegmentEditorProMemLib.grid import Extent, Grid, ObliqueView, OutsideScan, axis_of_view
from SegmentEditorProMemLib.options import BadOption, Options, windows_from_text
from SegmentEditorProMemLib.report import Report, bars
from SegmentEditorProMemLib.segment_axes import axis_of_painting
from SegmentEditorProMemLib.slice_history import History, SliceKind, digests_of


def turned(degrees, axis=2):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(4)
    a, b = [n for n in range(3) if n != axis]
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


def test_voxels_and_positions_are_each_others_inverse():
    grid = Grid((5, 6, 7), turned(30) @ np.diag([0.5, 0.6, -3.0, 1.0]))
    for voxel in [(0, 0, 0), (6, 5, 4), (3, 1, 2)]:
        assert grid.voxel(grid.ras(voxel)) == voxel
        assert grid.slice_of(grid.ras(voxel), "j") == voxel[1]
    assert np.allclose(grid.spacing, (0.5, 0.6, 3.0))
    with pytest.raises(OutsideScan, match="outside the scan of 7 x 6 x 5 voxels"):
        grid.voxel(grid.ras((7, 0, 0)))


def test_the_coarsest_axis_is_k_at_a_tie():
    assert Grid((5, 5, 5), np.eye(4)).coarsest_axis == "k"
    assert Grid((5, 5, 5), np.diag([3.0, 1.0, 1.0, 1.0])).coarsest_axis == "i"


@pytest.mark.parametrize("axis", ["i", "j", "k"])
@pytest.mark.parametrize("flip", [1, -1])
def test_a_views_axis_is_found_in_turned_and_flipped_scans(axis, flip):
    directions = turned(25) @ turned(-40, 0)
    grid = Grid((9, 9, 9), directions @ np.diag([0.5, 0.7, 2.0 * flip, 1.0]))
    column = "ijk".index(axis)
    view = np.eye(4)
    view[:3, 2] = directions[:3, column]
    view[:3, 0] = directions[:3, (column + 1) % 3]
    view[:3, 1] = directions[:3, (column + 2) % 3]
    assert axis_of_view(view, grid) == axis
    with pytest.raises(ObliqueView, match="rotated by 8°.*Rotate to Volume Plane"):
        axis_of_view(view @ turned(8, 0), grid)


def test_extents_go_to_vtk_and_back_and_hold_what_they_are_of():
    mask = np.zeros((4, 5, 6), bool)
    mask[1, 2, 3] = mask[2, 4, 1] = True
    box = Extent.of(mask)
    assert box == ((1, 3), (2, 5), (1, 4)) and mask[box.slices].sum() == 2
    assert Extent.from_vtk(box.vtk) == box and Extent.from_vtk((0, -1, 0, -1, 0, -1)) is None
    assert Extent.of(np.zeros((2, 2, 2), bool)) is None
    assert Extent.of(mask[1:], (1, 0, 0)) == box
    assert box.within(Extent((1, 4), (1, 5), (0, 6))) == ((0, 2), (1, 4), (1, 4))
    assert box.common(Extent((2, 9), (0, 9), (0, 2))) == ((2, 3), (2, 5), (1, 2))
    assert box.common(Extent((3, 9), (0, 9), (0, 9))) is None


def test_the_axis_of_a_painting_is_that_across_which_it_is_on_few_slices():
    mask = np.zeros((20, 30, 40), bool)
    mask[3, 2:20, 2:20] = True
    assert axis_of_painting(mask) == "k"
    mask[15, 2:20, 2:20] = True
    assert axis_of_painting(mask) == "k", "two slices with a gap"
    assert axis_of_painting(mask.transpose(2, 1, 0)) == "i"
    mask[3:15, 2:20, 2:20] = True
    assert axis_of_painting(mask) is None, "a whole object"
    assert axis_of_painting(np.zeros((2, 2, 2), bool)) is None


def slices(*held):
    mask = np.zeros((8, 4, 4), bool)
    for slice_, pixels in held:
        mask[slice_].flat[:pixels] = True
    return digests_of(mask, "k")


def test_slices_never_propagated_count_as_painted():
    reading = History().classify("k", slices((3, 5), (6, 2)))
    assert reading.painted == [3, 6] and not reading.emptied


def test_results_are_recognised_and_changed_slices_count_as_painted():
    history = History()
    before = history.classify("k", slices((3, 5)))
    history.record(before)
    after = slices((2, 4), (3, 5), (4, 6), (5, 2))
    kinds = {slice_: SliceKind.PAINTED if slice_ == 3 else SliceKind.RESULT for slice_ in after}
    history.record(type(before)("k", after, kinds))
    assert history.classify("k", after).painted == [3]
    corrected = slices((2, 4), (3, 5), (4, 7))
    reading = history.classify("k", corrected)
    assert reading.painted == [3, 4] and reading.emptied == {5}
    # Undone: as before the propagation, and nothing was emptied.
    undone = history.classify("k", slices((3, 5)))
    assert undone.painted == [3] and not undone.emptied
    # Cleared as a whole: it begins anew.
    assert not history.classify("k", {}).emptied


def test_slices_across_another_axis_count_as_painted():
    history = History()
    history.record(history.classify("k", slices((3, 5))))
    assert history.classify("j", slices((3, 5))).painted == [3]


def test_options_become_arguments_of_the_engine():
    assert Options().propagate_arguments == {"never_stop": False, "memory": "search"}
    assert Options(search="off").propagate_arguments["memory"] == "sam2"
    custom = Options(search="custom", windows=(2, 4), beams=3, stop="never").propagate_arguments
    assert custom == {"never_stop": True, "memory": "search", "windows": [2, 4], "beams": 3}
    assert windows_from_text("1, 6") == (1, 6)
    for wrong in ({"search": "fast"}, {"windows": ()}, {"windows": (7,)}, {"beams": 0}):
        with pytest.raises(BadOption, match="expected"):
            Options(**wrong)
    with pytest.raises(BadOption, match="such as 1, 6"):
        windows_from_text("one")


def test_a_report_names_the_doubtful_slices_worst_first():
    report = Report("s", "k", (None, 0.9, 1.0, 0.5, 0.6, None), (2,), 2.04)
    assert report.found == [1, 2, 3, 4] and report.doubtful == [3, 4]
    assert report.summary == "4 slices (2 to 5) in 2.0 s. Look at slices 4 and 5."
    assert Report("s", "k", (None, 0.9), (), 1.0).summary == "1 slice (2) in 1.0 s."
    assert Report("s", "k", (0.1, 0.2, 0.3, 0.4), (), 1.0).summary.endswith("Look at slices 1, 2, 3 and 1 more.")
    assert Report("s", "k", (None, None), (), 1.0).summary == "No slice was segmented."


def test_a_bar_shows_the_worst_of_its_slices():
    scores = [None, 0.9, 0.4, 1.0, None, None]
    assert bars(scores, 3) == [(0, 2, 0.9), (2, 4, 0.4), (4, 6, None)]
    assert bars(scores, 99) == [(n, n + 1, score) for n, score in enumerate(scores)]
