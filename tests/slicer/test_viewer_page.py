"""What can be done on the viewer's page, each for itself, on a small generated scan and with weights that have learned
nothing.
"""

import pytest
from conftest import needs

needs("trame_slicer", "playwright", "nibabel", "PIL")

import numpy as np  # noqa: E402
from viewer_page import lacking  # noqa: E402
from viewer_scans import MIDDLE, ball  # noqa: E402

pytest_plugins = ["viewer_fixtures"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"the viewer's tests lack {lacking()}")

K, J, I = MIDDLE  # noqa: E741


def test_points_are_previewed_and_undone(page):
    at = page.at()
    page.click(at(I, J), control=True)
    page.until_says("This slice has only background points.")
    page.press("exclude")
    page.click(at(I + 12, J))
    page.press("include")
    page.click(at(I - 5, J + 3))
    page.until_previewed(3)
    assert page.status.startswith(f"Slice {K + 1}: predicted IoU") and page.voxels == 0
    page.press("undo-point")
    page.until_says("This slice has only background points.")
    page.page.keyboard.press("x")
    page.until(lambda: page.value("#marks", "points") == "0", "all points are taken back")


def test_a_click_with_a_small_movement_is_one_point(page):
    number, (x, y) = page.number(), page.at()(I, J)
    page.drag([(x, y), (x + 2, y - 1), (x - 1, y + 1)])
    page.until_previewed(1)
    assert page.value("#marks", "box") == "false" and page.voxels == 0
    # The view has not gone anywhere.
    assert page.number() == number and np.allclose(page.at()(I, J), (x, y), atol=2)
    page.press("clear")
    page.use("box")
    page.drag([(x, y), (x + 2, y - 1)])
    page.use("point")
    assert page.value("#marks", "box") == "false"


def test_strokes_are_undone_and_redone_one_by_one(page):
    at = page.at()
    page.use("paint")
    page.brush(8)
    sizes = [0]
    for across, down in ((I - 9, J), (I, J - 6), (I + 9, J + 2)):
        page.drag([at(across, down), at(across + 2, down)])
        page.until(lambda: page.voxels > sizes[-1], "the stroke is in the segment")
        sizes.append(page.voxels)
    page.use("erase")
    page.drag([at(I - 9, J), at(I - 7, J)])
    page.until(lambda: page.voxels < sizes[-1], "the eraser takes away")
    sizes.append(page.voxels)
    for button, expected in (("undo", sizes[-2::-1]), ("redo", sizes[1:])):
        for size in expected:
            page.press(button)
            page.until(lambda size=size: page.voxels == size, f"{button} comes to {size} voxels")
    assert page.voxels == sizes[-1] and page.page.is_disabled("#redo")


def test_text_being_typed_stays_while_the_page_changes(page):
    name = page.page.locator(".segment.chosen .name")
    name.fill("Sple")
    at = page.at()
    page.move(at(I, J))
    page.move(at(I + 5, J))
    assert name.input_value() == "Sple"
    name.press("e")
    name.press("n")
    name.press("Enter")
    page.until(lambda: "Spleen" in page.segments, "the segment has its name")


def test_segments_are_named_coloured_hidden_and_deleted(page):
    count = len(page.segments)
    chosen = page.page.locator(".segment.chosen")
    chosen.locator(".name").fill("Left kidney")
    chosen.locator(".name").press("Enter")
    page.until(lambda: "Left kidney" in page.segments, "the segment has its name")
    color = "(element, value) => { element.value = value; element.dispatchEvent(new Event('change')); }"
    chosen.locator("input[type=color]").evaluate(color, "#ff8000")
    page.until(lambda: "rgb(255, 128, 0)" in chosen.locator(".swatch").get_attribute("style"), "the segment is orange")
    chosen.locator("button[title=Hide]").click()
    page.until(lambda: chosen.locator("button[title=Show]").is_visible(), "the segment is hidden")
    chosen.locator("button[title=Delete]").click()
    page.until(lambda: len(page.segments) == count - 1, "the segment is deleted")
    page.press("undo")
    page.until(lambda: "Left kidney" in page.segments, "it is back")


def test_all_segments_with_prompts_are_propagated_together(page, folder):
    page.open(folder / "ball.nrrd")
    page.until(lambda: page.segments == {"Segment 1": 0}, "the scan is opened anew")
    page.until_opened("ball")
    for _ in range(2):
        page.add()
    for number, half in ((0, slice(0, J)), (2, slice(J, None))):
        page.page.click(f".segment >> nth={number}")
        page.turn(K)
        mask = np.zeros_like(ball()[1][K])
        mask[half] = ball()[1][K][half]
        page.paint(mask)
    page.page.check("#everything")
    page.limit(K, K + 3)
    page.run()
    assert "Segment 1: " in page.status and "Segment 3: " in page.status and not page.failed
    held = page.labels()
    # Where both are found the better score has it, and weights that learned nothing may give one of them everything.
    assert {1, 3} <= set(held[K].ravel()) and held[K + 1].any() and 2 not in held
    page.page.uncheck("#everything")
    page.page.uncheck("#limited")
