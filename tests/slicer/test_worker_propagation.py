"""Propagations through the worker find what the binding finds, tell of it as they go, and make room for others."""

import time

import numpy as np
import promem
from promem.worker import unpack
from worker_harness import AROUND, BOX, IJK_TO_RAS, MASK, MODEL, POINTS, VOXELS

pytest_plugins = ["worker_fixtures"]


ACROSS_J = {"slice": 30, "points": [[36, 30, 7, True]], "box": [[18, 30, 2], [54, 30, 12]]}


def test_a_propagation_finds_what_the_binding_finds(opened, found_directly):
    made, results = opened
    made.set_both_prompts()
    preview = made.ask("predict", object=1, slice=7)
    np.testing.assert_array_equal(unpack(preview["mask"]), found_directly["preview"][0])
    assert preview["score"] == found_directly["preview"][1]

    # Whoever looks only at what is told to have changed has seen everything at the end.
    seen = np.zeros_like(results.array)

    def look(event):
        made.events.append(event)
        if event["event"] == "changed":
            box = tuple(slice(*event["extent"][n : n + 2]) for n in (0, 2, 4))
            assert all(0 <= part.start < part.stop <= size for part, size in zip(box, seen.shape))
            seen[box] = results.array[box]

    made.engine.on_event = look
    try:
        reply = made.ask("propagate", object=None, memory="search", windows=[], beams=None, **AROUND)
    finally:
        made.engine.on_event = made.events.append
    np.testing.assert_array_equal(results.array, found_directly["labels"])
    np.testing.assert_array_equal(seen, found_directly["labels"])
    assert set(np.unique(seen)) == {0, 1, 2}
    for number, scores in enumerate(found_directly["scores"], 1):
        told = made.ask("scores", object=number)["scores"]
        np.testing.assert_array_equal(np.array(told, float), scores)
        assert told[0] is None

    progress = made.received("progress")
    assert [told["done"] for told in progress] == list(range(1, len(progress) + 1))
    assert progress[-1]["done"] == progress[-1]["expected"] == reply["done"] == 10
    assert {(told["object"], told["slice"]) for told in progress} == {(n, at) for n in (1, 2) for at in range(5, 10)}
    scores = found_directly["scores"]
    for told in progress:
        score = scores[told["object"] - 1][told["slice"]]
        assert (told["found"], told["score"]) == (True, score) or (not told["found"] and np.isnan(score))
    assert reply["cancelled"] is False and 0 < reply["seconds"] < 120


def test_a_propagation_across_another_axis_finds_what_the_binding_finds(opened, direct):
    made, results = opened
    made.ask("set_prompts", object=1, slices=[POINTS])
    made.ask("set_axis", axis="j")
    assert made.answer("set_prompts", object=1, slices=[POINTS]).kind == "InvalidArgument"
    assert made.ask("set_prompts", object=3, slices=[ACROSS_J]) == {"steps": 2}
    made.ask("propagate", object=3, range=[29, 31])
    with promem.Session(direct, VOXELS, IJK_TO_RAS, axis="j") as session:
        session.add_box(3, *ACROSS_J["box"])
        session.add_point(3, ACROSS_J["points"][0][:3])
        session.propagate(range=(29, 31))
        np.testing.assert_array_equal(results.array, session.labels())
    assert (results.array == 3).any()


def test_each_slice_is_reported_when_it_is_finished(opened):
    made, results = opened
    made.ask("set_prompts", object=1, slices=[POINTS])
    when = []
    made.engine.on_event = lambda event: when.append(
        (event["event"], time.monotonic(), results.array.any(axis=(1, 2)).sum())
    )
    try:
        made.ask("propagate", **AROUND)
    finally:
        made.engine.on_event = made.events.append
    told = [(seconds, slices) for event, seconds, slices in when if event == "progress"]
    assert [slices for _, slices in told] == [1, 2, 3, 4, 5]
    assert told[-1][0] - told[0][0] > 0.01


def test_unchanged_prompts_are_not_computed_again(opened):
    made, _ = opened
    made.set_both_prompts()
    first = made.ask("propagate", **AROUND)["seconds"]
    other = {"slice": 7, "points": [[30, 30, 7, True]]}
    assert made.ask("set_prompts", object=1, slices=[{**POINTS, **BOX}]) == {"steps": 0}
    assert made.ask("set_prompts", object=2, slices=[MASK]) == {"steps": 0}
    again = made.ask("propagate", **AROUND)["seconds"]
    assert again < first / 4
    # A new point on another slice of one object: its former runs, and the other object, stay.
    assert made.ask("set_prompts", object=2, slices=[MASK, other]) == {"steps": 1}
    made.ask("propagate", **AROUND)
    assert made.ask("set_prompts", object=2, slices=[MASK]) == {"steps": 1}
    assert made.ask("propagate", **AROUND)["seconds"] < first / 4


def test_a_cancel_ends_a_propagation_and_keeps_what_is_done(opened, found_directly):
    made, results = opened
    made.set_both_prompts()
    walk = made.send("propagate", **AROUND)
    made.until(lambda: len(made.received("progress")) >= 3)
    assert made.ask("cancel") == {}
    made.until(lambda: walk)
    assert walk[0]["cancelled"] is True
    done = len(made.received("progress"))
    assert 3 <= done == walk[0]["done"] < 10 and results.array.any()
    assert made.ask("propagate", **AROUND)["cancelled"] is False
    np.testing.assert_array_equal(results.array, found_directly["labels"])


def test_a_cancel_without_a_job_does_nothing(opened):
    made, _ = opened
    assert made.ask("cancel") == {}
    made.ask("set_prompts", object=1, slices=[POINTS])
    assert made.ask("predict", object=1, slice=7)["score"] > 0


def test_read_requests_are_answered_during_a_propagation_and_others_rejected(opened):
    made, _ = opened
    made.ask("set_prompts", object=1, slices=[POINTS])
    walk = made.send("propagate", never_stop=True)
    made.until(lambda: made.received("progress"))
    refused = [
        made.send("predict", object=1, slice=7),
        made.send("set_prompts", object=1, slices=[POINTS]),
        made.send("propagate"),
        made.send("precompute"),
        made.send("reset"),
        made.send("set_axis", axis="j"),
        made.send("set_window"),
        made.send("load_model", **MODEL),
    ]
    scores, hello = made.send("scores", object=1), made.send("hello")
    wrong = made.send("predict", object=1)
    made.until(lambda: wrong)
    assert not walk
    assert [answers[0].kind for answers in refused] == ["Busy"] * len(refused)
    assert "predict: a propagation is running" in refused[0][0].message
    assert scores[0]["scores"][7] > 0 and hello[0]["pid"] == made.engine.pid
    assert wrong[0].kind == "InvalidArgument"
    made.ask("cancel")
    made.until(lambda: walk)
    assert walk[0]["cancelled"]


def test_closing_a_scan_ends_its_propagation(opened):
    made, results = opened
    made.ask("set_prompts", object=1, slices=[POINTS])
    walk = made.send("propagate", never_stop=True)
    made.until(lambda: made.received("progress"))
    closed, late = made.send("close_scan"), made.send("predict", object=1, slice=7)
    made.until(lambda: late)
    assert walk[0]["cancelled"] and closed == [{}]
    assert late[0].kind == "InvalidArgument" and "no scan is open" in late[0].message
    assert results.array.any()


def test_a_precomputation_yields_to_every_request(opened, found_directly):
    made, _ = opened
    made.set_both_prompts()
    order = []
    made.engine.send("precompute", done=lambda told: order.append(("ahead", told["cancelled"])))
    made.until(lambda: made.received("ahead"))
    made.engine.send("predict", object=1, slice=7, done=lambda told: order.append(("predict", told["score"])))
    made.until(lambda: len(order) == 2)
    assert order == [("ahead", True), ("predict", found_directly["preview"][1])]
    ahead = made.received("ahead")
    assert ahead[0]["done"] >= 1 and ahead[-1]["done"] < ahead[-1]["expected"]


def test_a_precomputation_ends_by_itself(opened):
    made, _ = opened
    assert made.ask("precompute")["cancelled"] is False
    made.ask("set_prompts", object=1, slices=[POINTS])
    told = made.ask("precompute")
    assert told["done"] == told["expected"] == 14 and not told["cancelled"]
    assert made.received("progress") == [] and made.received("changed") == []


def test_requests_waiting_for_a_precomputation_keep_their_order_and_can_be_cancelled(opened):
    made, _ = opened
    made.ask("set_prompts", object=1, slices=[POINTS])
    ahead = made.send("precompute")
    made.until(lambda: made.received("ahead"))
    walk, preview, end = made.send("propagate", **AROUND), made.send("predict", object=1, slice=7), made.send("cancel")
    made.until(lambda: preview and walk and ahead and end)
    assert ahead[0]["cancelled"] and walk[0]["cancelled"] and walk[0]["done"] == 0
    assert preview[0]["score"] > 0

    ahead = made.send("precompute")
    walk, preview = made.send("propagate", range=[7, 8]), made.send("predict", object=1, slice=7)
    made.until(lambda: walk and preview)
    assert walk[0]["cancelled"] is False and preview[0].kind == "Busy"
