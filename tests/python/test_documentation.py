"""The example and the code in docs/python.md run; links lead somewhere; the command line's page has every option."""

import re
import shutil
import subprocess
import sys

import numpy as np
import promem
import pytest
from conftest import PROGRAM, ROOT

MANUAL = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", MANUAL, re.S)
PAGES = [
    ROOT / "README.md",
    ROOT / "models" / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def without_code(text):
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.S | re.M)


def anchors(text):
    """Of the headings, as GitHub and GitLab make them."""
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words).strip().lower().replace(" ", "-")
        found.add(anchor if anchor not in found else f"{anchor}-1")
    return found


def broken_links(page, text):
    """Targets of a page's relative links that are not there."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        leads_somewhere = file.exists()
        if leads_somewhere and anchor:
            leads_somewhere = anchor in anchors(text if file == page else file.read_text())
        if not leads_somewhere:
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files_and_headings(page):
    assert broken_links(page, page.read_text()) == []


def test_planted_broken_links_are_found():
    page = ROOT / "README.md"
    text = (
        "# One\n[a](#one) [b](#two) [c](docs/nowhere.md) [d](docs/python.md#errors) [e](docs/python.md#no) `[f](g)`\n"
    )
    assert broken_links(page, text) == ["#two", "docs/nowhere.md", "docs/python.md#no"]


def missing_sources(text):
    """Rust files, given below the root or below rust/, that are not there."""
    named = re.findall(r"`((?:\w+/)+[\w{},]+\.rs)`", text)
    files = []
    for name in named:
        before, _, rest = name.partition("{")
        choices, _, after = rest.partition("}")
        files += [before + choice + after for choice in choices.split(",")] if rest else [name]
    return [file for file in files if not (ROOT / file).exists() and not (ROOT / "rust" / file).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_source_files_that_a_page_names_exist(page):
    assert missing_sources(page.read_text()) == []


def test_planted_missing_sources_are_found():
    text = "`volume/{nifti,nowhere}.rs`, `rust/lib.rs`, `tests/golden.rs`, `session/nothing.rs`"
    assert missing_sources(text) == ["volume/nowhere.rs", "session/nothing.rs"]


@pytest.mark.parametrize("command", ["segment", "evaluate", "compare", "info", "convert", "demo"])
def test_the_page_of_the_command_line_has_the_options_of_each_command(command):
    told = subprocess.run([PROGRAM, command, "--help"], check=True, capture_output=True, text=True).stdout
    options = set(re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)", told, re.M))
    assert {"--help", "--json", "--quiet"} <= options
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert sorted(option for option in options if not re.search(rf"{option}\b(?!-)", page)) == []


def test_the_page_of_the_command_line_has_no_other_options():
    page = re.sub(r"## Environment.*", "", (ROOT / "docs" / "command-line.md").read_text(), flags=re.S)
    known = {"--version"}
    for command in ("segment", "evaluate", "compare", "info", "convert", "demo"):
        told = subprocess.run([PROGRAM, command, "--help"], check=True, capture_output=True, text=True).stdout
        known |= set(re.findall(r"--[a-z-]+", told))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page)) <= known


def test_the_code_of_the_manual_runs(scan, toy, slice_mask, monkeypatch, capsys):
    monkeypatch.setenv("PROMEM_MODEL", str(toy))
    assert len(BLOCKS) == 7
    label_map = np.zeros(scan[0].shape, np.uint8)
    label_map[slice_mask[0]] = 5 * slice_mask[1]
    names = {"voxels": scan[0], "ijk_to_ras": scan[1], "label_map": label_map}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["labels"].shape == scan[0].shape
    told = capsys.readouterr().out
    assert "PROMEM_INVALID_ARGUMENT point 9999,0,0" in told
    assert f"{{5: [{slice_mask[0]}]}}\n(60, 50, 18)\n" in told
    names["session"].close()


def test_the_engine_of_the_manual_works_beside_another_torch(scan, toy, tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    (block,) = [block for block in BLOCKS if "Engine()" in block]
    (tmp_path / "empty.c").write_text("int nothing;\n")
    other = tmp_path / "libtorch_cpu.so"
    command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libtorch_cpu.so", tmp_path / "empty.c", "-o", other]
    subprocess.run(command, check=True)
    np.savez(tmp_path / "scan.npz", voxels=scan[0], ijk_to_ras=scan[1])
    # The same points without an engine.
    with promem.Model(toy) as model, promem.Session(model, *scan) as session:
        session.add_point(1, (60, 50, 20))
        session.propagate(range=(16, 23))
        expected = session.labels()
    assert expected.any()
    program = f"""
import ctypes, numpy as np
ctypes.CDLL({str(other)!r})
import promem
try:
    promem.version()
except promem.LibraryNotLoaded as error:
    print("promem.worker.Engine" in str(error))
given = np.load({str(tmp_path / "scan.npz")!r})
voxels, ijk_to_ras = given["voxels"], given["ijk_to_ras"]
{block}
np.save({str(tmp_path / "labels.npy")!r}, labels_of_engine)
"""
    environment = {
        "PYTHONPATH": ":".join(sys.path),
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
        "PROMEM_MODEL": str(toy),
    }
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=120)
    assert (told.returncode, told.stdout) == (0, "True\n"), told.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), expected)


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


@pytest.mark.parametrize("package", ["nibabel", "SimpleITK"])
def test_the_example_segments_images(package, scan, toy, slice_mask, tmp_path):
    module = pytest.importorskip(package)
    voxels, ijk_to_ras = scan
    number, mask = slice_mask
    masks = np.zeros(voxels.shape, np.uint8)
    masks[number] = 4 * mask
    for name, array in (("scan", voxels), ("mask", masks)):
        if package == "nibabel":
            module.Nifti1Image(array.T, ijk_to_ras).to_filename(tmp_path / f"{name}.nii.gz")
        else:
            module.WriteImage(module.GetImageFromArray(array), str(tmp_path / f"{name}.nii.gz"))
    program = (ROOT / "examples" / "python" / "segment.py").read_text()
    if package == "SimpleITK":
        program = program.replace("import nibabel", "raise ImportError")
    (tmp_path / "segment.py").write_text(program)
    command = [sys.executable, tmp_path / "segment.py", tmp_path / "scan.nii.gz", tmp_path / "labels.nii.gz"]
    command += ["--mask", tmp_path / "mask.nii.gz", "--model", toy, "--range", f"{number - 1},{number + 1}"]
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    if package == "nibabel":
        found = module.load(tmp_path / "labels.nii.gz")
        np.testing.assert_array_equal(found.affine, module.load(tmp_path / "scan.nii.gz").affine)
        labels = np.asanyarray(found.dataobj).T
    else:
        labels = module.GetArrayFromImage(module.ReadImage(str(tmp_path / "labels.nii.gz")))
    np.testing.assert_array_equal(labels[number], 4 * mask)
