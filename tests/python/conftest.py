"""A generated scan, a toy model with pseudo-random weights, and this package unless another is installed."""

import importlib.util
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

# A shell that starts this in the background lets it ignore Ctrl-C, and whatever it starts as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target" / "release" / "promem"

sys.path.insert(0, str(pathlib.Path(__file__).parent))
if importlib.util.find_spec("promem") is None:
    sys.path.insert(0, str(ROOT / "slicer-module" / "python"))

import nifti  # noqa: E402
import promem  # noqa: E402

# Weights that learned nothing find no end: a few slices around the prompt, all of them.
AROUND = {"range": (16, 23), "never_stop": True}


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run([PROGRAM, "demo", folder, "--force"], check=True, capture_output=True)
    promem.set_thread_count(1)
    return folder


@pytest.fixture(scope="session")
def toy(demo):
    return demo / "toy.safetensors"


@pytest.fixture(scope="session")
def model(toy):
    return promem.Model(toy, device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def scan(demo):
    """Voxels [k, j, i] and the map to patient space."""
    return nifti.read(demo / "scan.nii.gz")


@pytest.fixture(scope="session")
def slice_mask(demo):
    """A slice's number and the object's mask there."""
    mask, _ = nifti.read(demo / "mask.nii.gz")
    (slices,) = np.nonzero(mask.any(axis=(1, 2)))
    return int(slices[len(slices) // 2]), mask[slices[len(slices) // 2]] == 1


@pytest.fixture
def session(model, scan, slice_mask):
    """A session with object 1's mask on its slice."""
    voxels, ijk_to_ras = scan
    with promem.Session(model, voxels, ijk_to_ras) as made:
        made.add_mask(1, *slice_mask)
        yield made


@pytest.fixture(scope="session")
def small():
    """Different sizes along all axes, whole numbers that every scalar type has."""
    k, j, i = np.meshgrid(np.arange(9), np.arange(20), np.arange(26), indexing="ij")
    return ((3 * i + 5 * j + 7 * k) % 97 + 20 * ((i - 13) ** 2 + (j - 9) ** 2 < 30)).astype(np.int8)


@pytest.fixture
def segment(model):
    """Segments an array around a box on its middle slice, across k."""

    def run(voxels, **options):
        with promem.Session(model, voxels, spacing_ijk=(1, 1.5, 2), window=(120, 60), **options) as session:
            middle = voxels.shape[0] // 2
            session.add_box(1, (6, 4, middle), (19, 14, middle))
            session.propagate(range=(middle - 1, middle + 1), never_stop=True)
            return session.labels()

    return run
