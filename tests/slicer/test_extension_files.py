"""The extension's files: what CMake packs, what the Extensions Index reads, icons, and the hidden module, without
Slicer.
"""

import ast
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import types
import zlib

import extensions_index
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "slicer-module"
MODULE = EXTENSION / "SegmentEditorProMem"
STAND_IN = pathlib.Path(__file__).resolve().parent / "slicer_stand_in"
LIBRARY = ROOT / "target" / "release" / "libpromem.so"
MODULES = pathlib.Path("lib/Slicer-5.10/qt-scripted-modules")

with_cmake = pytest.mark.skipif(
    shutil.which("cmake") is None and os.environ.get("PROMEM_REQUIRE_ALL") != "1", reason="cmake is not installed"
)


def configure(source, build, *definitions, environment=None):
    command = ["cmake", "-S", source, "-B", build, f"-DSlicer_DIR={STAND_IN}", "-Wdev", "-Werror=dev", *definitions]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def sources():
    """Every Python file of the extension, by its place in the folder of modules."""
    files = {path.relative_to(MODULE) for path in MODULE.rglob("*.py")}
    return files | {path.relative_to(EXTENSION / "python") for path in (EXTENSION / "python" / "promem").rglob("*.py")}


# CMake.


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The build folder and the installed package, moved."""
    folder = tmp_path_factory.mktemp("extension")
    told = configure(ROOT, folder / "build", "-DPROMEM_ENGINE=ON", f"-DPROMEM_PREBUILT={LIBRARY}")
    assert told.returncode == 0, told.stderr
    subprocess.run(["cmake", "--build", folder / "build"], check=True, capture_output=True)
    subprocess.run(
        ["cmake", "--install", folder / "build", "--prefix", folder / "package"], check=True, capture_output=True
    )
    (folder / "package").rename(folder / "moved")
    return folder / "build", folder / "moved"


@with_cmake
@pytest.mark.parametrize("place", [0, 1], ids=["build folder", "package"])
def test_the_package_has_every_file_of_the_module_and_of_promem(built, place):
    folder = built[place] / MODULES
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    others = {
        "promem/libpromem.so",
        "promem/py.typed",
        "promem/LICENSE",
        "promem/NOTICE",
        "Resources/Icons/SegmentEditorProMem.png",
        "SegmentEditorProMemLib/SegmentEditorEffect.png",
    }
    others |= {f"SegmentEditorProMemLib/{path.name}" for path in (MODULE / "SegmentEditorProMemLib").glob("*.html")}
    if (ROOT / "models" / "promem-compact.safetensors").exists():
        others.add("promem/promem-compact.safetensors")
    assert files == sources() | {pathlib.Path(name) for name in others}


@with_cmake
def test_the_packages_library_does_not_look_on_the_build_machine(built):
    library = built[1] / MODULES / "promem" / "libpromem.so"
    told = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    assert "[$ORIGIN:$ORIGIN/../lib]" in told
    assert library.stat().st_mode & 0o111


@with_cmake
def test_the_package_computes_where_slicer_has_its_folder_on_the_path(built, tmp_path):
    from promem import _library, _libtorch

    code = """
import promem, promem.worker, promem.install, SegmentEditorProMemLib.controller
print(promem.version(), promem._library.find(), promem.Model(device="cpu").info.path)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMEM_")}
    environment.update(
        PYTHONPATH=str(built[1] / MODULES),
        PROMEM_LIBTORCH=str(_libtorch.find(_library.checkout())),
        OMP_NUM_THREADS="1",
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    package = built[1] / MODULES / "promem"
    assert told.stdout == f"0.1.0 {package}/libpromem.so {package}/promem-compact.safetensors\n", told.stderr


@with_cmake
def test_the_description_for_the_extensions_manager_is_complete(built):
    description = (built[0] / "description.txt").read_text()
    for line in ("CATEGORY Segmentation", "DEPENDS NA"):
        assert line in description.splitlines()
    for file in re.findall(r"raw\.githubusercontent\.com/[^/]+/[^/]+/main/(\S+)", description):
        assert file.startswith("docs/pictures/") or (ROOT / file).is_file(), file
    assert "DESCRIPTION Segment Editor effect" in description


@with_cmake
def test_the_self_test_is_registered(built):
    told = subprocess.run(["ctest", "-N"], cwd=built[0], check=True, capture_output=True, text=True).stdout
    assert "py_SegmentEditorProMem" in told


@with_cmake
def test_nothing_is_built_by_default_and_the_package_is_complete_without_an_engine(tmp_path):
    """The machines that build the Extensions Index have neither cargo nor libtorch."""
    (tmp_path / "bin").mkdir()
    for name in ("cargo", "rustc"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "LIBTORCH": "/nowhere"}
    told = configure(ROOT, tmp_path / "build", environment={**os.environ, **path})
    assert told.returncode == 0 and "without libpromem" in told.stdout, told.stderr
    subprocess.run(["cmake", "--build", tmp_path / "build"], check=True, capture_output=True)
    install = ["cmake", "--install", tmp_path / "build", "--prefix", tmp_path / "package"]
    subprocess.run(install, check=True, capture_output=True)
    files = {path.relative_to(tmp_path / "package" / MODULES) for path in (tmp_path / "package").rglob("*.py")}
    assert files == sources()
    assert not list((tmp_path / "package").rglob("*.so"))
    size = sum(path.stat().st_size for path in (tmp_path / "package").rglob("*") if path.is_file())
    assert size < extensions_index.MAX_BYTES


@with_cmake
def test_the_extension_is_configured_from_the_repositorys_root_only(tmp_path):
    told = configure(EXTENSION, tmp_path / "build")
    assert told.returncode != 0 and "Configure the repository's root" in told.stderr


@with_cmake
def test_a_library_that_is_not_there_is_named(tmp_path):
    told = configure(ROOT, tmp_path / "build", "-DPROMEM_ENGINE=ON", "-DPROMEM_PREBUILT=/nowhere/libpromem.so")
    assert told.returncode != 0 and "`/nowhere/libpromem.so` does not exist" in told.stderr


# The Extensions Index.


def test_the_extensions_index_accepts_the_repository():
    assert extensions_index.problems(ROOT, EXTENSION / "ProMem.json") == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("CMakeLists.txt", 'set(EXTENSION_ICONURL "https', 'set(EXTENSION_ICONURL "${FILES}https', "EXTENSION_ICONURL"),
        ("CMakeLists.txt", "set(EXTENSION_SCREENSHOTURLS", "set(SCREENSHOTS", "EXTENSION_SCREENSHOTURLS"),
        ("CMakeLists.txt", "project(ProMem", "project(Other", "project is Other"),
        ("CMakeLists.txt", "slicer-report.png", "nowhere.png", "nowhere.png is not in the repository"),
        ("ProMem.json", '"tier": 1', '"tier": 2', "tier: 2"),
        ("ProMem.json", '"scm_revision"', '"revision"', "revision is not a key"),
        ("ProMem.json", '"category": "Segmentation"', '"category": "Miracles"', "category Miracles"),
        ("ProMem.json", "SlicerProMem.git", "ProMem.git", "has no Slicer in its name"),
    ],
)
def test_the_check_of_the_index_finds_what_the_index_would_refuse(tmp_path, file, old, new, problem):
    for name in ("CMakeLists.txt", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "slicer-module"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(EXTENSION / "ProMem.json", tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    found = extensions_index.problems(tmp_path, tmp_path / "ProMem.json")
    assert len(found) == 1 and problem in found[0]


def test_the_documentation_names_the_topic_that_the_index_wants():
    assert "`3d-slicer-extension`" in (ROOT / "docs" / "slicer.md").read_text()


# Pictures.


def pixels_of(path):
    """Width, height and the pixels of a PNG file with eight bits of red, green, blue and alpha and no filter."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, []
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", content, at + 8 + size) == (zlib.crc32(kind + body),)
        chunks.append((kind, body))
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[0][1][:10])
    assert (depth, colour) == (8, 6)
    rows = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    stride = 1 + 4 * width
    assert len(rows) == stride * height
    return width, height, [rows[row * stride + 1 : (row + 1) * stride] for row in range(height)]


@pytest.mark.parametrize(
    ("name", "size"),
    [("Resources/Icons/SegmentEditorProMem.png", 128), ("SegmentEditorProMemLib/SegmentEditorEffect.png", 256)],
)
def test_the_icons_have_their_size_and_a_clear_background(name, size):
    width, height, rows = pixels_of(MODULE / name)
    assert (width, height) == (size, size)
    assert rows[0][3] == rows[-1][-1] == 0, "the corners can be seen through"
    middle = rows[size // 2][4 * (size // 2) : 4 * (size // 2) + 4]
    assert middle[3] == 255


def test_the_icons_are_what_the_script_draws(tmp_path, monkeypatch, capsys):
    import importlib.util

    spec = importlib.util.spec_from_file_location("icons", ROOT / "scripts" / "icons.py")
    icons = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(icons)
    monkeypatch.setattr(icons, "MODULE", tmp_path)
    icons.main()
    drawn = sorted(tmp_path.rglob("*.png"))
    assert len(drawn) == 2
    for path in drawn:
        new, kept = pixels_of(path), pixels_of(MODULE / path.relative_to(tmp_path))
        assert new[:2] == kept[:2]
        # Another numpy may round another way.
        worst = max(abs(a - b) for one, other in zip(new[2], kept[2]) for a, b in zip(one, other))
        assert worst <= 2, f"the worst pixel differs by {worst}: run scripts/icons.py"


# Python.


@pytest.mark.parametrize("path", sorted(EXTENSION.rglob("*.py")), ids=lambda path: str(path.relative_to(EXTENSION)))
def test_every_file_is_python_3_9(path):
    ast.parse(path.read_text(), str(path), feature_version=(3, 9))


class Signals:
    """slicer.app: what is connected to it."""

    def __init__(self):
        self.connected = []

    def connect(self, signal, slot):
        self.connected.append((signal, slot))


@pytest.fixture
def slicer_stub(monkeypatch):
    """Slicer as far as the hidden module asks for it when it is loaded."""
    slicer = types.ModuleType("slicer")
    slicer.app, slicer.modules = Signals(), types.SimpleNamespace()
    base = types.ModuleType("slicer.ScriptedLoadableModule")

    class ScriptedLoadableModule:
        def __init__(self, parent):
            self.parent = parent

    import unittest

    base.ScriptedLoadableModule = ScriptedLoadableModule
    base.ScriptedLoadableModuleTest = type("ScriptedLoadableModuleTest", (unittest.TestCase,), {})
    for name, module in {"slicer": slicer, "slicer.ScriptedLoadableModule": base}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "SegmentEditorProMem", raising=False)
    yield slicer
    sys.modules.pop("SegmentEditorProMem", None)


@pytest.fixture
def module(slicer_stub):
    import SegmentEditorProMem

    return SegmentEditorProMem


def test_the_module_is_hidden_and_waits_for_the_end_of_the_start(module, slicer_stub):
    parent = types.SimpleNamespace()
    made = module.SegmentEditorProMem(parent)
    assert parent.hidden is True and parent.categories == ["Segmentation"] and parent.dependencies == ["Segmentations"]
    assert "Not a medical device" in parent.helpText
    assert slicer_stub.app.connected == [
        ("startupCompleted()", made.registerEditorEffect),
        ("startupCompleted()", made.registerSampleData),
        ("startupCompleted()", made.hidePromptsOfLoadedScenes),
    ]


def test_the_module_registers_the_effect_from_its_file(module, monkeypatch):
    seen = []

    class Effect:
        def __init__(self, parent):
            assert parent is None

        def setPythonSource(self, path):
            seen.append(path)

        def self(self):
            return types.SimpleNamespace(register=lambda: seen.append("registered"))

    effects = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    effects.qSlicerSegmentEditorScriptedEffect = Effect
    monkeypatch.setitem(sys.modules, effects.__name__, effects)
    module.SegmentEditorProMem(types.SimpleNamespace()).registerEditorEffect()
    assert seen == [str(MODULE / "SegmentEditorProMemLib" / "SegmentEditorEffect.py"), "registered"]
    assert pathlib.Path(seen[0]).is_file()


def test_the_module_offers_a_sample_scan_with_a_checksum(module, monkeypatch):
    seen = []
    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **named: seen.append(named)
    )
    monkeypatch.setitem(sys.modules, "SampleData", sample_data)
    module.SegmentEditorProMem(types.SimpleNamespace()).registerSampleData()
    (scan,) = seen
    algorithm, digest = scan["checksums"].split(":")
    assert algorithm == "SHA256" and re.fullmatch("[0-9a-f]{64}", digest)
    assert scan["uris"] == f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{digest}"
    assert pathlib.Path(scan["thumbnailFileName"]).is_file()
    allowed = {"category", "sampleName", "uris", "fileNames", "nodeNames", "checksums", "thumbnailFileName"}
    assert set(scan) == allowed


def test_the_module_makes_the_package_importable_in_a_checkout(module, monkeypatch):
    path = [entry for entry in sys.path if not (pathlib.Path(entry or ".") / "promem").is_dir()]
    monkeypatch.setattr(sys, "path", path)
    monkeypatch.delitem(sys.modules, "promem", raising=False)
    module.make_package_importable()
    assert path[-1] == str(EXTENSION / "python")
    module.make_package_importable()
    assert path.count(str(EXTENSION / "python")) == 1
