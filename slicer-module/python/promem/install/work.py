"""Installs libtorch: plans, fetches, unpacks, checks.

In: a folder, and where libtorch comes from: the user's package index, or files. Out: the folder, whole or not at all. Reports as it goes;
whatever is raised from a report ends it, and keeps what was fetched.
"""

import dataclasses
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Any, Callable, Optional

from .._abi import LIBTORCH_VERSION
from . import archives, download, index, settings, store
from .errors import InstallError
from .network import Network
from .plan import Piece, Plan

# Called with the phase ("downloading", "unpacking"), the bytes that are done and the bytes that there are.
Report = Callable[[str, int, int], None]


def _silent(phase: str, done: int, total: int) -> None:
    pass


def plan(folder: Optional[Any] = None, source: Optional[Any] = None) -> Plan:
    """What `install` would do with the same arguments; asks the package index where `source` is None. Raises InstallError."""
    target = store.folder_or_default(folder)
    kind = index.machine()
    installed = store.trouble(target) is None
    if source is not None:
        opened = archives.open_all(_files(source))
        try:
            pieces = tuple(Piece(made.path.name, str(made.path), made.path.stat().st_size) for made in opened)
            unpacked = archives.estimate(opened)
        finally:
            for archive in opened:
                archive.close()
        shown = str(store.folder_or_default(source))
        return Plan(LIBTORCH_VERSION, str(target), shown, True, pieces, unpacked, store.free(target), installed)
    if installed:
        return Plan(LIBTORCH_VERSION, str(target), "", False, (), store.size(target), store.free(target), True)
    indexes = settings.indexes()
    address, found = index.find(Network(indexes), indexes, kind)
    downloads = store.beside(target, "download")
    pieces = tuple(dataclasses.replace(piece, have=download.bytes_here(piece, downloads)) for piece in found)
    shown = settings.without_password(address)
    return Plan(LIBTORCH_VERSION, str(target), shown, False, pieces, index.UNPACKED[kind], store.free(target))


def install(
    folder: Optional[Any] = None, source: Optional[Any] = None, report: Report = _silent, planned: Optional[Plan] = None
) -> pathlib.Path:
    """Puts libtorch into a folder, `promem.install.default_folder()` unless named, and gives that folder.

    source: a wheel, a libtorch zip file or a folder of them; None: the user's package index. planned: what `plan` said. Does nothing where
    libtorch is there already. Raises InstallError.
    """
    target = store.folder_or_default(folder)
    if store.trouble(target) is None:
        return target
    what = planned or plan(folder, source)
    kind = index.machine()
    store.insist_on_space(target, what.needed)
    with store.locked(target) as downloads:
        if what.offline:
            paths = [pathlib.Path(piece.address) for piece in what.pieces]
        else:
            paths = _fetch_all(what, downloads, report)
        opened = archives.open_all(paths)
        try:
            total = archives.estimate(opened)
            store.insist_on_space(target, total)
            with store.fresh(target) as made:
                files = archives.unpack(opened, made, kind, lambda done: report("unpacking", min(done, total), total))
                sources = [{"name": piece.name, "sha256": piece.sha256} for piece in what.pieces]
                store.take_place(target, files, sources)
        finally:
            for archive in opened:
                archive.close()
        report("unpacking", total, total)
        shutil.rmtree(downloads, ignore_errors=True)
    return target


def _fetch_all(what: Plan, downloads: pathlib.Path, report: Report) -> list[pathlib.Path]:
    network, paths, before = Network(settings.indexes()), [], 0
    for piece in what.pieces:
        report("downloading", before, what.download)
        paths.append(
            download.fetch(
                piece,
                downloads,
                network,
                lambda done, before=before: report("downloading", before + done, what.download),
            )
        )
        before += piece.size
    return paths


def _files(source: Any) -> list[pathlib.Path]:
    """The wheels and zip files that a user has named."""
    path = store.folder_or_default(source)
    if path.is_dir():
        patterns = ("torch-*.whl", "libtorch-*.zip", "nvidia_cuda_runtime*.whl", "nvidia_cuda_cupti*.whl")
        found = sorted(file for pattern in patterns for file in path.glob(pattern))
        if not found:
            raise InstallError(
                "files", f"{path} holds none of {', '.join(patterns)}: expected torch {LIBTORCH_VERSION} for Linux"
            )
        return found
    if not path.is_file():
        raise InstallError("files", f"{path} is not there: expected a wheel, a libtorch zip file, or a folder of them")
    # A wheel that needs companions has them beside it.
    companions = sorted(path.parent.glob("nvidia_cuda_runtime*.whl")) + sorted(
        path.parent.glob("nvidia_cuda_cupti*.whl")
    )
    return [path, *(file for file in companions if file != path)]


def check(folder: Optional[Any] = None, report: Report = _silent) -> pathlib.Path:
    """Reads every byte of an installation and loads it in a process of its own; gives the folder. Raises InstallError."""
    target = store.folder_or_default(folder)
    found = store.trouble(target)
    if found is None:
        total = store.size(target)
        found = store.trouble(target, hashes=True, report=lambda done: report("checking", done, total))
    if found is not None:
        raise InstallError("files", found)
    code = "import pathlib, sys; from promem import _libtorch; _libtorch.load(pathlib.Path(sys.argv[1]))"
    # The package's folder first, so that the process finds this package.
    start = f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parents[2])!r}); {code}"
    told = subprocess.run(
        [sys.executable, "-c", start, str(target / "torch" / "lib")],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if told.returncode < 0:
        fallen = signal.Signals(-told.returncode).name
        raise InstallError(
            "system", f"libtorch of {target} cannot be loaded: the process that tried fell with {fallen}"
        )
    if told.returncode > 0:
        lines = told.stderr.strip().splitlines() or [f"status {told.returncode}"]
        reason = next((line for line in reversed(lines) if "cannot load" in line), lines[-1])
        reason = reason.partition("LibraryNotLoaded: ")[2] or reason
        raise InstallError("system", f"libtorch of {target} cannot be loaded: {reason}")
    return target
