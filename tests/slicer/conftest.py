"""The packages under test, and a MRML scene with a Segment Editor in it where the environment has slicer-core."""

import importlib.util
import os
import pathlib
import signal
import sys

import numpy as np
import pytest

# A shell that starts this in the background lets it ignore Ctrl-C, and whatever it starts as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in (ROOT / "slicer-module" / "SegmentEditorProMem", ROOT / "slicer-module" / "python"):
    sys.path.insert(0, str(folder))


def needs(*modules):
    """Skips the calling module where an environment has not what it needs; with PROMEM_REQUIRE_ALL=1 that is a
    failure.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing and os.environ.get("PROMEM_REQUIRE_ALL") != "1":
        pytest.skip(f"this environment has no {', '.join(missing)}", allow_module_level=True)


@pytest.fixture
def world():
    """A scene with its logics and one Segment Editor, in which nothing is chosen."""
    import mrml_world

    world = mrml_world.World()
    yield world
    world.close()


@pytest.fixture
def oblique(world):
    """The world with an oblique volume of different voxels and its segmentation, both chosen in the editor."""
    from mrml_world import SHAPE, placed, rotation

    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    volume = world.add_volume(voxels, placed(rotation(10, -20, 30)))
    world.edit(volume, world.add_segmentation(volume))
    return world


@pytest.fixture(params=["logic", "effect"])
def scene(request, oblique, monkeypatch):
    """A Scene on the oblique volume, by both ways to the editor."""
    from mrml_world import editing_of

    return oblique.open(editing_of(oblique, request.param, monkeypatch))
