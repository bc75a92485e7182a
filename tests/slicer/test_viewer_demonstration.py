"""The viewer from its first page to the saved file, on a generated scan with the default model."""

import subprocess

import pytest
from conftest import needs

needs("trame_slicer", "playwright", "nibabel", "PIL")

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
from viewer_page import PROGRAM, lacking, viewing  # noqa: E402
from viewer_scans import dice, strokes  # noqa: E402

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"the viewer's tests lack {lacking()}")

# Of the demonstration: where its object is largest, and the object itself, as `promem demo` writes it.
MARKED = 22
SEGMENT = "Segment 1"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with viewing(tmp_path_factory.mktemp("viewer")) as page:
        yield page


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """The demonstration's object, [k, j, i], which the page never sees."""
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run([PROGRAM, "demo", folder, "--force", "--quiet"], check=True)
    return np.asanyarray(nibabel.load(folder / "mask.nii.gz").dataobj).T > 0


def fill(page, mask, millimetres=18, spacing=3.0):
    """Paints a mask [j, i] on the slice that the axial view shows."""
    at = page.at()
    page.use("paint")
    page.brush(millimetres)
    page.drag([at(*place) for place in strokes(mask, millimetres / spacing / 2)])
    page.until(lambda: page.voxels > 0.6 * mask.sum(), "the stroke is in the segment")


def labels_of(path):
    return np.asanyarray(nibabel.load(path).dataobj).T


def test_one_object_is_prompted_segmented_undone_and_saved(page, truth):
    # The first page offers a scan.
    assert page.page.is_visible("#open-card")
    page.picture("open")
    page.press("demonstration")
    page.until(lambda: page.segments == {SEGMENT: 0}, "the demonstration is open")
    page.until_opened("Demonstration")
    page.turn(MARKED)
    page.press("options")
    page.slide("#white", 170)
    page.slide("#black", 40)
    page.until(
        lambda: abs(page.number_in("#black") - 40) < 3 > abs(page.number_in("#white") - 170), "the window is set"
    )
    page.press("options")

    # A click is previewed, and changes nothing yet.
    at = page.at()
    middle = np.argwhere(truth[MARKED]).mean(axis=0)[::-1]
    began = page.click(at(*middle))
    print(f"\nfirst click to preview: {page.until_previewed(1) - began:.2f} s")
    assert page.status.startswith(f"Slice {MARKED + 1}: predicted IoU")
    began = page.click(at(middle[0] + 12, middle[1] + 9), control=True)
    print(f"second click to preview: {page.until_previewed(2) - began:.2f} s")
    assert page.segments == {SEGMENT: 0}
    page.press("clear")

    # It is painted, and found on the other slices; discarding goes back to what was painted.
    fill(page, truth[MARKED])
    painted = page.voxels
    page.run()
    found = page.voxels
    assert found > 5 * painted and "slices" in page.status and not page.failed
    kinds = dict(page.bars())
    assert kinds[MARKED] == "prompt" and sum(kind in ("good", "fair", "doubtful") for kind in kinds.values()) > 8
    page.turn(MARKED)
    page.picture("result")
    before = labels_of(page.save(".nii.gz"))
    assert np.count_nonzero(before) == found
    around = slice(MARKED - 3, MARKED + 4)
    assert dice(before[around] > 0, truth[around]) > 0.75

    # A bar of the strip goes to its slice.
    wrong = MARKED - 5
    assert kinds[wrong] in ("good", "fair", "doubtful")
    page.page.click(f"#strip .slot[data-slice='{wrong}']")
    page.until(lambda: page.number() == wrong, "the view goes to the bar's slice")

    # One step back for the propagation, and forth again.
    page.press("undo")
    page.until(lambda: page.voxels == painted, "the propagation is undone")
    page.press("redo")
    page.until(lambda: page.voxels == found, "the propagation is redone")

    # What is saved is what is seen, in the scan's own place.
    saved = page.save(".seg.nrrd")
    assert saved.name == "Demonstration-segmentation.seg.nrrd"
    assert read_with_slicer(saved) == {SEGMENT: found}
    image = nibabel.load(page.save(".nii.gz"))
    assert np.allclose(image.affine, [[-3, 0, 0, 168], [0, -3, 0, 144], [0, 0, 6, -96], [0, 0, 0, 1]])
    assert np.count_nonzero(image.dataobj) == found


def read_with_slicer(path):
    """Name -> voxels of each segment in a file."""
    import slicer

    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    from SegmentEditorProMemLib.labelmaps import array_of, labelmap_of

    found = {}
    for number in range(node.GetSegmentation().GetNumberOfSegments()):
        segment = node.GetSegmentation().GetNthSegment(number)
        held = array_of(labelmap_of(segment)) == segment.GetLabelValue()
        found[segment.GetName()] = int(np.count_nonzero(held))
    return found


def test_browser_and_terminal_print_no_errors(page):
    assert page.problems == []
    assert page.process.complaints() == []
