"""Segmenting from Python, without a window and without the effect."""

import os
import textwrap

import numpy as np
import pytest
from conftest import ROOT, needs

needs("slicer")

from fakes import ThresholdEngine  # noqa: E402
from mrml_world import placed, rotation  # noqa: E402
from SegmentEditorProMemLib import scripting  # noqa: E402
from SegmentEditorProMemLib.grid import Extent, Grid  # noqa: E402
from SegmentEditorProMemLib.options import BadOption, Options  # noqa: E402

SHAPE = (20, 30, 36)
OBJECTS = {"Segment_1": np.s_[4:16, 8:22, 6:24], "Segment_2": np.s_[2:10, 3:7, 26:34]}
IJK_TO_RAS = placed(rotation(10, -20, 30))


@pytest.fixture
def nodes(world):
    """A segmentation with two empty segments, and a volume with an object for each."""
    voxels = np.zeros(SHAPE, np.int16)
    for number, box in enumerate(OBJECTS.values()):
        voxels[box] = 100 * (number + 1)
    volume = world.add_volume(voxels, IJK_TO_RAS)
    segmentation = world.add_segmentation(volume)
    for name in OBJECTS:
        segmentation.GetSegmentation().AddEmptySegment(name, name, [0.8, 0.4, 0.2])
    return segmentation, volume


def paint(session, segment, slice_):
    box = Extent.of_slices(SHAPE, "k", slice_, slice_ + 1)
    session.scene.write(segment, box, whole(segment)[slice_ : slice_ + 1])


def whole(segment):
    mask = np.zeros(SHAPE, bool)
    mask[OBJECTS[segment]] = True
    return mask


def open_with(nodes, engine=None, **choices):
    return scripting.Session(*nodes, engine=engine or ThresholdEngine(), **choices)


def test_the_example_of_the_documentation_runs(nodes, monkeypatch, capsys):
    monkeypatch.setattr(scripting, "_make_engine", ThresholdEngine)
    code = textwrap.dedent(scripting.__doc__.partition("\n\n")[2].partition("\n\nIn:")[0])
    assert len(code.splitlines()) <= 5
    ras = Grid(SHAPE, IJK_TO_RAS).ras((12, 15, 10))
    code = code.replace("(12.0, -30.5, 88.0)", repr(ras))
    exec(code, {"segmentation_node": nodes[0], "volume_node": nodes[1]})
    assert capsys.readouterr().out.startswith("12 slices (5 to 16)")


def test_two_lines_of_python_segment_every_painted_segment(nodes):
    with open_with(nodes) as session:
        paint(session, "Segment_1", 10)
    engine = ThresholdEngine()
    reports = scripting.propagate(*nodes, engine=engine)
    assert list(reports) == ["Segment_1"] and reports["Segment_1"].found == list(range(4, 16))
    assert engine.state == "stopped"
    with open_with(nodes) as session:
        assert np.array_equal(session.scene.mask("Segment_1"), whole("Segment_1"))


def test_several_segments_are_propagated_together(nodes):
    with open_with(nodes) as session:
        paint(session, "Segment_1", 10)
        paint(session, "Segment_2", 5)
        reports = session.propagate()
        assert set(reports) == set(OBJECTS)
        for segment in OBJECTS:
            assert np.array_equal(session.scene.mask(segment), whole(segment))


def test_direction_and_range_limit_the_propagation(nodes):
    with open_with(nodes) as session:
        paint(session, "Segment_1", 10)
        assert session.propagate("Segment_1", "up").found == list(range(10, 16))
        assert session.propagate("Segment_1", "both", (8, 12)).found == list(range(8, 13))


def test_a_click_is_a_prompt_along_any_axis(nodes):
    with open_with(nodes) as session:
        session.click("Segment_1", session.scene.grid().ras((12, 15, 10)), axis="j")
        assert session.propagate("Segment_1").axis == "j"
        assert np.array_equal(session.scene.mask("Segment_1"), whole("Segment_1"))


def test_a_box_is_a_prompt(nodes):
    with open_with(nodes) as session:
        grid = session.scene.grid()
        session.box("Segment_1", grid.ras((6, 8, 10)), grid.ras((23, 21, 10)))
        assert session.propagate("Segment_1").prompted == (10,)


def test_options_reach_the_engine(nodes):
    engine = ThresholdEngine()
    with open_with(nodes, engine, options=Options(search="off", intensity="automatic")) as session:
        paint(session, "Segment_1", 10)
        session.propagate("Segment_1")
    assert engine.last("propagate")["memory"] == "sam2" and engine.last("open_scan")["window"] is None


def test_masking_of_the_sessions_editor_applies(nodes):
    with open_with(nodes) as session:
        session.editor.SetSourceVolumeIntensityMask(True)
        session.editor.SetSourceVolumeIntensityMaskRange(150, 250)
        session.click("Segment_1", session.scene.grid().ras((12, 15, 10)))
        session.propagate("Segment_1")
        assert not session.scene.mask("Segment_1").any()


def test_errors_are_raised_and_the_session_stays_usable(nodes):
    with open_with(nodes) as session:
        with pytest.raises(RuntimeError, match="nothing to start from"):
            session.propagate("Segment_1")
        with pytest.raises(BadOption, match="direction"):
            session.propagate("Segment_1", "sideways")
        with pytest.raises(session.scene.Error, match="no segment 'Spleen'"):
            session.click("Spleen", session.scene.grid().ras((12, 15, 10)))
        paint(session, "Segment_1", 10)
        assert session.propagate("Segment_1").found
    with pytest.raises(BadOption, match="two nodes"):
        scripting.propagate(None, None)


def test_a_call_times_out(nodes):
    engine = ThresholdEngine()
    engine.poll = lambda: None
    with open_with(nodes, engine, seconds=0.05) as session:
        paint(session, "Segment_1", 10)
        with pytest.raises(TimeoutError):
            session.propagate("Segment_1")


def test_a_session_leaves_nothing_behind_but_segments_and_prompts(nodes):
    scene = nodes[0].GetScene()
    before = scene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode")
    with open_with(nodes) as session:
        paint(session, "Segment_1", 10)
        session.propagate("Segment_1")
        assert session.editor.GetHideFromEditors() and not session.editor.GetSaveWithScene()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode") == before
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


@pytest.mark.skipif(
    not (ROOT / "target" / "release" / "libpromem.so").exists() and os.environ.get("PROMEM_REQUIRE_ALL") != "1",
    reason="libpromem is not built",
)
def test_two_lines_of_python_segment_an_object_with_the_real_engine(world):
    from promem_phantom import ellipsoid

    voxels, truth = ellipsoid((12, 96, 96))
    volume = world.add_volume(voxels, placed(np.eye(3)))
    volume.CreateDefaultDisplayNodes()
    volume.GetScalarVolumeDisplayNode().AutoWindowLevelOff()
    volume.GetScalarVolumeDisplayNode().SetWindowLevel(400, 40)
    segmentation = world.add_segmentation(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("Liver", "Liver", [1, 0, 0])
    with open_with((segmentation, volume)) as session:
        session.scene.write(segment, Extent.of_slices(truth.shape, "k", 6, 7), truth[6:7])
    report = scripting.propagate(segmentation, volume, segment, options=Options(threads=1))
    with open_with((segmentation, volume)) as session:
        found = session.scene.mask(segment)
    assert report.prompted == (6,) and 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9
