"""Segment a whole 3D CT or MR scan from prompts on a few slices: libpromem for Python.

    model = promem.Model()
    with promem.Session(model, voxels, spacing_ijk=(0.7, 0.7, 2.5)) as session:
        session.add_point(1, (120, 88, 40))
        session.propagate()
        labels = session.labels()

Arrays of voxels are indexed [k, j, i], voxel indices are (i, j, k), lengths are millimetres. libpromem and libtorch are loaded at the
first use, not by the import; so is numpy, which `promem.install` does without. Not a medical device.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    BadFormat,
    BadModel,
    Busy,
    Cancelled,
    Closed,
    ComputeError,
    InternalError,
    InvalidArgument,
    IoError,
    LibraryNotLoaded,
    PromemError,
    Unsupported,
)

if TYPE_CHECKING:
    from ._arguments import Extent
    from ._log import set_log
    from .job import Job, JobState
    from .library import devices, libtorch_version, set_thread_count, thread_count, version
    from .model import Model, ModelInfo
    from .options import propagate_options
    from .progress import Progress, SliceResult
    from .session import Prompt, Session

__version__ = "0.1.0"

__all__ = [
    "BadFormat",
    "BadModel",
    "Busy",
    "Cancelled",
    "Closed",
    "ComputeError",
    "Extent",
    "InternalError",
    "InvalidArgument",
    "IoError",
    "Job",
    "JobState",
    "LibraryNotLoaded",
    "Model",
    "ModelInfo",
    "Progress",
    "PromemError",
    "Prompt",
    "Session",
    "SliceResult",
    "Unsupported",
    "devices",
    "libtorch_version",
    "propagate_options",
    "set_log",
    "set_thread_count",
    "thread_count",
    "version",
]

# Names that are imported at their first use (PEP 562): their modules need numpy or the C interface.
_LAZY = {
    "_arguments": ("Extent",),
    "_log": ("set_log",),
    "job": ("Job", "JobState"),
    "library": ("devices", "libtorch_version", "set_thread_count", "thread_count", "version"),
    "model": ("Model", "ModelInfo"),
    "options": ("propagate_options",),
    "progress": ("Progress", "SliceResult"),
    "session": ("Prompt", "Session"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LAZY.items():
        if name in names:
            value = getattr(importlib.import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
