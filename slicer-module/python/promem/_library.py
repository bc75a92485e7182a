"""Finds libpromem, loads it at the first use, and calls it.

Everything that this package asks of libpromem passes through `call`, the one place where a status becomes an exception.
"""

import ctypes
import os
import pathlib
import sys
import threading
from typing import Any, Optional

from . import _abi, _callbacks, _home, _libtorch
from .errors import LibraryNotLoaded, error

_NAME = "libpromem.so"
_PACKAGE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parents[2]  # of slicer-module/python/promem

_lock = threading.Lock()
_loaded: Optional[ctypes.CDLL] = None
_process = 0
_libtorch_folder: Optional[pathlib.Path] = None
_watch: Optional[_libtorch.Watch] = None
_cuda_asked = False


def checkout() -> Optional[pathlib.Path]:
    """The repository, where this package runs from it."""
    return _REPOSITORY if (_REPOSITORY / "Cargo.toml").is_file() else None


def find() -> pathlib.Path:
    """The path of libpromem."""
    given = os.environ.get("PROMEM_LIBRARY")
    if given:
        if not os.path.isfile(given):
            raise LibraryNotLoaded(f"PROMEM_LIBRARY: {given} is not a file; expected the path of {_NAME}")
        return pathlib.Path(given).resolve()
    looked = ["PROMEM_LIBRARY: not set", f"the package: no {_PACKAGE / _NAME}"]
    if (_PACKAGE / _NAME).is_file():
        return _PACKAGE / _NAME
    repository = checkout()
    if repository is not None:
        built = repository / "target" / "release" / _NAME
        if built.is_file():
            return built
        looked.append(f"the repository: no {built}; `make build` builds it")
    installed = _home.engine() / _NAME
    if installed.is_file():
        return installed
    looked.append(f"the ProMem folder: no {installed}")
    raise LibraryNotLoaded("libpromem is not found. Looked at:\n  " + "\n  ".join(looked))


def library() -> ctypes.CDLL:
    """libpromem, loaded at the first call."""
    global _loaded, _process, _libtorch_folder, _watch
    with _lock:
        if _loaded is None:
            if sys.platform != "linux":
                raise LibraryNotLoaded(f"promem runs on Linux; this is {sys.platform}")
            path = find()
            _libtorch_folder = _libtorch.find(checkout())
            _libtorch.load(_libtorch_folder)
            _watch = _libtorch.Watch(_libtorch_folder)
            _loaded, _process = _open(path), os.getpid()
        if is_fork():
            raise LibraryNotLoaded(
                f"promem was loaded in process {_process}, of which this one is a fork; libtorch's threads do not "
                'outlive a fork: start processes with multiprocessing.get_context("spawn")'
            )
        return _loaded


def _open(path: pathlib.Path) -> ctypes.CDLL:
    try:
        opened = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        opened.promem_abi_version.restype = ctypes.c_uint32
        found = opened.promem_abi_version()
        if found == _abi.ABI_VERSION:
            _abi.declare(opened)
    except (OSError, AttributeError) as trouble:
        raise LibraryNotLoaded(f"cannot load {path} with {_libtorch_folder}: {trouble}") from trouble
    if found != _abi.ABI_VERSION:
        raise LibraryNotLoaded(f"{path}: its interface is number {found}, this package knows {_abi.ABI_VERSION}")
    needed = opened.promem_libtorch_version().decode()
    if needed != _abi.LIBTORCH_VERSION:
        raise LibraryNotLoaded(f"{path}: it needs libtorch {needed}, this package looks for {_abi.LIBTORCH_VERSION}")
    return opened


def is_fork() -> bool:
    """Whether libpromem was loaded by a process of which this one is a fork."""
    return _loaded is not None and _process != os.getpid()


def prepare_cuda() -> None:
    """Must be called before anything that asks libtorch for CUDA devices."""
    global _cuda_asked
    library()
    with _lock:
        if not _cuda_asked and _libtorch_folder is not None:
            _cuda_asked = True
            _libtorch.load_cuda(_libtorch_folder)


def call(name: str, *arguments: Any) -> Any:
    """Calls a function of libpromem; other threads run meanwhile. A status other than PROMEM_OK is raised, any other
    result returned. What a callback raised during the call is raised as it was. Where another libtorch has come into
    this process, nothing is called.
    """
    loaded = library()
    if _watch is not None:
        _watch.look()
    function = getattr(loaded, name)
    result = function(*arguments)
    _callbacks.raise_held()
    if function.restype is _abi.STATUS and result != 0:
        # The message is the calling thread's own.
        raise error(result, loaded.promem_last_error_message().decode(errors="replace"))
    return result


def end(name: str, *arguments: Any) -> None:
    """Calls one of the functions that end something: ..._free, ..._cancel. That is done whatever else is in this
    process.
    """
    getattr(library(), name)(*arguments)
