"""ModelHolder and scans in the worker: opened, prompted, changed, closed, and refused where they do not fit."""

import os
import pathlib

import numpy as np
import promem
import pytest
from promem.worker import pack, unpack
from worker_harness import AROUND, BOX, IJK_TO_RAS, INSIDE, MODEL, POINTS, VOXELS, host

pytest_plugins = ["worker_fixtures"]


def test_a_model_is_described(worker_with_model):
    told = worker_with_model.ask("load_model", **MODEL)
    path = told.pop("path")
    assert os.path.isfile(path)
    assert told == {
        "network": "promem-compact",
        "device": "cpu",
        "precision": "fp32",
        "image_size": 128,
        "licence": "Apache-2.0",
    }
    assert worker_with_model.ask("hello")["threads"] == 1


def test_an_opened_scan_reports_its_slices(opened):
    made, _ = opened
    assert made.opened == {"axis": "k", "slices": 14, "slice_shape": [60, 66]}
    assert made.ask("set_axis", axis="j") == {"axis": "j", "slices": 60, "slice_shape": [14, 66]}
    assert made.ask("set_axis", axis="auto") == {"axis": "k", "slices": 14, "slice_shape": [60, 66]}


def test_an_invalid_prompt_changes_nothing(opened):
    made, _ = opened
    made.set_both_prompts()
    for slices in (
        [POINTS, {"slice": 14, "points": []}],
        [{"slice": 7, "points": [[36, 30, 6, True]]}],
        [{"slice": 7, "box": [[0, 0, 7], [66, 5, 7]]}],
        [{"slice": 8, "points": [[36, 30, 8, True]]}, {"slice": 9, "mask": pack(np.ones((5, 5)))}],
        "none",
    ):
        assert made.answer("set_prompts", object=1, slices=slices).kind == "InvalidArgument"
    for number in (0, -1, 65536, True, "1", None):
        assert made.answer("set_prompts", object=number, slices=[POINTS]).kind == "InvalidArgument"
    assert made.ask("set_prompts", object=1, slices=[{**POINTS, **BOX}]) == {"steps": 0}


def test_an_object_without_prompts_is_removed(opened):
    made, _ = opened
    made.ask("set_prompts", object=1, slices=[POINTS])
    assert made.ask("set_prompts", object=1, slices=[]) == {"steps": 1}
    error = made.answer("predict", object=1, slice=7)
    assert error.kind == "InvalidArgument" and "object 1" in error.message
    error = made.answer("propagate")
    assert error.kind == "InvalidArgument" and "no prompt" in error.message


def test_a_reset_removes_everything_and_reports_it(opened):
    made, results = opened
    made.ask("set_prompts", object=1, slices=[{**POINTS, **BOX}])
    made.ask("propagate", range=[7, 8])
    assert results.array.any()
    made.events.clear()
    made.ask("reset")
    (changed,) = made.received("changed")
    assert not results.array.any() and changed["extent"][:2] == [7, 9]
    assert made.ask("set_prompts", object=1, slices=[{**POINTS, **BOX}]) == {"steps": 4 - 1}


def test_another_intensity_window_changes_the_result(opened, direct):
    made, _ = opened
    made.ask("set_prompts", object=1, slices=[POINTS])
    made.ask("set_window", window=[30, 45])
    score = made.ask("predict", object=1, slice=7)["score"]
    with promem.Session(direct, VOXELS, IJK_TO_RAS, axis="k", window=(30, 45)) as session:
        for *ijk, positive in POINTS["points"]:
            session.add_point(1, ijk, positive)
        assert session.predict_slice(1, 7)[1] == score
    made.ask("set_window", window=None)
    assert made.ask("predict", object=1, slice=7)["score"] != score
    for window in ([1], [0, 5], "wide", [None, 5], 7):
        assert made.answer("set_window", window=window).kind == "InvalidArgument"


def test_the_scan_stays_when_its_memory_was_closed(worker_with_model, found_directly):
    shared, results = worker_with_model.open_scan(VOXELS)
    shared.close()
    labels = results.array
    results.close()
    worker_with_model.set_both_prompts()
    worker_with_model.ask("propagate", **AROUND)
    np.testing.assert_array_equal(labels, found_directly["labels"])
    worker_with_model.ask("close_scan")


def test_the_same_memory_is_opened_again_with_clean_labels(worker_with_model):
    shared, results = worker_with_model.open_scan(VOXELS)
    worker_with_model.ask("set_prompts", object=1, slices=[POINTS])
    worker_with_model.ask("propagate", range=[7, 8])
    assert results.array.any()
    names = {"memory": shared.name, "results": results.name}
    given = {"shape": list(VOXELS.shape), "dtype": "int16", "axis": "i"}
    assert worker_with_model.ask("open_scan", **names, **given) == {"axis": "i", "slices": 66, "slice_shape": [14, 60]}
    assert not results.array.any()
    assert worker_with_model.ask("set_prompts", object=1, slices=[]) == {"steps": 0}
    wrong = [
        {**names, **given, "memory": "1.2.3"},
        {**names, **given, "memory": results.name, "dtype": "int32"},
        {**names, **given, "shape": [14, 60, 65]},
        {**names, **given, "dtype": "float16"},
        {**names, **given, "axis": "x"},
        {**names, **given, "window": [1, 2, 3]},
        {**names, **given, "ijk_to_ras": [[1, 2], [3]]},
        {**names, **given, "ijk_to_ras": np.zeros((4, 4))},
        {**names, **given, "cache_bytes": -1},
    ]
    for arguments in wrong:
        error = worker_with_model.answer("open_scan", **arguments)
        assert error.kind in ("InvalidArgument", "IoError", "BadFormat"), error
    worker_with_model.ask("open_scan", **names, **given)
    worker_with_model.ask("close_scan")
    assert worker_with_model.ask("close_scan") == {}
    shared.close()
    results.close()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_scans_of_other_scalar_types_are_the_same_scan(worker_with_model, dtype):
    def predicted(voxels):
        shared, results = worker_with_model.open_scan(voxels, window=[200, 100])
        worker_with_model.ask("set_prompts", object=1, slices=[POINTS])
        found = unpack(worker_with_model.ask("predict", object=1, slice=7)["mask"])
        worker_with_model.ask("close_scan")
        shared.close()
        results.close()
        return found

    voxels = np.clip(VOXELS, 0, 255)
    expected = predicted(voxels.astype("int16"))
    assert np.count_nonzero(expected != INSIDE[7]) < 0.1 * np.count_nonzero(INSIDE[7])
    assert np.array_equal(predicted(voxels.astype(dtype)), expected)


def test_errors_of_the_binding_keep_their_names(opened, tmp_path):
    made, _ = opened
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing of the kind")
    with pytest.raises(promem.PromemError) as raised:
        promem.Model(bad, device="cpu")
    error = made.answer("load_model", path=str(bad), device="cpu")
    assert (error.kind, error.message) == (type(raised.value).__name__, str(raised.value))
    assert made.answer("load_model", path=tmp_path / "none.pt", device="cpu").kind == "IoError"
    assert made.answer("load_model", device="cuda:7").kind in ("ComputeError", "InvalidArgument")
    assert made.answer("predict", object=1, slice=99).kind == "InvalidArgument"
    for options in ({"windows": 5}, {"windows": [0]}, {"range": 7}, {"direction": "left"}, {"beams": 99}, {"speed": 1}):
        assert made.answer("propagate", **options).kind == "InvalidArgument", options
    # The model and the scan are still there.
    made.ask("set_prompts", object=1, slices=[POINTS])
    assert made.ask("predict", object=1, slice=7)["score"] > 0


def test_the_same_model_is_not_loaded_again_and_another_one_closes_the_scan(tmp_path):
    with host() as made:
        path = made.ask("load_model", **MODEL)["path"]
        copy = tmp_path / "copy.safetensors"
        copy.write_bytes(pathlib.Path(path).read_bytes())
        for arguments in ({"precision": "bf16"}, {"path": copy}):
            made.ask("load_model", **MODEL)
            shared, results = made.open_scan(VOXELS)
            made.ask("load_model", **MODEL)
            made.ask("load_model", **{**MODEL, "threads": None})
            made.ask("set_prompts", object=1, slices=[POINTS])
            made.ask("load_model", **{**MODEL, **arguments})
            assert "no scan is open" in made.answer("set_prompts", object=1, slices=[POINTS]).message
            shared.close()
            results.close()
        shared, results = made.open_scan(VOXELS)
        os.utime(copy, (1, 1))
        made.ask("load_model", **{**MODEL, "path": copy})
        assert made.answer("reset").kind == "InvalidArgument", "the file was written anew"
        shared.close()
        results.close()


def test_opening_a_scan_without_a_model_is_an_error():
    with host() as made:
        error = made.answer("open_scan", memory="1.2.3", shape=[1, 1, 1], dtype="int8", results="1.2.3")
        assert error.kind == "InvalidArgument" and "load_model" in error.message


def test_memory_that_does_not_fit_is_an_engine_error(worker_with_model):
    with pytest.raises(promem.worker.EngineError, match="MB left") as raised:
        worker_with_model.engine.scan_memory((1 << 20, 1 << 20, 64), "int16")
    assert raised.value.kind == "IoError"
