"""Scans are read where they lie, whatever their type and strides."""

import gc
import weakref

import numpy as np
import promem
import pytest
from conftest import AROUND

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.fixture(scope="module")
def expected(small, model):
    with promem.Session(model, small, spacing_ijk=(1, 1.5, 2), window=(120, 60), copy=True) as session:
        session.add_box(1, (6, 4, 4), (19, 14, 4))
        session.propagate(range=(3, 5), never_stop=True)
        labels = session.labels()
    assert 0 < np.count_nonzero(labels) < labels.size
    return labels


@pytest.mark.parametrize("name", TYPES)
def test_every_scalar_type_gives_the_same_labels(small, segment, expected, name):
    np.testing.assert_array_equal(segment(small.astype(name)), expected)


def padded(array):
    room = np.full([2 * size for size in array.shape], 99, array.dtype)
    room[::2, 1::2, ::2] = array
    return room[::2, 1::2, ::2]


def unaligned(array):
    records = np.zeros(array.shape, np.dtype([("mark", "u1"), ("value", array.dtype)]))
    records["value"] = array
    return records["value"]


def mapped(array, folder):
    np.save(folder / "scan.npy", array)
    return np.load(folder / "scan.npy", mmap_mode="r")


STRIDES = {
    "transposed": lambda array: np.ascontiguousarray(array.T).T,
    "j fastest": lambda array: np.ascontiguousarray(array.transpose(0, 2, 1)).transpose(0, 2, 1),
    "negative": lambda array: np.ascontiguousarray(array[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "partly negative": lambda array: np.ascontiguousarray(array[:, ::-1])[:, ::-1],
    "sliced": padded,
    "unaligned": unaligned,
    "big pages": lambda array: np.pad(array, 3)[3:-3, 3:-3, 3:-3],
}


@pytest.mark.parametrize("name", STRIDES)
def test_odd_strides_give_the_labels_of_a_contiguous_copy(small, segment, expected, name):
    array = STRIDES[name](small.astype(np.int16))
    assert not array.flags.c_contiguous
    np.testing.assert_array_equal(segment(array), expected)


def test_a_read_only_file_in_memory_is_read_in_place(small, segment, expected, tmp_path):
    np.testing.assert_array_equal(segment(mapped(small, tmp_path)), expected)


def test_an_array_that_repeats_a_slice_is_read_as_it_is_indexed(small, segment):
    repeated = np.broadcast_to(small[4], small.shape)
    np.testing.assert_array_equal(segment(repeated), segment(repeated.copy()))


def test_an_array_that_repeats_one_voxel_is_read_as_it_is_indexed(segment):
    # All strides are 0, which in C means contiguous: what follows that voxel in memory must not be read.
    cell = np.array([7, 1000], np.int16)
    constant = np.broadcast_to(cell[0], (9, 20, 26))
    assert constant.strides == (0, 0, 0)
    np.testing.assert_array_equal(segment(constant), segment(constant.copy()))


def test_a_session_keeps_its_scan_alive_and_lets_go_of_it_when_closed(model, scan, slice_mask):
    voxels = scan[0].copy()
    alive = weakref.ref(voxels)
    session = promem.Session(model, voxels, scan[1])
    del voxels
    gc.collect()
    assert alive() is not None
    session.add_mask(1, *slice_mask)
    session.propagate(**AROUND)
    session.close()
    gc.collect()
    assert alive() is None


def test_a_copied_scan_may_change_afterwards(small, model, expected):
    voxels = small.copy()
    with promem.Session(model, voxels, spacing_ijk=(1, 1.5, 2), window=(120, 60), copy=True) as session:
        voxels[:] = 0
        session.add_box(1, (6, 4, 4), (19, 14, 4))
        session.propagate(range=(3, 5), never_stop=True)
        np.testing.assert_array_equal(session.labels(), expected)


def test_what_cannot_be_read_in_place_is_refused_with_what_to_do(model, small):
    refused = {
        "float16": (small.astype(np.float16), "voxels.astype(np.float32)"),
        "bool": (small > 3, "voxels.view(np.uint8)"),
        "of another byte order": (small.astype(">i2"), 'newbyteorder("=")'),
        "complex64": (small.astype(np.complex64), "expected int8 to int64"),
        "a masked array": (np.ma.masked_equal(small, 3), "voxels.filled"),
        "2 axes": (small[0], "[k, j, i]"),
        "list": (small.tolist(), "expected a numpy array"),
    }
    for what, (voxels, advice) in refused.items():
        with pytest.raises(promem.PromemError) as caught:
            promem.Session(model, voxels)
        assert what in str(caught.value) and advice in str(caught.value)
        assert caught.value.status_name in ("PROMEM_UNSUPPORTED", "PROMEM_INVALID_ARGUMENT")


def test_advice_for_refused_types_works(small, segment, expected):
    other = small.astype(">i2")
    np.testing.assert_array_equal(segment(other.astype(other.dtype.newbyteorder("="))), expected)
    np.testing.assert_array_equal(segment(small.astype(np.float16).astype(np.float32)), expected)


def test_slices_are_what_is_left_of_an_array_when_the_axis_is_indexed(model, small):
    with promem.Session(model, small, spacing_ijk=(1, 1, 1)) as session:
        assert session.axis == "k"
        for axis, position in {"i": 2, "j": 1, "k": 0}.items():
            session.set_axis(axis)
            assert session.axis == axis
            assert session.slice_count == small.shape[position]
            assert session.slice_shape == small.take(0, axis=position).shape


def test_a_mask_comes_back_where_it_was_given_along_every_axis(model, small):
    for axis, position in {"i": 2, "j": 1, "k": 0}.items():
        with promem.Session(model, small, spacing_ijk=(1, 2, 3), axis=axis) as session:
            mask = np.zeros(session.slice_shape, bool)
            mask[2:5, 1:7] = True
            session.add_mask(9, 6, mask)
            session.propagate(range=(6, 6))
            expected = np.zeros(small.shape, np.uint16)
            np.moveaxis(expected, position, 0)[6] = 9 * mask
            np.testing.assert_array_equal(session.labels(), expected)
            np.testing.assert_array_equal(session.mask(9), expected == 9)
            changed = session.take_changes()
            np.testing.assert_array_equal(session.labels(changed), expected[changed.slices])
            assert session.labels(changed).all() and session.take_changes() is None


def test_the_axis_of_the_largest_spacing_is_chosen(model, small):
    oblique = np.diag([0.5, 3.0, 1.0, 1.0])
    oblique[:3, 3] = 10, -20, 30
    for choice in ({"spacing_ijk": (0.5, 3, 1)}, {"ijk_to_ras": oblique}, {"ijk_to_ras": oblique[:3]}):
        with promem.Session(model, small, **choice) as session:
            assert session.axis == "j"
