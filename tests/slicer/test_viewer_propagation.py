"""Propagating on the viewer's page: within a range, one way, across other views, cancelled, and with an engine that
dies in mid-run.
"""

import os
import signal

import pytest
from conftest import needs

needs("trame_slicer", "playwright", "nibabel", "PIL")

import numpy as np  # noqa: E402
from viewer_page import lacking, until  # noqa: E402
from viewer_scans import MIDDLE, ball, column, write_nrrd  # noqa: E402

pytest_plugins = ["viewer_fixtures"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"the viewer's tests lack {lacking()}")

K, J, I = MIDDLE  # noqa: E741
# So many slices that a run can be stopped in its middle.
SLICES = 400


@pytest.fixture
def tall(page, folder):
    """The page with a scan of many slices, of which one is painted, and a run that goes to the last slice."""
    page.open(write_nrrd(folder / "tall.nrrd", column(SLICES)))
    page.until_opened("tall")
    page.choose("stop", "never")
    page.turn(SLICES // 2)
    page.paint(ball()[1][K])
    return page


def held(page, axis=0):
    """The slices on which the newest segment is."""
    found = page.labels()
    others = tuple(number for number in range(3) if number != axis)
    return set(np.flatnonzero((found == found.max()).any(axis=others)))


def engine(page):
    (child,) = until(page.process.children, "the engine runs")
    return int(child)


class Halted:
    """Begins a run and halts the engine when it has found some slices: however fast the computer, the run is in its
    middle.
    """

    def __init__(self, page):
        self.page, self.engine = page, engine(page)

    def __enter__(self):
        page = self.page
        page.press("propagate")
        page.until(lambda: page.page.is_visible("#progress") and float(page.value("#progress", "percent")) > 0, "begun")
        os.kill(self.engine, signal.SIGSTOP)
        assert page.running
        return self

    def __exit__(self, *_):
        os.kill(self.engine, signal.SIGCONT)


def stop(page, button):
    """Ends a run in its middle."""
    with Halted(page):
        page.press(button)
    page.until(lambda: not page.running, "the run ends")
    page.until_ready()


def test_up_goes_up_and_down_goes_down(page):
    page.choose("stop", "never")
    painted = page.paint(ball()[1][K])
    page.limit(K - 3, K + 4)
    page.run("up")
    assert not page.failed and held(page) <= set(range(K, K + 5)) and {K, K + 1} <= held(page)
    page.press("undo")
    page.until(lambda: page.voxels == painted, "it is undone")
    page.run("down")
    assert not page.failed and held(page) <= set(range(K - 3, K + 1)) and {K - 1, K} <= held(page)
    page.page.uncheck("#limited")


def test_a_box_in_another_view_is_propagated_across_its_slices(page):
    page.turn(J, "Green")
    page.use("box")
    at = page.at("Green")
    page.drag([at(I - 14, K - 5), at(I, K), at(I + 14, K + 5)])
    page.until(lambda: page.value("#marks", "box") == "true" and page.rests, "the box is previewed")
    assert page.status.startswith(f"Slice {J + 1}: predicted IoU")
    page.limit(J - 2, J + 3)
    # There is no slice 50 across, and the range says so.
    page.page.fill("#last", "50")
    page.page.press("#last", "Enter")
    page.until(lambda: page.number_in("#last") == 40, "the range ends at the last slice")
    page.limit(J - 2, J + 3)
    page.run()
    assert not page.failed, page.status
    assert held(page, axis=1) <= set(range(J - 2, J + 4)) and page.value("#strip", "axis") == "j"
    assert len(dict(page.bars())) == 40
    # Of another segment, which has its own slices, the range is another one.
    page.add()
    page.turn(K)
    page.use("point")
    # There is the box of the other one, which is not seen now and catches no click.
    page.click(page.at()(I, J))
    page.until_previewed(1)
    page.until(
        lambda: (page.number_in("#first"), page.number_in("#last")) == (1, 16), "the range is that of axial slices"
    )
    page.page.uncheck("#limited")


def test_a_cancelled_propagation_keeps_its_finished_slices(tall):
    painted = tall.voxels
    stop(tall, "keep")
    assert tall.status.startswith("Cancelled.") and not tall.failed
    found = len(held(tall))
    assert 1 < found < SLICES and tall.voxels > painted
    # It is gone on with, and one step of undo for each.
    tall.press("undo")
    tall.until(lambda: tall.voxels == painted, "the run is undone")


def test_a_discarded_propagation_leaves_nothing(tall):
    painted = tall.voxels
    stop(tall, "discard")
    assert tall.voxels == painted and held(tall) == {SLICES // 2} and not tall.failed


def test_an_engine_crash_is_shown_and_the_next_propagation_works(tall):
    with Halted(tall) as halted:
        os.kill(halted.engine, signal.SIGKILL)
    tall.until(lambda: tall.failed and not tall.running, "the page says that the engine died")
    assert "propagate again to continue" in tall.status
    tall.limit(SLICES // 2 - 5, SLICES // 2 + 5)
    tall.run()
    assert not tall.failed, tall.status
    assert engine(tall) != halted.engine and set(range(SLICES // 2 - 5, SLICES // 2 + 6)) <= held(tall)
