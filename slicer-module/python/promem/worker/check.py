"""What the engine would use on this machine: the installer's last step.

In: the environment. Out: where libtorch, the library and the model lie, and which devices there are, all of them loaded and asked. Knows
nothing of how they came here.
"""

from typing import Any

from .. import _library, _libtorch
from ..library import devices, libtorch_version, version
from ..model import Model


def check() -> dict[str, Any]:
    """Errors: PromemError, where something is missing or does not fit."""
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
