"""Fixtures of the tests of `promem.install`: an index, and an environment in which no other index is asked."""

import os
import pathlib
import shutil

import package_index
import pytest


@pytest.fixture
def own_environment(monkeypatch, tmp_path):
    """No setting of this machine's user counts, and nothing is written into the user's folders."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "PROMEM_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PROMEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def made_wheels(tmp_path_factory):
    return package_index.write_wheels(tmp_path_factory.mktemp("index") / "wheels")


@pytest.fixture
def wheels(made_wheels, tmp_path):
    """A folder with the three wheels of the Python package index."""
    return pathlib.Path(shutil.copytree(made_wheels, tmp_path / "wheels"))


@pytest.fixture
def index(wheels, monkeypatch, own_environment):
    """The package index that pip's settings name."""
    from promem.install import download

    made = package_index.Index(wheels)
    monkeypatch.setenv("PIP_INDEX_URL", made.address)
    monkeypatch.setattr(download, "RETRY_DELAYS", (0.01, 0.01, 0.01))
    yield made
    made.close()
