"""Files that nibabel and SimpleITK write lie where these tools have them, and results lie on the scan in both."""

import json
import subprocess

import numpy as np
import pytest
from conftest import PROGRAM

nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")

GRIDS = 200
FORMATS = [".nii.gz", ".nrrd", ".mha", ".mhd", ".mgz"]
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# An origin beyond what single precision holds to a thousandth of a voxel would test the format, not the reader.
ORIGIN = 200.0


def random_grid(random):
    """Size, and a map to RAS: oblique, permuted and flipped axes."""
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    axes = rotation if random.random() < 0.7 else np.eye(3)[random.permutation(3)] * random.choice([-1, 1], 3)
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = axes * random.uniform(0.4, 4.0, 3)
    ijk_to_ras[:3, 3] = random.uniform(-ORIGIN, ORIGIN, 3)
    return random.permutation([5, 7, 9]) + random.integers(0, 3, 3), ijk_to_ras


def write(path, voxels, ijk_to_ras):
    """Writes voxels [i, j, k]; returns the map that the tool itself reads back."""
    if path.name.endswith((".mgz", ".nii.gz")):
        kind = nibabel.MGHImage if path.name.endswith(".mgz") else nibabel.Nifti1Image
        nibabel.save(kind(voxels, ijk_to_ras), path)
        return nibabel.load(path).affine
    image = sitk.GetImageFromArray(voxels.transpose())
    lps = TO_LPS @ ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return itk_map(sitk.ReadImage(str(path)))


def itk_map(image):
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return TO_LPS @ lps


def run(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments), "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def apart(found, expected, size):
    """The largest distance between the same corner of two grids, in voxels of the second."""
    corners = np.array(np.meshgrid(*[[0, n - 1] for n in size], [1])).reshape(4, -1)
    return np.abs(np.linalg.inv(expected) @ np.asarray(found) @ corners - corners).max()


@pytest.mark.parametrize("ending", FORMATS)
def test_random_grids_lie_where_the_writing_tool_has_them(tmp_path, ending):
    random = np.random.default_rng(FORMATS.index(ending))
    path = tmp_path / f"scan{ending}"
    for _ in range(GRIDS // len(FORMATS)):
        size, ijk_to_ras = random_grid(random)
        voxels = random.integers(-500, 500, size).astype(np.int16)
        expected = write(path, voxels, ijk_to_ras)
        told = run("info", path)
        assert told["size"] == size.tolist()
        assert apart(told["ijk_to_ras"], expected, size) < 1e-3
        values = told["values"]
        assert (values["min"], values["max"]) == (voxels.min(), voxels.max())
        assert values["mean"] == pytest.approx(voxels.mean(), abs=1e-3)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".mhd"])
def test_results_lie_on_the_scan_in_itk(tmp_path, toy, ending):
    random = np.random.default_rng(7)
    size, ijk_to_ras = random_grid(random)
    scan, mask, output = tmp_path / "scan.nrrd", tmp_path / "mask.mha", tmp_path / f"result{ending}"
    expected = write(scan, random.integers(0, 100, size).astype(np.int16), ijk_to_ras)
    drawn = np.zeros(size, np.uint8)
    drawn[1:4, 2:4, 3] = 1
    write(mask, drawn, ijk_to_ras)
    prompt = ["--prompt-mask", mask, "--axis", "k", "--range", "3,3", "--threads", "1"]
    run("segment", "--image", scan, "--model", toy, *prompt, "-o", output)
    image = sitk.ReadImage(str(output))
    assert apart(itk_map(image), expected, size) < 1e-3
    assert (sitk.GetArrayFromImage(image).transpose() == drawn).all()


def test_a_result_of_a_tilted_gantry_is_opened_by_itk(tmp_path, toy):
    sheared = np.array([[-0.5, 0, 0, 10], [0, -0.68, 0, 20], [0, -0.17, 2.5, 30], [0, 0, 0, 1.0]])
    scan, output = tmp_path / "scan.nii.gz", tmp_path / "result.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.arange(24 * 20 * 6, dtype=np.int16).reshape(24, 20, 6), sheared), scan)
    options = ["--point", "12,10,3", "--range", "3,3", "--no-stop", "--threads", "1"]
    subprocess.run(
        [PROGRAM, "segment", "--image", scan, "--model", toy, *options, "-o", output], check=False, capture_output=True
    )
    assert sitk.ReadImage(str(output)).GetSize() == (24, 20, 6)
    assert np.allclose(nibabel.load(output).affine, sheared, atol=1e-5)
