"""Installs the libtorch that libpromem needs into a separate folder: never into the site-packages of any Python.

    print(promem.install.plan().text)  # files, source and size
    promem.install.install()

In: the user's package index (pip's configuration is read; pip itself is not needed), or wheels on disk. Out: a folder
that `promem` finds by itself; with `development=True` also what building promem from source needs, which is what
`make libtorch` does. Only Python's standard library is used. A graphical program uses `Installation`, which never blocks; a
terminal `python3 -m promem.install`.
"""

import pathlib
from typing import Any, Optional

from .. import _home
from . import store
from .errors import InstallError
from .installation import Installation
from .installer import check, install, plan
from .plan import Artifact, Plan

__all__ = [
    "Artifact",
    "InstallError",
    "Installation",
    "Plan",
    "check",
    "default_folder",
    "install",
    "install_from_file",
    "installed",
    "plan",
    "remove",
]


def default_folder() -> pathlib.Path:
    """The default target: ~/.local/share/ProMem/libtorch-2.11.0, or below PROMEM_HOME."""
    return _home.libtorch()


def install_from_file(path: Any, folder: Optional[Any] = None) -> pathlib.Path:
    """Installs offline, from a wheel of torch, PyTorch's zip archive of libtorch, or a folder of wheels.

    Raises InstallError.
    """
    return install(folder, path)


def installed(folder: Optional[Any] = None, development: bool = False) -> Optional[pathlib.Path]:
    """The folder where libtorch is installed, or None.

    Quick: compares the sizes of files; `check` verifies their SHA-256.
    """
    target = store.folder_or_default(folder)
    return target if store.problem(target, development) is None else None


def remove(folder: Optional[Any] = None) -> bool:
    """Removes an installation, and the files of an unfinished one; whether there was one. Raises InstallError."""
    return store.remove(store.folder_or_default(folder))
