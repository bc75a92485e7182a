"""What is refused, by which name, and in which words."""

import gc
import logging
import threading
import time

import numpy as np
import promem
import pytest


def refused(status_name, kind, words, work):
    with pytest.raises(kind, match=words) as caught:
        work()
    assert isinstance(caught.value, promem.PromemError)
    assert caught.value.status_name == status_name


def test_wrong_model_files_are_told_apart(toy, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(toy.read_bytes()[:1000])
    other = tmp_path / "notes.safetensors"
    other.write_text("not a model, though it is long enough to be one")
    missing = tmp_path / "missing.pt"
    refused("PROMEM_IO_ERROR", promem.IoError, "missing.pt", lambda: promem.Model(missing))
    refused("PROMEM_BAD_FORMAT", promem.BadFormat, "damaged", lambda: promem.Model(damaged))
    refused("PROMEM_BAD_FORMAT", promem.BadFormat, "notes", lambda: promem.Model(str(other)))


def test_wrong_model_options_are_refused(toy):
    for words, options in {
        "gpu": {"device": "gpu"},
        "fp8": {"precision": "fp8"},
        "image_size: -1, expected 0 to": {"image_size": -1},
        "size": {"image_size": 7},
    }.items():
        refused("PROMEM_INVALID_ARGUMENT", ValueError, words, lambda options=options: promem.Model(toy, **options))
    refused("PROMEM_COMPUTE_ERROR", promem.ComputeError, "cuda:99", lambda: promem.Model(toy, device="cuda:99"))
    refused("PROMEM_INVALID_ARGUMENT", ValueError, "NUL inside", lambda: promem.Model("model\0.pt"))


def test_a_model_that_nobody_names_and_nobody_installed_is_asked_for(monkeypatch, toy):
    monkeypatch.setenv("PROMEM_MODEL", str(toy))
    with promem.Model(device="cpu") as model:
        assert model.info.path == str(toy)


def test_wrong_scans_are_refused(model, small):
    def begin(**options):
        return lambda: promem.Session(model, small, **options)

    invalid = "PROMEM_INVALID_ARGUMENT"
    refused(invalid, ValueError, "axis: 'z', expected one of 'auto'", begin(axis="z"))
    refused(invalid, ValueError, r"spacing_ijk: shape \(2,\)", begin(spacing_ijk=(1, 2)))
    refused(
        invalid,
        ValueError,
        "ijk_to_ras and spacing_ijk: 2 are given",
        begin(spacing_ijk=(1, 1, 1), ijk_to_ras=np.eye(4)),
    )
    refused(invalid, ValueError, "ijk_to_ras: 'here', expected a matrix", begin(ijk_to_ras="here"))
    refused(invalid, ValueError, "spacing_ijk: 'fine', expected three numbers", begin(spacing_ijk="fine"))
    refused(invalid, ValueError, r"ijk_to_ras: shape \(3, 3\)", begin(ijk_to_ras=np.eye(3)))
    refused(invalid, ValueError, "its last row is", begin(ijk_to_ras=np.ones((4, 4))))
    refused(invalid, ValueError, "width -3", begin(window=(-3, 0)))
    refused("PROMEM_BAD_FORMAT", promem.BadFormat, "inverse", begin(ijk_to_ras=np.diag([1, 0, 1, 1])))
    empty = np.zeros((3, 0, 4), np.int16)
    with pytest.raises(promem.PromemError):
        promem.Session(model, empty)


def test_wrong_prompts_are_refused(session):
    invalid = "PROMEM_INVALID_ARGUMENT"
    rows, columns = session.slice_shape
    cases = {
        "object 0": lambda: session.add_point(0, (1, 1, 1)),
        "object 65536: expected 1 to 65535": lambda: session.add_point(65536, (1, 1, 1)),
        "object: 4294967297, expected 0 to 4294967295": lambda: session.add_point(2**32 + 1, (1, 1, 1)),
        "object: -1, expected": lambda: session.add_point(-1, (1, 1, 1)),
        "object: 1.5, expected an integer": lambda: session.add_point(1.5, (1, 1, 1)),
        "point -1,1,1: a negative index": lambda: session.add_point(1, (-1, 1, 1)),
        "9999": lambda: session.add_point(1, (1, 1, 9999)),
        "point: 2 indices, expected three": lambda: session.add_point(1, (1, 1)),
        "box": lambda: session.add_box(1, (1, 1, 1), (3, 3, 2)),
        r"mask: shape \(3, 3\), expected": lambda: session.add_mask(1, 3, np.ones((3, 3))),
        r"mask: shape .* expected \(": lambda: session.add_mask(1, 3, np.ones((columns + 1, rows))),
        "empty": lambda: session.add_mask(1, 3, np.zeros((rows, columns))),
        "slice 9999": lambda: session.add_mask(1, 9999, np.ones((rows, columns))),
        "no mask to take it from": lambda: session.add_point(1, (1, 1, 3), positive=False),
        "no voxel given": lambda: session.add_scribble(1, []),
        "scribble: 1, expected three indices": lambda: session.add_scribble(1, (1, 1, 3)),
        r"lasso: 5, expected several voxels \(i, j, k\)": lambda: session.add_lasso(1, 5),
        "scribble 1,1,9999: outside": lambda: session.add_scribble(1, [(1, 1, 3), (1, 1, 9999)]),
        "lasso: 2 corners, expected at least 3": lambda: session.add_lasso(1, [(1, 1, 3), (2, 2, 3)]),
        "lasso: its corners lie on several planes": lambda: session.add_lasso(1, [(1, 1, 3), (2, 2, 4), (3, 1, 5)]),
        "box corner: 2 indices": lambda: session.add_box_3d(1, (1, 1), (3, 3, 3)),
        r"label map: shape \(3, 3, 3\), expected the scan's": lambda: session.set_initial(np.ones((3, 3, 3), int)),
        "it has the value 70000": lambda: session.set_initial(np.full(session.shape, 70000)),
        "object 0: ": lambda: session.undo(0),
        "no prompt": lambda: session.remove_slice(1, 3),
        "no prompt to predict from": lambda: session.predict_slice(1, 3),
    }
    for words, work in cases.items():
        refused(invalid, promem.InvalidArgument, words, work)


def test_wrong_options_are_refused(session):
    invalid = "PROMEM_INVALID_ARGUMENT"
    for words, options in {
        "direction: 'left', expected one of 'both', 'up', 'down'": {"direction": "left"},
        "memory: 'long'": {"memory": "long"},
        "range: 3, expected the first and the last": {"range": 3},
        "slice 9999": {"range": (3, 9999)},
        "windows: 7 of them": {"windows": range(1, 8)},
        "windows: 0, expected 1": {"windows": [1, 0, 6]},
        "window": {"windows": [77]},
        "beams: 0": {"beams": 0},
        "prior: 'past'": {"prior": "past"},
        "accept_iou: 0, expected a number above 0": {"accept_iou": 0},
        "accept_iou: 1.5, expected a number between 0 and 1": {"accept_iou": 1.5},
        "intensity_weight: 'much', expected a number between 0 and 4": {"intensity_weight": "much"},
        "include_prompt: 1, expected one of None, False, True": {"include_prompt": 1},
    }.items():
        refused(invalid, promem.InvalidArgument, words, lambda options=options: session.propagate(**options))
        refused(invalid, promem.InvalidArgument, words, lambda options=options: session.start_propagate(**options))
    with pytest.raises(TypeError, match="no_stop"):
        session.propagate(no_stop=True)
    session.clear_prompts()
    refused(invalid, promem.InvalidArgument, "prompt", session.propagate)


def test_wrong_extents_are_refused(session):
    for words, extent in {
        "extent 3,1 along i": ((3, 1), (0, 1), (0, 1)),
        "extent -1,1 along j": ((0, 1), (-1, 1), (0, 1)),
        "extent 0,9999 along k": ((0, 1), (0, 1), (0, 9999)),
        "expected first and last index": ((0, 1), (0, 1)),
        r"extent: 5, expected first and last index along i, along j, along k, such as \(\(0, ": 5,
        r"extent: slice\(0, 3, None\), expected first": np.s_[0:3],
        r"extent: \(slice\(0, 3, None\), .*, expected first": np.s_[0:3, 0:3, 0:3],
        "extent: 'k', expected first": "k",
        "extent along j: 1.5, expected an integer": ((0, 1), (0, 1.5), (0, 1)),
    }.items():
        refused("PROMEM_INVALID_ARGUMENT", ValueError, words, lambda extent=extent: session.labels(extent))
        refused("PROMEM_INVALID_ARGUMENT", ValueError, words, lambda extent=extent: session.mask(1, extent))


def test_wrong_objects_axes_and_windows_are_named_with_what_is_expected(session):
    invalid = "PROMEM_INVALID_ARGUMENT"
    for words, work in {
        "object: 'liver', expected an integer": lambda: session.mask("liver"),
        "object: None, expected an integer": lambda: session.scores(None),
        "object: -1, expected 0 to": lambda: session.mask(-1),
        "object 0": lambda: session.mask(0),
        "object 70000": lambda: session.scores(70000),
        "slice: 'top', expected an integer": lambda: session.predict_slice(1, "top"),
        "point: 3, expected three indices: i, j, k": lambda: session.add_point(1, 3),
        "axis: 2, expected one of 'auto', 'i', 'j', 'k'": lambda: session.set_axis(2),
        "axis: 'K', expected one of": lambda: session.set_axis("K"),
        r"window: 'bone', expected \(width, level\)": lambda: session.set_window("bone"),
        r"window: '12', expected \(width, level\)": lambda: session.set_window("12"),
        r"window: 400, expected \(width, level\)": lambda: session.set_window(400),
        r"window: \(400,\), expected \(width, level\)": lambda: session.set_window((400,)),
        "window: width nan, expected more than 0": lambda: session.set_window((float("nan"), 40)),
        "window: width inf": lambda: session.set_window((float("inf"), 40)),
        "window: level nan, expected a finite number": lambda: session.set_window((400, float("nan"))),
    }.items():
        refused(invalid, promem.InvalidArgument, words, work)


def test_keywords_of_other_packages_are_refused_with_the_own_ones(model, small):
    for words, options in {
        r"Session.__init__ has no keyword spacing: give spacing_ijk=\(along i, along j, along k\).*\[k, j, i\]": {
            "spacing": (1, 1, 2)
        },
        "has no keyword affine: give ijk_to_ras=": {"affine": np.eye(4)},
    }.items():
        with pytest.raises(TypeError, match=words):
            promem.Session(model, small, **options)
    with pytest.raises(TypeError, match="positional"):
        promem.Session(model, small, None, (1, 1, 2))
    with promem.Session(model, small, spacing_ijk=(1, 2.5, 1)) as session:
        assert session.axis == "j"


def test_what_is_closed_says_so(toy, scan):
    model = promem.Model(toy, "cpu", "fp32")
    session = promem.Session(model, *scan)
    for thing in (session, model):
        thing.close()
        thing.close()
        assert thing.closed
    refused("", promem.Closed, "session: it was closed", session.labels)
    refused("", promem.Closed, "session: it was closed", lambda: session.prompts)
    refused("", promem.Closed, "session: it was closed", session.__getattribute__("propagate"))
    refused("", promem.Closed, "model: it was closed", lambda: model.info)
    refused("", promem.Closed, "model: it was closed", lambda: promem.Session(model, *scan))


def test_an_unknown_status_keeps_its_number():
    error = promem.errors.error(77, "planted")
    assert (type(error), error.status, error.status_name) == (promem.PromemError, 77, "unknown status")
    assert str(promem.errors.error(10, "")) == "PROMEM_INVALID_ARGUMENT"


def test_the_log_goes_to_logging(toy, caplog):
    caplog.set_level(logging.DEBUG, "promem")
    promem.set_log("INFO")
    promem.Model(toy, "cpu", "fp32").close()
    limit = time.monotonic() + 5
    while not caplog.records and time.monotonic() < limit:
        time.sleep(0.01)
    (record,) = caplog.records
    assert record.name.startswith("promem.") and record.levelno == logging.INFO and "toy at 128 px" in record.message
    for level in (None, "ERROR"):
        promem.set_log(level)
        promem.Model(toy, "cpu", "fp32").close()
    promem.set_log(None)
    time.sleep(0.1)
    assert len(caplog.records) == 1
    with pytest.raises(ValueError, match="LOUD"):
        promem.set_log("LOUD")


def test_what_is_forgotten_is_freed_in_the_background(model, small):
    from promem import _handle

    gc.collect()
    time.sleep(0.2)
    before = len(_handle._live)
    for _ in range(5):
        session = promem.Session(model, small)
        session.add_point(1, (10, 10, 4))
        job = session.start_propagate(never_stop=True)
        job.cycle = (job, session)
    del session, job
    gc.collect()
    limit = time.monotonic() + 20
    while len(_handle._live) > before and time.monotonic() < limit:
        time.sleep(0.01)
    assert len(_handle._live) == before


def test_messages_belong_to_their_thread(session):
    told = []

    def fail(object):
        for _ in range(300):
            try:
                session.remove_object(object)
            except promem.InvalidArgument as error:
                told.append(f"object {object}: " in str(error))
            except promem.Busy:
                pass

    threads = [threading.Thread(target=fail, args=(object,)) for object in (50, 60, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told and all(told)
