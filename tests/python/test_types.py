"""Type checkers know the package."""

import inspect
import os
import subprocess
import sys
import typing

import pytest
from conftest import ROOT
from promem import propagate_options
from promem.options import PropagateKeywords

PACKAGE = ROOT / "slicer-module" / "python" / "promem"

PROGRAM = """
import numpy as np
import promem

model = promem.Model()
with promem.Session(model, np.zeros((3, 3, 3)), spacing_ijk=(1, 1, 2)) as session:
    session.propagate(lambda step: step.done < 3, direction="up", range=(1, 2))
    with session.start_propagate(print, windows=[1, 6]) as job:
        reveal_type(job.wait().error)
    reveal_type(session)
    reveal_type(session.labels())
    reveal_type(session.mask(1))
    reveal_type(session.scores(1))
    reveal_type(session.axis)
    session.propagate(directon="up")
    session.propagate(direction="left")
    session.start_propagate(beams="two")
    session.add_point_mm(1, (1, 2, 3), space="MNI")
    promem.Session(model, np.zeros((3, 3, 3)), axis="z")
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What mypy says of the package, but for its installer, and of the program."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("types")
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "--exclude", "/install/"]
    environment = {**os.environ, "MYPYPATH": str(PACKAGE.parent)}
    run = subprocess.run([*command, PACKAGE, "program.py"], capture_output=True, text=True, cwd=folder, env=environment)
    assert "checked " in run.stdout, run
    return run.stdout.splitlines()


def test_the_package_is_typed_strictly(told):
    assert [line for line in told if ": error: " in line and not line.startswith("program.py:")] == []


def test_a_program_gets_types_of_results(told):
    revealed = [line.partition('"')[2].rstrip('"') for line in told if "Revealed type" in line]
    expected = ("PromemError | None", "Session", "16Bit", "numpy.bool", "float64", "Literal['i'] | Literal['j']")
    assert len(revealed) == len(expected), told
    for found, part in zip(revealed, expected):
        assert part in found


def test_wrong_keywords_of_a_program_are_found(told):
    errors = [line for line in told if ": error: " in line and line.startswith("program.py:")]
    expected = ('"directon"', "Literal['left']", '"beams"', "Literal['MNI']", "Literal['z']")
    assert len(errors) == len(expected), told
    for error, part in zip(errors, expected):
        assert part in error


def test_keywords_for_type_checkers_are_those_that_exist():
    parameters = inspect.signature(propagate_options).parameters
    assert list(PropagateKeywords.__annotations__) == list(parameters)
    for name, annotation in typing.get_type_hints(PropagateKeywords).items():
        assert annotation == typing.get_type_hints(propagate_options)[name], name
