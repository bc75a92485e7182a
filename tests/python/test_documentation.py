"""The example and the code in docs/python.md run."""

import re
import subprocess
import sys

import numpy as np
import promem
from conftest import ROOT


def test_the_code_of_the_manual_runs(scan, toy, monkeypatch, capsys):
    monkeypatch.setenv("PROMEM_MODEL", str(toy))
    text = (ROOT / "docs" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 4
    names = {"voxels": scan[0]}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["labels"].shape == scan[0].shape
    assert "PROMEM_INVALID_ARGUMENT point 9999,0,0" in capsys.readouterr().out
    names["session"].close()


def test_the_readme_shows_what_exists():
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "slicer-module/python/README.md").read_text(), re.S)
    for name in re.findall(r"promem\.(\w+)", block):
        assert hasattr(promem, name)
    for name in re.findall(r"session\.(\w+)", block):
        assert hasattr(promem.Session, name)


def test_the_commands_that_get_libtorch_are_those_of_the_error_message():
    from promem import _libtorch

    for file in ("docs/python.md", "slicer-module/python/README.md"):
        assert _libtorch.INSTALL in (ROOT / file).read_text().replace(" \\\n   ", "")


def test_the_example_segments_arrays(scan, toy, slice_mask, session, tmp_path):
    voxels, ijk_to_ras = scan
    number, mask = slice_mask
    masks = np.zeros(voxels.shape, np.uint8)
    masks[number] = mask
    np.save(tmp_path / "scan.npy", voxels)
    np.save(tmp_path / "mask.npy", masks)
    command = [
        sys.executable,
        ROOT / "examples" / "python" / "segment.py",
        tmp_path / "scan.npy",
        tmp_path / "labels.npy",
    ]
    command += ["--mask", tmp_path / "mask.npy", "--model", toy, "--range", f"{number - 1},{number + 1}"]
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert f"slice {number}: 1/" in told
    labels = np.load(tmp_path / "labels.npy")
    np.testing.assert_array_equal(labels[number], mask)
