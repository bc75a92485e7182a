"""The controller on a scene of arrays and an engine of thresholds."""

import numpy as np
import pytest
from fakes import ArrayScene, ThresholdEngine
from promem.worker import EngineError
from SegmentEditorProMemLib.controller import Controller
from SegmentEditorProMemLib.grid import AXES, Extent, OutsideScan
from SegmentEditorProMemLib.options import BadOption, Options

SHAPE = (20, 24, 30)


def scan(*objects):
    """Boxes of brightness 100, 200, ...; each (k, j, i) range."""
    voxels = np.zeros(SHAPE, np.int16)
    for n, box in enumerate(objects):
        voxels[tuple(slice(*bounds) for bounds in box)] = (n + 1) * 100
    return voxels


LIVER = ((4, 16), (5, 15), (6, 20))
KIDNEY = ((2, 10), (16, 22), (3, 9))


@pytest.fixture
def liver():
    scene = ArrayScene(scan(LIVER))
    engine = ThresholdEngine()
    return Controller(engine, scene), scene, engine


def paint(scene, segment, slice_, axis="k"):
    number = 1 + list(scene.masks).index(segment)
    index = tuple(slice_ if AXES[axis] == a else slice(None) for a in range(3))
    scene.masks[segment][index] = scene.array[index] == number * 100


def test_a_painted_slice_becomes_the_whole_object(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    controller.propagate()
    controller.wait(5)
    assert np.array_equal(scene.masks["liver"], scene.array == 100)
    assert controller.state == "ready" and controller.message.startswith("12 slices (5 to 16)")
    report = controller.report("liver")
    assert report.found == list(range(4, 16)) and report.prompted == (10,) and report.doubtful == []


@pytest.mark.parametrize("axis", ["i", "j", "k"])
def test_propagation_follows_the_axis_of_the_painted_slice(axis):
    scene = ArrayScene(scan(LIVER))
    controller = Controller(ThresholdEngine(), scene)
    paint(scene, "liver", 10, axis)
    controller.propagate()
    controller.wait(5)
    assert controller.report("liver").axis == axis
    assert np.array_equal(scene.masks["liver"], scene.array == 100)


def test_the_scan_is_sent_once_and_whole(liver):
    controller, scene, engine = liver
    for slice_ in (8, 12):
        paint(scene, "liver", slice_)
        controller.propagate()
        controller.wait(5)
    assert engine.count("open_scan") == 1 and engine.count("load_model") == 1
    assert np.array_equal(engine.voxels, scene.array)
    scene.stamp = 2
    controller.propagate()
    controller.wait(5)
    assert engine.count("open_scan") == 2


def test_a_click_shows_a_preview_and_leaves_the_segment_alone(liver):
    controller, scene, _ = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    controller.wait(5)
    assert np.array_equal(scene.previews["liver", 9], scene.array[9] == 100)
    assert not scene.masks["liver"].any() and not scene.undo_states


def test_clicks_alone_are_propagated(liver):
    controller, scene, _ = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    controller.propagate()
    controller.wait(5)
    assert np.array_equal(scene.masks["liver"], scene.array == 100)
    assert not scene.previews


def test_a_click_outside_the_scan_is_rejected_with_its_position(liver):
    controller, scene, _ = liver
    with pytest.raises(OutsideScan, match="outside the scan of 30 x 24 x 20 voxels"):
        controller.click("liver", scene.grid().ras((10, 8, 99)), "k")
    assert controller.scene.points("liver") == []


def test_background_points_alone_ask_for_a_foreground_point(liver):
    controller, scene, engine = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k", positive=False)
    controller.wait(5)
    assert (
        controller.message == "This slice has only background points. Add a foreground point."
        and engine.count("predict") == 0
    )


def test_a_box_is_a_prompt_of_its_slice(liver):
    controller, scene, engine = liver
    grid = scene.grid()
    controller.box("liver", grid.ras((5, 4, 9)), grid.ras((40, 15, 9)), "k")
    controller.wait(5)
    told = engine.last("set_prompts")["slices"]
    assert told == [{"slice": 9, "box": [[5, 4, 9], [29, 15, 9]]}]


def test_an_empty_segment_is_rejected_by_name(liver):
    controller, _, _ = liver
    controller.propagate()
    with pytest.raises(RuntimeError, match="Liver: nothing to start from"):
        controller.wait(5)
    assert controller.state == "ready"


def test_only_one_undo_state_is_saved_and_it_brings_the_segment_back(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    before = scene.masks["liver"].copy()
    controller.propagate()
    controller.wait(5)
    assert len(scene.undo_states) == 1 and not scene.surfaces_are_behind
    scene.undo()
    assert np.array_equal(scene.masks["liver"], before)


def test_propagation_after_an_undo_gives_the_same_result(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    for _ in range(2):
        controller.propagate()
        controller.wait(5)
        assert np.array_equal(scene.masks["liver"], scene.array == 100)
        scene.undo()


def test_a_corrected_slice_is_kept_and_becomes_a_prompt(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    controller.propagate()
    controller.wait(5)
    scene.masks["liver"][12, 5:8] = False
    corrected = scene.masks["liver"][12].copy()
    controller.propagate()
    controller.wait(5)
    assert [entry["slice"] for entry in engine.last("set_prompts")["slices"]] == [10, 12]
    assert np.array_equal(scene.masks["liver"][12], corrected)
    assert controller.report("liver").prompted == (10, 12)


def test_a_slice_that_the_user_empties_stays_empty(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    controller.propagate()
    controller.wait(5)
    scene.masks["liver"][13] = False
    controller.propagate()
    controller.wait(5)
    assert not scene.masks["liver"][13].any()
    assert scene.masks["liver"][14].any()


def test_a_slice_edited_while_the_engine_works_is_left_to_the_user(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    controller.propagate()
    while (1, 11) not in engine.computed:
        controller.tick()
    mine = np.zeros(SHAPE[1:], bool)
    mine[:3, :3] = True
    scene.masks["liver"][5] = mine
    controller.wait(5)
    assert np.array_equal(scene.masks["liver"][5], mine)
    assert np.array_equal(scene.masks["liver"][6], scene.array[6] == 100)


def test_masking_does_not_count_as_a_correction(liver):
    controller, scene, engine = liver
    scene.allowed[:, :8] = False
    paint(scene, "liver", 10)
    for _ in range(2):
        controller.propagate()
        controller.wait(5)
    assert not scene.masks["liver"][9, :8].any() and scene.masks["liver"][9].any()
    assert [entry["slice"] for entry in engine.last("set_prompts")["slices"]] == [10]


@pytest.mark.parametrize(("direction", "slices"), [("up", range(10, 16)), ("down", range(4, 11))])
def test_a_direction_leaves_the_other_side_alone(liver, direction, slices):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    controller.propagate(direction=direction)
    controller.wait(5)
    assert Extent.of(scene.masks["liver"]).k == (slices[0], slices[-1] + 1)


def test_an_undone_direction_stays_undone_when_the_other_direction_is_propagated(liver):
    controller, scene, engine = liver
    engine.tells_again = True
    paint(scene, "liver", 10)
    controller.propagate(direction="up")
    controller.wait(5)
    scene.undo()
    controller.propagate(direction="down")
    controller.wait(5)
    assert Extent.of(scene.masks["liver"]).k == (4, 11)
    assert controller.report("liver").found == list(range(4, 11))


def test_a_range_limits_the_propagation_and_a_wrong_range_is_an_error(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    controller.propagate(range=(8, 12))
    controller.wait(5)
    assert Extent.of(scene.masks["liver"]).k == (8, 13)
    controller.propagate(range=(8, 20))
    with pytest.raises(RuntimeError, match="range: slices 9 to 21, expected slices between 1 and 20"):
        controller.wait(5)


def test_a_new_propagation_removes_results_that_it_does_not_find_again(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    controller.propagate()
    controller.wait(5)
    scene.array[14:16] = 0  # the scan changes: the object ends earlier now
    scene.stamp = 2
    controller.propagate()
    controller.wait(5)
    assert Extent.of(scene.masks["liver"]).k == (4, 14)


def test_cancel_keeps_the_finished_slices_or_restores_the_segment(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    before = scene.masks["liver"].copy()
    for keep in (False, True):
        controller.propagate()
        seen = len(engine.computed)
        while len(engine.computed) < seen + 4:
            controller.tick()
        controller.cancel(keep=keep)
        controller.wait(5)
        assert controller.state == "ready" and "Cancelled" in controller.message
        assert not scene.surfaces_are_behind
        if keep:
            assert 3 <= scene.masks["liver"].any((1, 2)).sum() < 12
        else:
            assert np.array_equal(scene.masks["liver"], before)
    controller.propagate()
    controller.wait(5)
    assert np.array_equal(scene.masks["liver"], scene.array == 100)


def test_an_engine_crash_leaves_the_scene_intact_and_the_next_propagation_works(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    engine.dies_at = 4
    controller.propagate()
    with pytest.raises(RuntimeError, match="killed .SIGKILL.*kept"):
        controller.wait(5)
    assert 3 <= scene.masks["liver"].any((1, 2)).sum() < 12
    controller.propagate()
    controller.wait(5)
    assert np.array_equal(scene.masks["liver"], scene.array == 100)
    assert engine.count("open_scan") == 2 and engine.count("load_model") == 2


def test_an_unreadable_model_is_an_error_and_another_model_works(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    controller.options = Options(model="broken.pt")
    engine.refuses["load_model"] = ("BadModel", "broken.pt: unexpected end of file")
    controller.propagate()
    with pytest.raises(RuntimeError, match="broken.pt: unexpected end of file"):
        controller.wait(5)
    controller.options = Options()
    controller.propagate()
    controller.wait(5)
    assert scene.masks["liver"].any((1, 2)).sum() == 12


def test_all_segments_are_propagated_together_and_others_stay():
    scene = ArrayScene(scan(LIVER, KIDNEY), ("liver", "kidney", "empty"))
    engine = ThresholdEngine()
    controller = Controller(engine, scene)
    paint(scene, "liver", 10)
    paint(scene, "kidney", 6)
    controller.propagate(["liver", "kidney", "empty"])
    controller.wait(5)
    assert np.array_equal(scene.masks["liver"], scene.array == 100)
    assert np.array_equal(scene.masks["kidney"], scene.array == 200)
    assert not scene.masks["empty"].any()
    assert engine.count("open_scan") == 1 and len(scene.undo_states) == 1
    assert "Liver: 12 slices" in controller.message and "Kidney: 8 slices" in controller.message


def test_prompts_of_a_segment_outside_a_propagation_are_removed_from_the_engine():
    scene = ArrayScene(scan(LIVER, KIDNEY), ("liver", "kidney"))
    engine = ThresholdEngine()
    controller = Controller(engine, scene)
    paint(scene, "liver", 10)
    paint(scene, "kidney", 6)
    controller.propagate(["liver"])
    controller.wait(5)
    controller.propagate(["kidney"])
    controller.wait(5)
    assert list(engine.prompts) == [2]


def test_a_segment_deleted_during_a_propagation_does_not_stop_the_others():
    scene = ArrayScene(scan(LIVER, KIDNEY), ("liver", "kidney"))
    engine = ThresholdEngine()
    controller = Controller(engine, scene)
    paint(scene, "liver", 10)
    paint(scene, "kidney", 6)
    controller.propagate(["liver", "kidney"])
    while len(engine.computed) < 3:
        controller.tick()
    del scene.masks["liver"]
    controller.wait(5)
    assert np.array_equal(scene.masks["kidney"], scene.array == 200)
    assert controller.report("liver") is None and controller.report("kidney") is not None


def test_a_preview_that_is_under_way_does_not_appear_after_the_effect_was_left(liver):
    controller, scene, engine = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    while engine.count("predict") == 0:
        controller.tick()
    controller.deactivate()
    controller.wait(5)
    assert not scene.previews


def test_the_painted_slice_sets_the_axis_after_prompts_are_cleared(liver):
    controller, scene, _ = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "j")
    controller.wait(5)
    controller.clear_prompts("liver")
    paint(scene, "liver", 10)
    controller.propagate()
    controller.wait(5)
    assert controller.report("liver").axis == "k"


def test_missing_shared_memory_is_an_error_and_the_next_propagation_works(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    whole = engine.scan_memory

    def full(shape, dtype):
        engine.scan_memory = whole
        raise EngineError("IoError", "/dev/shm: 1 MB are free, 29 MB are needed")

    engine.scan_memory = full
    controller.propagate()
    with pytest.raises(RuntimeError, match="29 MB are needed"):
        controller.wait(5)
    controller.propagate()
    controller.wait(5)
    assert scene.masks["liver"].any((1, 2)).sum() == 12


def test_undoing_a_point_updates_the_preview(liver):
    controller, scene, engine = liver
    controller.click("liver", scene.grid().ras((10, 8, 9)), "k")
    controller.wait(5)
    controller.click("liver", scene.grid().ras((2, 2, 9)), "k", positive=False)
    controller.wait(5)
    assert len(engine.last("set_prompts")["slices"][0]["points"]) == 2
    controller.undo_prompt("liver")
    controller.wait(5)
    assert len(engine.last("set_prompts")["slices"][0]["points"]) == 1
    controller.undo_prompt("liver")
    controller.wait(5)
    assert not scene.previews


def test_points_correct_a_painted_slice_and_later_painting_replaces_them(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    controller.click("liver", scene.grid().ras((10, 8, 10)), "k")
    controller.propagate()
    controller.wait(5)
    entry = engine.last("set_prompts")["slices"][0]
    assert entry["points"] == [[10, 8, 10, True]] and entry["mask"]
    scene.masks["liver"][10, 0, 0] = True
    controller.propagate()
    controller.wait(5)
    entry = engine.last("set_prompts")["slices"][0]
    assert entry["mask"] and not entry.get("points")


def test_the_engine_gets_the_displayed_window_unless_intensity_is_automatic(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    controller.propagate()
    controller.wait(5)
    assert engine.last("open_scan")["window"] == (400.0, 200.0)
    controller.options = Options(intensity="automatic")
    controller.propagate()
    controller.wait(5)
    assert engine.last("set_window")["window"] is None


def test_a_second_propagation_at_the_same_time_is_rejected(liver):
    controller, scene, _ = liver
    paint(scene, "liver", 10)
    controller.propagate()
    with pytest.raises(BadOption, match="running"):
        controller.propagate()
    controller.wait(5)


def test_progress_counts_slices_and_ends_with_the_propagation(liver):
    controller, scene, _ = liver
    seen = []
    controller.on_change = lambda: seen.append(controller.progress)
    paint(scene, "liver", 10)
    controller.propagate()
    controller.wait(5)
    told = [progress for progress in seen if progress is not None]
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert told[0].segment == "liver" and told[-1].seconds_left is not None
    assert controller.progress is None


def test_close_releases_everything(liver):
    controller, scene, engine = liver
    paint(scene, "liver", 10)
    controller.propagate()
    controller.tick()
    controller.close()
    assert engine.state == "stopped" and scene.closed and controller.state == "off"
    assert all(memory.closed for memory in engine.memories.values())
