"""Finds the libtorch that libpromem needs and loads it, without Python's `torch`.

In: the environment, this package's folder, the installed distributions. Out: its parts, mapped into the process, so
that libpromem binds to them and to no others. A process holds one libtorch: where another is mapped already, loading is
refused, and one that comes later is noticed.
"""

import ctypes
import importlib.metadata
import logging
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any, Optional

from . import _home, _openmp
from ._abi import LIBTORCH_VERSION
from .errors import LibraryNotLoaded

_PACKAGE = pathlib.Path(__file__).resolve().parent

# In the order in which they are loaded; what these need themselves their own run path finds.
_PARTS = ("libc10.so", "libtorch_cpu.so")
# What tells of a libtorch. The last is that of `import torch`, whose other parts the linker may take from the libtorch
# that is there.
_SIGNS = (*_PARTS, "libtorch_python.so")

# What lies in torch/lib is the same in every wheel of a version, so any Python may fetch any of them.
INSTALL = (
    "python3 -m pip install --target DIR --no-deps --only-binary=:all: --python-version 3.12 --ignore-requires-python "
    f"torch=={LIBTORCH_VERSION} nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85"
)


def find(checkout: Optional[pathlib.Path]) -> pathlib.Path:
    """The folder that holds libtorch_cpu.so. `checkout`: the repository, where this package runs from it."""
    looked: list[str] = []
    for name, base in _places(checkout, looked):
        folder, trouble = _inside(base)
        if folder is not None:
            return folder
        looked.append(f"{name}: {trouble}")
        if name == "PROMEM_LIBTORCH":
            # Who says where it is gets no other.
            raise LibraryNotLoaded(f"libtorch {LIBTORCH_VERSION}: {looked[-1]}")
    places = "".join(f"\n  {line}" for line in looked)
    raise LibraryNotLoaded(
        f"libtorch {LIBTORCH_VERSION} is not found. Looked at:{places}\n"
        f"Get it (550 MB), into the ProMem folder, with\n  python3 -m promem.install\n"
        f"or, into a folder DIR of its own, with\n  {INSTALL}\nand set PROMEM_LIBTORCH=DIR"
    )


def _places(checkout: Optional[pathlib.Path], looked: list[str]) -> Iterator[tuple[str, pathlib.Path]]:
    given = os.environ.get("PROMEM_LIBTORCH")
    if given:
        yield "PROMEM_LIBTORCH", pathlib.Path(given)
    else:
        looked.append("PROMEM_LIBTORCH: not set")
    yield "the package", _PACKAGE / "libtorch"
    yield "beside the package", _PACKAGE.parent / "promem.libs"
    if checkout is not None:
        yield "the repository", checkout / ".deps" / "libtorch"
    torch = _distribution(looked)
    if torch is not None:
        yield "the distribution torch", torch
    # After an installed torch: that one may have its CUDA half.
    yield "the ProMem folder", _home.libtorch()


def _distribution(looked: list[str]) -> Optional[pathlib.Path]:
    """The folder of an installed torch of the right version."""
    try:
        torch = importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError:
        looked.append("the distribution torch: not installed")
        return None
    if not _is_expected(torch.version):
        looked.append(f"the distribution torch: its version is {torch.version}, expected {LIBTORCH_VERSION}")
        return None
    return pathlib.Path(str(torch.locate_file("torch")))


def _inside(base: pathlib.Path) -> tuple[Optional[pathlib.Path], str]:
    """The folder with libtorch_cpu.so in or below a folder, else what is wrong with it."""
    for folder in (base, base / "lib", base / "torch" / "lib"):
        if (folder / _PARTS[-1]).is_file():
            version = _version(folder)
            if version is not None and not _is_expected(version):
                return None, f"{folder} has version {version}, expected {LIBTORCH_VERSION}"
            return folder.resolve(), ""
    return None, f"no {_PARTS[-1]} in {base}, {base / 'lib'} or {base / 'torch' / 'lib'}"


def _version(folder: pathlib.Path) -> Optional[str]:
    """What a torch package or an unpacked libtorch says of itself; None where it says nothing."""
    for name, pattern in (("version.py", r"__version__ = '([^']+)'"), ("build-version", r"(\S+)")):
        try:
            found = re.search(pattern, (folder.parent / name).read_text())
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found[1]
    return None


def _is_expected(version: str) -> bool:
    return re.match(re.escape(LIBTORCH_VERSION) + r"(\D|$)", version) is not None


def mapped(maps: str = "/proc/self/maps") -> list[pathlib.Path]:
    """The files of a libtorch that this process has mapped."""
    with open(maps, errors="surrogateescape") as file:
        lines = [line.rstrip("\n").split(maxsplit=5) for line in file]
    paths = dict.fromkeys(columns[5] for columns in lines if len(columns) == 6)
    return [pathlib.Path(path) for path in paths if _is_part(os.path.basename(path))]


def _is_part(name: str) -> bool:
    return any(name == part or name.startswith((part + ".", part + " (deleted)")) for part in _SIGNS)


def another(folder: pathlib.Path) -> Optional[pathlib.Path]:
    """A file of a libtorch of another folder that this process has mapped."""
    for path in mapped():
        own = folder / path.name
        if path != own and not (path.exists() and own.exists() and path.samefile(own)):
            return path
    return None


def refuse_another(folder: pathlib.Path) -> None:
    """Raises where another libtorch is mapped: libpromem would bind to that one, whatever it is asked to load."""
    path = another(folder)
    if path is not None:
        raise LibraryNotLoaded(
            f"libtorch: this process has loaded {path} already, promem needs {folder / path.name}; {_ONE_LIBTORCH}"
        )


_ONE_LIBTORCH = (
    "a process can hold only one libtorch: use promem in a process of its own, which promem.worker.Engine starts and "
    "talks to (docs/python.md, Beside any torch)"
)


class Watch:
    """Notices a libtorch that comes after the one in `folder` was loaded."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._looked_at: Any = None

    def look(self) -> None:
        """Raises where another libtorch has come; as long as it is there, again.

        The kernel's list is long. It is read only when there is more or less code in this process than the last time.
        """
        code = _code()
        if code == self._looked_at:
            return
        path = another(self._folder)
        if path is not None:
            raise LibraryNotLoaded(
                f"libtorch: this process has loaded {path} since promem has loaded {self._folder}; {_ONE_LIBTORCH}. What "
                "is open here can be closed and does nothing else any more"
            )
        self._looked_at = code


def _code(status: str = "/proc/self/status") -> tuple[list[bytes], int]:
    """How much code is mapped, which every library changes that is loaded; and the modules, where the kernel does not
    say.
    """
    with open(status, "rb") as file:
        sizes = [line for line in file if line.startswith((b"VmExe:", b"VmLib:"))]
    return sizes, len(sys.modules)


def load(folder: pathlib.Path) -> None:
    """Maps libtorch, for the symbols of nobody but who names it, and with it libgomp, whose threads soon sleep."""
    refuse_another(folder)
    with _openmp.sleeping_threads():
        for part in _PARTS:
            try:
                ctypes.CDLL(str(folder / part), mode=os.RTLD_NOW | os.RTLD_LOCAL)
            except OSError as error:
                raise LibraryNotLoaded(
                    f"cannot load {folder / part}: {error}; complete it with\n  {INSTALL}"
                ) from error
    refuse_another(folder)


def load_cuda(folder: pathlib.Path) -> None:
    """Maps libtorch's CUDA half where it is installed. It must come before libtorch is first asked for CUDA devices."""
    path = folder / "libtorch_cuda.so"
    if path.is_file():
        try:
            ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            logging.getLogger("promem").warning("cannot load %s: %s; computing on the CPU", path, error)
