"""Checks what the engine would use on this machine: the last step of the installer.

In: the environment. Out: the paths of libtorch, library and model, and the devices; all are loaded. Knows nothing of
their installation.
"""

from typing import Any

from .. import _library, _libtorch
from ..library import devices, libtorch_version, version
from ..model import Model


def check() -> dict[str, Any]:
    """Errors: PromemError, if something is missing or does not match."""
    with Model(device="cpu") as model:
        path = model.info.path
    return {
        "version": version(),
        "libtorch_version": libtorch_version(),
        "libtorch": str(_libtorch.find(_library.checkout())),
        "library": str(_library.find()),
        "model": path,
        "devices": devices(),
    }
