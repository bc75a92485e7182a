"""What can go wrong on the viewer's page: wrong choices, wrong files, a page that is loaded again, and somebody who
has no business there.
"""

import pytest
from conftest import needs

needs("trame_slicer", "playwright", "nibabel", "PIL")

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
from viewer_page import SIZE, Page, lacking  # noqa: E402
from viewer_scans import MIDDLE, ball, write_nrrd  # noqa: E402

pytest_plugins = ["viewer_fixtures"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"the viewer's tests lack {lacking()}")

K, J, I = MIDDLE  # noqa: E741


def test_an_invalid_option_is_shown_and_reverted(page):
    page.choose("search", "custom")
    page.page.wait_for_selector("#windows")
    page.choose("windows", "one")
    page.until(lambda: page.failed and "one" in page.status, "the page says what is wrong with the windows")
    page.until(lambda: page.page.input_value("#windows") == "1, 6", "the windows are what they were")
    page.choose("model", "/nowhere/a.safetensors")
    page.until_says("/nowhere/a.safetensors does not exist.")
    page.choose("search", "paper")
    page.until(lambda: not page.failed, "a right choice is no failure")


def test_propagation_without_a_prompt_is_an_error(page):
    page.press("propagate")
    page.until_says("nothing to start from. Paint it on one slice, click into it, or draw a box.")
    assert page.failed
    page.click(page.at()(I, J))
    page.until_previewed(1)


def colours(path):
    dtype = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7), dtype), np.eye(4)), path)


def cut(path):
    nibabel.save(nibabel.Nifti1Image(np.arange(6000, dtype=np.int16).reshape(10, 20, 30), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WRONG = {
    "empty.nii.gz": (lambda path: path.write_bytes(b""), "empty.nii.gz cannot be read"),
    "letter.nii.gz": (lambda path: path.write_text("Dear colleague,"), "letter.nii.gz cannot be read"),
    "letter.nii": (lambda path: path.write_text("Dear colleague, " * 50), "letter.nii cannot be read"),
    "letter.nrrd": (lambda path: path.write_text("Dear colleague,"), "letter.nrrd cannot be read"),
    "letter.mha": (lambda path: path.write_text("Dear colleague,"), "letter.mha cannot be read"),
    "cut.nii.gz": (cut, "cut.nii.gz cannot be read: it is damaged or incomplete."),
    "cut.nii": (cut, "cut.nii cannot be read"),
    "headless.nrrd": (
        lambda path: path.write_text("NRRD0004\ntype: int16\ndimension: 3\nsizes: 9 9 9\nencoding: raw\n\n"),
        "headless.nrrd cannot be read",
    ),
    "colours.nii.gz": (colours, "colours.nii.gz has 3 values in each voxel, expected one."),
    "series": (lambda path: path.mkdir(), "is a folder, expected a file that ends with .nii, .nii.gz"),
    "letter.txt": (lambda path: path.write_text("Dear colleague,"), "expected a file that ends with .nii, .nii.gz"),
    "nowhere.nii.gz": (lambda path: None, "nowhere.nii.gz does not exist."),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_unreadable_file_is_rejected_with_one_message(page, folder, name):
    make, said = WRONG[name]
    make(folder / name)
    scan, segments = page.page.inner_text("#scan"), page.segments
    page.open(folder / name)
    page.until(lambda: page.failed and said in page.page.inner_text(".card-said"), f"the card says {said!r}")
    assert page.status == page.page.inner_text(".card-said")
    # What was open stays so.
    assert (page.page.inner_text("#scan"), page.segments) == (scan, segments)
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector(".v-overlay__scrim", state="detached")
    page.click(page.at()(I, J))
    page.until_previewed(1)


def test_a_scan_is_uploaded(page, folder):
    # Larger than one message may be.
    voxels = np.random.default_rng(4).integers(0, 30000, (160, 100, 150)).astype(np.int16)
    voxels[:16, :40, :48] = ball()[0]
    page.press("open")
    page.page.set_input_files("#upload", write_nrrd(folder / "sent.nrrd", voxels))
    page.until_opened("sent")
    page.turn(K)
    page.click(page.at()(I, J))
    page.until_previewed(1)
    # What is no scan is refused here, too, and another one can be sent.
    (folder / "note.nii.gz").write_text("Dear colleague,")
    page.press("open")
    page.page.set_input_files("#upload", folder / "note.nii.gz")
    page.until_says("note.nii.gz cannot be read")
    page.page.set_input_files("#upload", folder / "ball.nrrd")
    page.until_opened("ball")


def test_a_reloaded_page_shows_the_same_state(page):
    page.click(page.at()(I, J))
    page.until_previewed(1)
    before = page.segments, page.number(), page.status
    assert "secret" not in page.page.url
    page.page.reload()
    page.page.wait_for_selector("#status")
    page.until(lambda: (page.segments, page.number(), page.status) == before, "the page is as it was")
    page.until(lambda: all(page.is_drawn(view) for view in ("Red", "Green", "Yellow", "ThreeD")), "all views are drawn")
    page.click(page.at()(I + 5, J + 3))
    page.until_previewed(2)


def test_an_address_without_the_token_is_denied(page):
    bare = page.process.address.split("?")[0]
    for address in (bare, f"{bare}?secret=guessed"):
        context = page.page.context.browser.new_context(viewport=SIZE)
        stranger = context.new_page()
        stranger.goto(address)
        stranger.wait_for_selector("text=Open the full address that the viewer printed")
        assert not stranger.is_visible("#status")
        context.close()
    # The page of the one who has it goes on.
    page.click(page.at()(I, J))
    page.until_previewed(1)


def test_a_second_tab_shows_the_same(page):
    second = Page(page.process, page.page.context.browser.new_page(viewport=SIZE), page.folder)
    second.load()
    page.click(page.at()(I, J))
    page.until_previewed(1)
    second.until_previewed(1)
    assert second.segments == page.segments
    second.page.close()
    assert second.problems == []
    page.click(page.at()(I + 3, J))
    page.until_previewed(2)
