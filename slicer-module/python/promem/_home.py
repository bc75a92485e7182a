"""The folder in which ProMem keeps what belongs to a user.

In: the environment. Out: paths. Creates nothing and reads nothing.
"""

import os
import pathlib

from . import __version__
from ._abi import LIBTORCH_VERSION


def folder() -> pathlib.Path:
    """PROMEM_HOME, else ProMem in the user's data folder, ~/.local/share unless XDG_DATA_HOME names another."""
    given = os.environ.get("PROMEM_HOME")
    if given:
        return pathlib.Path(os.path.abspath(os.path.expanduser(given)))
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    base = data if os.path.isabs(data) else os.path.join(os.path.expanduser("~"), ".local", "share")
    return pathlib.Path(base) / "ProMem"


def engine() -> pathlib.Path:
    """Where `promem.install` puts libpromem, for a package that came without it."""
    return folder() / f"engine-{__version__}"


def libtorch() -> pathlib.Path:
    """Where `promem.install` puts libtorch."""
    return folder() / f"libtorch-{LIBTORCH_VERSION}"
