"""Creates the engine and the installation, which run with Slicer's Python, or with this one outside Slicer.

In: Slicer's folder and startup environment. Out: an `Engine`, an `Installation`, and whether the latter is needed.
Imports neither Qt nor MRML. Slicer's own process and environment are not changed.
"""

import os
import pathlib
import platform
import re
import shutil
import sys
from typing import Any, Optional

from .i18n import _


class EngineUnavailable(RuntimeError):
    """The engine cannot be started; the message is for the user."""


class PythonNotFound(EngineUnavailable):
    """Slicer's Python was not found; the message says where it was searched."""


class WrongPackage(EngineUnavailable):
    """Another version of the package `promem` is imported; the message names both places."""


def python_command() -> list[str]:
    """The command that starts Python. Raises PythonNotFound."""
    home = _slicer_home()
    if home is None:
        return [sys.executable]
    # PythonSlicer sets up the environment of Slicer's Python. Slicer adds its folder to PATH, too.
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    path = os.path.join(home, "bin", name)
    found = path if os.path.isfile(path) else shutil.which(name)
    if found is None:
        raise PythonNotFound(
            _(
                "{path} does not exist, and no folder of PATH contains {name}: this Slicer installation is incomplete"
            ).format(path=path, name=name)
        )
    return [found]


def environment(threads: Optional[int] = None) -> dict[str, str]:
    """The environment of the processes. threads: CPU threads of libtorch; None: as the environment says.

    It is the environment in which Slicer was started: Slicer's libraries must not replace those of the system.
    """
    if _slicer_home() is None:
        found = dict(os.environ)
    else:
        import slicer

        found = dict(slicer.util.startupEnvironment())
    folder = libtorch()
    if folder is not None:
        found["PROMEM_LIBTORCH"] = folder
    if threads is not None:
        found["OMP_NUM_THREADS"] = str(threads)
    return found


def libtorch() -> Optional[str]:
    """The folder of the libtorch that the engine will load; None if there is none."""
    from promem import LibraryNotLoaded, _library, _libtorch

    try:
        return str(_libtorch.find(_library.checkout()))
    except LibraryNotLoaded:
        return None


def unsupported_system() -> str:
    """A sentence where this system has no engine yet; empty where it has one."""
    if sys.platform == "linux":
        return ""
    system = {"win32": "Windows", "darwin": "macOS"}.get(sys.platform, platform.system() or sys.platform)
    return _("ProMem does not run on {system} yet: there is an engine for Linux only.").format(system=system)


def needs_installation() -> bool:
    """Whether libpromem or libtorch has to be installed. It does not help if PROMEM_LIBTORCH names a wrong folder: the
    engine says so.
    """
    return needs_engine() or (libtorch() is None and not os.environ.get("PROMEM_LIBTORCH"))


def needs_engine() -> bool:
    """Whether libpromem is missing: the extension comes without it, and a wheel brings it."""
    from promem import LibraryNotLoaded, _library

    if os.environ.get("PROMEM_LIBRARY"):
        return False
    try:
        _library.find()
    except LibraryNotLoaded:
        return True
    return False


def check_package() -> None:
    """Compares the imported `promem` with that of this extension. Raises WrongPackage.

    Slicer's site-packages precede the folders of modules: a `promem` that was installed there is imported instead.
    """
    import promem

    found, own = pathlib.Path(promem.__file__).resolve().parent, _own_package()
    if own is None or own == found:
        return
    version = re.search(r'^__version__ = "(.+)"', (own / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    if version is not None and version.group(1) != promem.__version__:
        raise WrongPackage(
            _(
                "promem {version} in {found} is used instead of promem {expected} in {own}. "
                "Remove the first, in Slicer's Python console: slicer.util.pip_uninstall('promem'), and start Slicer again."
            ).format(version=promem.__version__, found=found, expected=version.group(1), own=own)
        )


def _own_package() -> Optional[pathlib.Path]:
    """The `promem` that came with this extension: beside the module, or in a checkout."""
    module = pathlib.Path(__file__).resolve().parents[1]
    places = (module / "promem", module.parent / "python" / "promem")
    return next((place for place in places if (place / "__init__.py").is_file()), None)


def make_engine(threads: Optional[int] = None) -> Any:
    """A `promem.worker.Engine` that is not started yet. Raises EngineUnavailable."""
    check_package()
    from promem.worker import Engine

    return Engine(python_command(), environment(threads))


def make_installation(source: Optional[str] = None) -> Any:
    """A `promem.install.Installation` that is not started yet. source: a wheel, a libtorch zip file, or a folder of
    them; None: the package index. Raises PythonNotFound.
    """
    from promem.install import Installation

    return Installation(source=source, command=python_command(), environment=environment())


def _slicer_home() -> Optional[str]:
    """The folder that Slicer is installed in; None outside Slicer."""
    try:
        import slicer
    except ImportError:
        return None
    # Slicer's libraries without the application have no slicerHome.
    return getattr(getattr(slicer, "app", None), "slicerHome", None) or None
