"""A page of a viewer for a whole module, on a small generated scan and with weights that have learned nothing."""

import subprocess

import pytest
from viewer_page import PROGRAM, viewing
from viewer_scans import MIDDLE, ball, write_nrrd


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the scan ball.nrrd and the weights demo/toy.safetensors."""
    folder = tmp_path_factory.mktemp("viewer")
    write_nrrd(folder / "ball.nrrd", ball()[0])
    subprocess.run([PROGRAM, "demo", folder / "demo", "--force", "--quiet"], check=True)
    return folder


@pytest.fixture(scope="module")
def only_page(folder):
    with viewing(folder, folder / "ball.nrrd", "--model", folder / "demo" / "toy.safetensors") as page:
        page.until_ready()
        yield page


@pytest.fixture
def page(only_page):
    """The page with a new segment, the point tool and the middle slice. Afterwards nothing must have complained."""
    page = only_page
    page.add()
    page.use("point")
    page.turn(MIDDLE[0])
    yield page
    problems, page.problems[:] = list(page.problems), []
    assert problems == []
    assert page.process.complaints() == []
