"""What the installer asks: what would be used here."""

import json
import os

import pytest
from worker_harness import worker


def test_the_check_prints_what_would_be_used():
    with worker("--check") as made:
        told, _ = made.communicate()
    assert made.returncode == 0
    found = json.loads(told)
    assert found["libtorch_version"] == "2.11.0" and os.path.isfile(os.path.join(found["libtorch"], "libtorch_cpu.so"))
    assert os.path.isfile(found["library"]) and os.path.isfile(found["model"])
    assert found["devices"][0] == "cpu" and found["version"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROMEM_LIBTORCH", "/nowhere/libtorch"),
        ("PROMEM_LIBRARY", "/nowhere/libpromem.so"),
        ("PROMEM_MODEL", "/nowhere/model.pt"),
    ],
)
def test_the_check_prints_one_line_for_what_is_missing(name, value):
    with worker("--check", environment={name: value}) as made:
        told, error = made.communicate()
    assert made.returncode == 1 and told == b""
    assert error.count(b"\n") == 1 and value in error.decode()
