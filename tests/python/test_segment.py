"""Prompts, prediction and propagation."""

import subprocess
import threading

import nifti
import numpy as np
import promem
import pytest
from conftest import AROUND, PROGRAM
from promem import Prompt


def test_labels_are_those_of_the_command_line_voxel_for_voxel(session, demo, slice_mask, tmp_path):
    command = [PROGRAM, "segment", "--image", demo / "scan.nii.gz", "--model", demo / "toy.safetensors"]
    command += ["--prompt-mask", demo / "mask.nii.gz", "--prompt-slice", str(slice_mask[0]), "--range", "16,23"]
    command += [
        "--no-stop",
        "--precision",
        "fp32",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--output",
        tmp_path / "labels.nii.gz",
    ]
    subprocess.run(command, check=True, capture_output=True)
    expected, _ = nifti.read(tmp_path / "labels.nii.gz")
    session.propagate(**AROUND)
    labels = session.labels()
    assert labels.dtype == np.uint16 and np.count_nonzero(labels) > 1000
    np.testing.assert_array_equal(labels, expected)


def test_prompts_are_listed_and_taken_back(session, slice_mask):
    number, mask = slice_mask
    given = Prompt(object=1, slice=number, points=0, has_box=False, has_mask=True, regions=0, prompts=1)
    assert session.prompts == [given]
    session.add_point(2, (60, 50, 15))
    session.add_point(2, [61, 50, 15], positive=False)
    session.add_point(2, np.array([30, 40, 12]))
    session.add_box(2, (20, 30, 12), (70, 60, 12))
    twelve = Prompt(object=2, slice=12, points=1, has_box=True, has_mask=False, regions=0, prompts=2)
    fifteen = Prompt(object=2, slice=15, points=2, has_box=False, has_mask=False, regions=0, prompts=2)
    assert session.prompts == [given, twelve, fifteen]
    assert session.undo(2)  # the box
    assert session.prompts[1].has_box is False
    session.remove_slice(2, 12)
    assert [(p.object, p.slice) for p in session.prompts] == [(1, number), (2, 15)]
    session.remove_object(2)
    assert session.prompts == [given]
    with pytest.raises(promem.InvalidArgument, match="object 2: no prompt"):
        session.remove_object(2)
    session.clear_prompts()
    assert session.prompts == []


def test_what_is_predicted_is_what_a_propagation_puts_there(model, scan):
    with promem.Session(model, *scan) as session:
        session.add_point(3, (60, 50, 17))
        session.add_box(3, (30, 30, 17), (90, 80, 17))
        mask, score = session.predict_slice(3, 17)
        assert mask.dtype == bool and mask.shape == session.slice_shape and mask.any()
        assert not session.labels().any()
        session.propagate(range=(16, 18), never_stop=True)
        np.testing.assert_array_equal(session.mask(3)[17], mask)
        np.testing.assert_array_equal(session.labels()[17], 3 * mask)
        assert session.scores(3)[17] == score


def test_a_given_mask_is_the_result_on_its_slice(session, slice_mask):
    number, mask = slice_mask
    predicted, score = session.predict_slice(1, number)
    np.testing.assert_array_equal(predicted, mask)
    assert score == 1
    session.propagate(**AROUND)
    np.testing.assert_array_equal(session.mask(1)[number], mask)
    scores = session.scores(1)
    assert scores[number] == 1
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(scores)), np.arange(16, 24))


def test_masks_of_any_type_and_order_say_the_same(session, slice_mask):
    number, mask = slice_mask
    for given in (mask, 7 * mask.astype(np.int32), np.asfortranarray(mask), mask.astype(float), mask.tolist()):
        session.add_mask(1, number, given)
        np.testing.assert_array_equal(session.predict_slice(1, number)[0], mask)


def test_an_extent_is_cut_out_of_the_whole(session):
    session.propagate(**AROUND)
    whole, box = session.labels(), promem.Extent((10, 70), (20, 61), (17, 20))
    assert box.shape == (4, 42, 61)
    np.testing.assert_array_equal(session.labels(box), whole[box.slices])
    np.testing.assert_array_equal(session.labels([(10, 70), (20, 61), (17, 20)]), whole[17:21, 20:62, 10:71])
    np.testing.assert_array_equal(session.mask(1, box), whole[box.slices] == 1)


def test_changes_are_told_as_they_come(session, scan):
    kept = np.zeros(scan[0].shape, np.uint16)

    def follow(_):
        changed = session.take_changes()
        if changed is not None:
            kept[changed.slices] = session.labels(changed)

    session.propagate(follow, **AROUND)
    follow(None)
    np.testing.assert_array_equal(kept, session.labels())


def test_progress_names_every_slice_once(session, slice_mask):
    told = []
    session.propagate(told.append, **AROUND)
    assert sorted(p.slice for p in told) == list(range(16, 24))
    assert [p.done for p in told] == list(range(1, 9)) and {p.expected for p in told} == {8}
    assert {p.object for p in told} == {1} and all(p.found for p in told)
    assert told[0].slice == slice_mask[0] and told[0].score == 1


def test_options_reach_the_library(session, slice_mask):
    number = slice_mask[0]

    def walked(**options):
        session.reset()
        session.add_mask(1, *slice_mask)
        session.add_mask(2, *slice_mask)
        told = []
        session.propagate(told.append, never_stop=True, range=(number - 1, number + 1), **options)
        return sorted({(p.object, p.slice) for p in told}), session.scores(1)

    assert walked(object=2, direction="up")[0] == [(2, number), (2, number + 1)]
    both, scores = walked()
    assert len(both) == 6
    for other in ({"memory": "sam2"}, {"prior": "previous"}, {"field_of_view": "object"}, {"prior": "registered"}):
        assert not np.array_equal(walked(object=1, **other)[1], scores, equal_nan=True), other
    full = {"windows": [1, 6], "beams": 2, "include_prompt": False, "all_pointers": False}
    np.testing.assert_array_equal(walked(**full)[1], scores)


def test_the_intensity_weight_and_a_shorter_search_reach_the_library(session, slice_mask):
    def labels(**options):
        session.reset()
        session.add_mask(1, *slice_mask)
        session.propagate(**AROUND, **options)
        return session.labels()

    plain = labels()
    np.testing.assert_array_equal(labels(intensity_weight=0), plain)  # the toy model was not calibrated to any
    assert np.mean(labels(accept_iou=1) != plain) < 0.001  # never enough: all candidates, in another order
    assert not np.array_equal(labels(intensity_weight=4), plain)
    assert not np.array_equal(labels(accept_iou=0.01), plain)


def test_a_window_and_a_cache_limit_can_be_changed(session):
    session.propagate(**AROUND)
    before = session.labels()
    session.set_cache_limit(0)
    session.set_window((50, 0))
    session.propagate(**AROUND)
    assert not np.array_equal(session.labels(), before)
    session.set_window(None)
    session.set_cache_limit(None)
    session.propagate(**AROUND)
    np.testing.assert_array_equal(session.labels(), before)


def test_another_axis_drops_prompts_and_results(session):
    session.propagate(**AROUND)
    session.set_axis("i")
    assert session.prompts == [] and not session.labels().any()


def test_a_model_may_be_closed_before_its_sessions(toy, scan, slice_mask, session):
    session.propagate(**AROUND)
    with promem.Model(toy, "cpu", "fp32") as model:
        other = promem.Session(model, *scan)
    assert model.closed and repr(model) == "<promem.Model, closed>"
    other.add_mask(1, *slice_mask)
    other.propagate(**AROUND)
    np.testing.assert_array_equal(other.labels(), session.labels())
    other.close()


def test_two_sessions_on_one_model_in_two_threads_find_what_each_finds_alone(model, scan, slice_mask):
    number, mask = slice_mask
    shifted = number, np.roll(mask, 5, axis=1)

    def segment(given, into, progress=None):
        with promem.Session(model, *scan) as session:
            session.add_mask(1, *given)
            session.propagate(progress, **AROUND)
            into.append(session.labels())

    alone, together = [[], []], [[], []]
    for given, into in zip((slice_mask, shifted), alone):
        segment(given, into)
    threads = [
        threading.Thread(target=segment, args=(given, into, lambda _: None))
        for given, into in zip((slice_mask, shifted), together)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not np.array_equal(alone[0], alone[1])
    np.testing.assert_array_equal(together, alone)


def test_a_model_describes_itself(model, toy):
    info = model.info
    assert (info.network, info.device, info.precision, info.path) == ("toy", "cpu", "fp32", str(toy))
    assert info.image_size == 128 and info.parameters > 100_000
    assert model.metadata("promem.format")
    assert repr(model) == "<promem.Model toy at 128 px on cpu in fp32>"
    with promem.Model(toy, "cpu", "fp32", image_size=64) as other:
        assert other.info.image_size == 64


def test_the_library_tells_of_itself():
    assert promem.devices()[0] == "cpu"
    promem.set_thread_count(2)
    assert promem.thread_count() == 2
    promem.set_thread_count(1)
    assert promem.thread_count() == 1
