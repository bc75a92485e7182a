"""How the viewer starts and ends: arguments, address, what is left."""

import socket
import subprocess
import sys

import pytest
from conftest import needs

needs("trame_slicer", "playwright", "nibabel")

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
from viewer_page import VIEWER, Process, lacking, until, viewing  # noqa: E402
from viewer_scans import ball, write_nrrd  # noqa: E402

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"the viewer's tests lack {lacking()}")


def test_an_existing_segmentation_is_continued(tmp_path):
    voxels, inside = ball()
    scan = write_nrrd(tmp_path / "ball.nrrd", voxels)
    affine = np.array([[-2.0, 0, 0, 40], [0, -2.5, 0, 50], [0, 0, 5, -30], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(inside.T.astype(np.uint8), affine)
    nibabel.save(image, tmp_path / "inside.nii.gz")
    with viewing(tmp_path, scan, "--segmentation", tmp_path / "inside.nii.gz") as page:
        page.until(lambda: list(page.segments.values()) == [inside.sum()], "the segment is there")
        saved = nibabel.load(page.save(".nii.gz"))
        assert np.allclose(saved.affine, affine)
        assert np.array_equal(np.asanyarray(saved.dataobj).T > 0, inside)
        assert page.problems == [] and page.process.complaints() == []


def test_the_viewer_listens_locally_and_leaves_nothing_behind(tmp_path):
    process = Process(tmp_path, write_nrrd(tmp_path / "ball.nrrd", ball()[0]))
    try:
        port = int(process.address.split(":")[2].split("/")[0])
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        # Another address of this computer is not listened on.
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=10)
        (engine,) = until(process.children, "the engine starts")
    finally:
        code = process.stop()
    assert code == 0 and process.complaints() == []
    until(lambda: not alive(engine), "the engine ends", 20)


def alive(pid):
    return subprocess.run(["kill", "-0", pid], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--segmentation", "a.nii.gz"], "--segmentation: expected the scan that it belongs to"),
        (["--port", "99999"], "--port: 99999, expected 0 to 65535"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, said):
    ended = subprocess.run([sys.executable, VIEWER, *arguments], capture_output=True, text=True)
    assert ended.returncode == 2 and said in ended.stderr
