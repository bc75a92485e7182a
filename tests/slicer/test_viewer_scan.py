"""The viewer on a scan of a person: painted on one slice, corrected on another, undone and saved."""

import pytest
from conftest import needs

needs("trame_slicer", "playwright", "nibabel", "PIL")

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
from viewer_page import lacking, viewing  # noqa: E402
from viewer_scans import as_seen, dice, folder_of_scans, strokes  # noqa: E402

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"the viewer's tests lack {lacking()}")

KIDNEY = 3


@pytest.fixture(scope="module")
def case():
    folder = folder_of_scans()
    if folder is None:
        pytest.skip("there is no folder with real scans (set PROMEM_DATA)")
    return folder / "mr_chaos_t2"


@pytest.fixture(scope="module")
def page(tmp_path_factory, case):
    with viewing(tmp_path_factory.mktemp("viewer"), case / "image_1.nii.gz") as page:
        yield page


def paint(page, mask, millimetres):
    at = page.at()
    page.use("paint")
    page.brush(millimetres)
    before = page.voxels
    page.drag([at(*place) for place in strokes(mask, millimetres / 1.25 / 2)])
    page.until(lambda: page.voxels != before, "the stroke is in the segment")


def test_a_kidney_is_clicked_painted_cancelled_corrected_and_found(page, case):
    kidney, affine = as_seen(case / "label_1.nii.gz")
    kidney = kidney == KIDNEY
    slices = np.flatnonzero(kidney.any(axis=(1, 2)))
    middle, other = int(slices[len(slices) // 2]), int(slices[2])
    page.until_ready()
    page.turn(middle)
    # A click is previewed. It is taken back, as it takes the neighbour for the kidney's sake: a brush says more.
    began = page.click(page.at()(*np.argwhere(kidney[middle]).mean(axis=0)[::-1]))
    print(f"\nclick to preview: {page.until_previewed(1) - began:.2f} s")
    assert page.voxels == 0
    page.press("clear")
    paint(page, kidney[middle], 9)
    painted = page.voxels

    # Stopped as soon as something is there, and thrown away.
    page.press("propagate")
    page.until(lambda: page.running and page.voxels != painted, "slices are found")
    page.press("discard")
    page.until(lambda: not page.running, "the run ends")
    assert page.voxels == painted
    page.run()
    assert not page.failed
    once = saved(page, affine)
    assert dice(once[middle], kidney[middle]) > 0.8 and dice(once, kidney) > 0.5

    # What is painted on another slice is kept, and the slices around are made anew.
    page.turn(other)
    paint(page, kidney[other], 5)
    corrected = saved(page, affine)
    page.run()
    twice = saved(page, affine)
    page.picture("scan", into_documentation=False)
    assert np.array_equal(twice[other], corrected[other]) and np.array_equal(twice[middle], once[middle])
    page.press("undo")
    page.until(lambda: page.voxels == np.count_nonzero(corrected), "the second propagation is undone")
    page.press("redo")
    page.until(lambda: page.voxels == np.count_nonzero(twice), "it is redone")
    assert page.problems == [] and page.process.complaints() == []


def saved(page, affine):
    """The segment, [k, j, i], as the browser gets it; it must lie where the scan does."""
    image = nibabel.load(page.save(".nii.gz"))
    assert np.allclose(image.affine, affine, atol=1e-3)
    return np.asanyarray(image.dataobj).T > 0
