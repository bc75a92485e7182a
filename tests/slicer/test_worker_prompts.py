"""From what was said to what is said, in as few steps as there can be."""

import numpy as np
import pytest
from promem import InvalidArgument
from promem.worker import pack
from promem.worker.prompts import Grid, parse, session_calls

# Across j: rows are k, columns are i.
GRID = Grid(sizes=(5, 6, 7), axis=1, slice_shape=(7, 5))

FIRST, SECOND, THIRD = [1, 2, 3, True], [2, 2, 4, False], [0, 2, 0, True]
BOX, OTHER_BOX = [[0, 2, 0], [3, 2, 3]], [[1, 2, 1], [4, 2, 6]]


def mask(*inside):
    made = np.zeros((7, 5), bool)
    for at in inside:
        made[at] = True
    return pack(made)


MASK, OTHER_MASK = mask((0, 0)), mask((1, 1), (2, 2))


def said(points=(), box=None, mask=None, slice=2):
    return {"slice": slice, "points": list(points), "box": box, "mask": mask}


def names(before, after):
    return [name for name, _ in session_calls(parse(before, GRID), parse(after, GRID), GRID)]


def test_repeated_prompts_take_no_call():
    whole = [said([FIRST, SECOND], BOX, MASK), said(box=[[0, 4, 0], [1, 4, 1]], slice=4)]
    assert names(whole, whole) == [] == names(whole, whole[::-1])


def test_new_points_are_added_in_their_order():
    made = session_calls(parse([said([FIRST])], GRID), parse([said([FIRST, SECOND, THIRD])], GRID), GRID)
    assert made == [("add_point", ((2, 2, 4), False)), ("add_point", ((0, 2, 0), True))]


def test_everything_of_a_new_slice_is_added():
    ((first, arguments), *others) = session_calls({}, parse([said([FIRST], BOX, MASK)], GRID), GRID)
    assert first == "add_mask" and arguments[0] == 2
    assert arguments[1].sum() == 1 and arguments[1][0, 0]
    assert others == [("add_box", ((0, 2, 0), (3, 2, 3))), ("add_point", ((1, 2, 3), True))]


def test_removed_or_changed_points_are_sent_again():
    for after in ([FIRST], [SECOND, FIRST], [FIRST, THIRD]):
        expected = ["remove_slice"] + ["add_point"] * len(after)
        assert names([said([FIRST, SECOND])], [said(after)]) == expected
    assert names([said([FIRST])], [said([[1, 2, 3, False]])]) == ["remove_slice", "add_point"]


def test_a_box_replaces_the_one_before():
    assert names([said([FIRST], BOX)], [said([FIRST], OTHER_BOX)]) == ["add_box"]


def test_points_and_a_box_follow_a_new_mask():
    again = ["remove_slice", "add_mask", "add_point", "add_point"]
    assert names([said([FIRST], None, MASK)], [said([FIRST, SECOND], None, OTHER_MASK)]) == again
    everything = ["remove_slice", "add_mask", "add_box", "add_point"]
    assert names([said([FIRST])], [said([FIRST], BOX, MASK)]) == everything
    assert names([said([], None, MASK)], [said([FIRST], None, OTHER_MASK)]) == ["add_mask", "add_point"]


def test_a_removed_box_or_mask_resets_the_slice():
    assert names([said([FIRST], BOX)], [said([FIRST])]) == ["remove_slice", "add_point"]
    assert names([said([FIRST], BOX, MASK)], [said([FIRST], BOX)]) == ["remove_slice", "add_box", "add_point"]


def test_only_slices_that_differ_are_touched():
    other = said([[1, 4, 3, True]], slice=4)
    made = session_calls(
        parse([said([FIRST]), other], GRID), parse([other, said([FIRST], slice=2, box=BOX)], GRID), GRID
    )
    assert made == [("add_box", ((0, 2, 0), (3, 2, 3)))]
    assert session_calls(parse([said([FIRST]), other], GRID), parse([other], GRID), GRID) == [("remove_slice", (2,))]


def test_a_slice_without_prompts_is_omitted():
    assert parse([said(), {"slice": 3}], GRID) == {}
    assert names([said([FIRST])], [said()]) == ["remove_slice"]


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (None, "slices: NoneType, expected a list"),
        ([5], "slices: 5, expected objects"),
        ([{"slice": 1, "point": []}], "expected objects with slice, points, box and mask"),
        ([{"points": []}], "slice: None, expected 0 to 5"),
        ([said(slice=6)], "slice: 6, expected 0 to 5"),
        ([said(slice=-1)], "slice: -1"),
        ([said(slice=1.0)], "slice: 1.0"),
        ([said(slice=True)], "slice: True"),
        ([said([FIRST]), said([FIRST])], "slice 2: it is given twice"),
        ([said([[1, 2, 3]])], "point: .*expected a list of 4"),
        ([said([[1, 2, 3, "yes"]])], "expected true or false"),
        ([said([[5, 2, 3, True]])], "point, i: 5, expected 0 to 4"),
        ([said([[1, 2, 7, True]])], "point, k: 7, expected 0 to 6"),
        ([said([[1, 3, 3, True]])], "point 1,3,3: not on slice 2, across j"),
        ([said(box=[[1, 2, 3]])], "box: .*expected a list of 2"),
        ([said(box=[[1, 2, 3], [1, 3, 3]])], "box corner 1,3,3: not on slice 2"),
        ([{"slice": 2, "points": 5}], "points: 5, expected a list"),
    ],
)
def test_invalid_prompts_are_rejected(slices, message):
    with pytest.raises(InvalidArgument, match=message):
        parse(slices, GRID)


def test_a_mask_that_does_not_fit_is_rejected_before_any_call():
    for wrong, message in ((pack(np.ones((5, 7))), "expected \\(7, 5\\)"), (mask(), "it is empty"), ({}, "mask")):
        with pytest.raises(InvalidArgument, match=message):
            session_calls({}, parse([said([FIRST]), said(mask=wrong, slice=3)], GRID), GRID)
