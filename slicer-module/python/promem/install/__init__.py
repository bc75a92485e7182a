"""Gets the libtorch that libpromem needs into a folder of its own: never into the site-packages of any Python.

    print(promem.install.plan().text)  # what, from where, how large
    promem.install.install()

In: the user's package index (what pip is told counts; pip itself is not needed), or wheels that were carried here. Out: a folder that
`promem` finds by itself. Only Python's standard library is used. A graphical program takes `Installation`, which never blocks; a
terminal `python3 -m promem.install`.
"""

import pathlib
from typing import Any, Optional

from .. import _home
from . import store
from .errors import InstallError
from .installation import Installation
from .plan import Piece, Plan
from .work import check, install, plan

__all__ = [
    "InstallError",
    "Installation",
    "Piece",
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
    """Where libtorch is installed, unless another folder is named: ~/.local/share/ProMem/libtorch-2.11.0, or below PROMEM_HOME."""
    return _home.libtorch()


def install_from_file(path: Any, folder: Optional[Any] = None) -> pathlib.Path:
    """Installs without a network: from a wheel of torch, PyTorch's zip file of libtorch, or a folder of wheels. Raises InstallError."""
    return install(folder, path)


def installed(folder: Optional[Any] = None) -> Optional[pathlib.Path]:
    """The folder, where libtorch is in it and whole, as far as sizes tell; quick. `check` reads every byte."""
    target = store.folder_or_default(folder)
    return target if store.trouble(target) is None else None


def remove(folder: Optional[Any] = None) -> bool:
    """Removes an installation, and what an unfinished one has left; whether there was an installation. Raises InstallError."""
    return store.remove(store.folder_or_default(folder))
