"""Installs libtorch: plans, downloads, unpacks, verifies.

In: a folder, and where libtorch comes from: the user's package index, or files. Out: the complete folder, or none.
Reports progress; an exception raised from a report aborts the installation and keeps what was downloaded.
"""

import dataclasses
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Any, Callable, Optional

from .._abi import LIBTORCH_VERSION
from . import archives, download, engine_wheel, index, settings, store
from .errors import InstallError
from .network import Network
from .plan import Artifact, Plan

# Called with the phase ("downloading", "unpacking", "checking"), the bytes done and the bytes in total.
Report = Callable[[str, int, int], None]


def _silent(phase: str, done: int, total: int) -> None:
    pass


def plan(folder: Optional[Any] = None, source: Optional[Any] = None, development: bool = False) -> Plan:
    """What `install` would do with the same arguments; queries the package index where `source` is None.

    Raises InstallError.
    """
    if source is not None and engine_wheel.is_engine(source):
        return engine_wheel.plan(source)
    target = store.folder_or_default(folder)
    machine = index.this_machine()
    installed = store.problem(target, development) is None
    about = {"version": LIBTORCH_VERSION, "folder": str(target), "development": development, "installed": installed}
    if source is not None:
        opened = archives.open_all(_files(source))
        try:
            artifacts = tuple(Artifact(one.path.name, str(one.path), one.path.stat().st_size) for one in opened)
            unpacked = archives.estimate(opened, development)
        finally:
            for archive in opened:
                archive.close()
        shown = str(store.folder_or_default(source))
        return Plan(
            source=shown, offline=True, artifacts=artifacts, unpacked=unpacked, free=store.free(target), **about
        )
    if installed:
        size = store.size(target)
        return Plan(source="", offline=False, artifacts=(), unpacked=size, free=store.free(target), **about)
    indexes = settings.indexes()
    address, found = index.find(Network(indexes), indexes, machine)
    downloads = store.sibling(target, "download")
    artifacts = tuple(
        dataclasses.replace(artifact, have=download.bytes_present(artifact, downloads)) for artifact in found
    )
    shown = settings.without_password(address)
    unpacked = index.UNPACKED[machine] + (index.DEVELOPMENT if development else 0)
    return Plan(source=shown, offline=False, artifacts=artifacts, unpacked=unpacked, free=store.free(target), **about)


def install(
    folder: Optional[Any] = None,
    source: Optional[Any] = None,
    report: Report = _silent,
    planned: Optional[Plan] = None,
    development: bool = False,
) -> pathlib.Path:
    """Installs libtorch into a folder, by default `promem.install.default_folder()`, and returns that folder.

    source: a wheel, a libtorch zip archive or a folder of them; a wheel of promem: libpromem is taken from it, and
    the other arguments do not matter; None: the user's package index. development: with the
    C++ headers and the library to link against, for building promem. planned: the result of `plan`, which then decides
    on development. Does nothing where libtorch is already installed. Raises InstallError.
    """
    if source is not None and engine_wheel.is_engine(source):
        return engine_wheel.install(source, report)
    target = store.folder_or_default(folder)
    if planned is not None:
        development = planned.development
    if store.problem(target, development) is None:
        return target
    what = planned or plan(folder, source, development)
    machine = index.this_machine()
    store.require_space(target, what.needed)
    with store.locked(target) as downloads:
        if what.offline:
            paths = [pathlib.Path(artifact.address) for artifact in what.artifacts]
        else:
            paths = _fetch_all(what, downloads, report)
        opened = archives.open_all(paths)
        try:
            total = archives.estimate(opened, development)
            store.require_space(target, total)
            with store.staging(target) as staged:
                files = archives.unpack(
                    opened, staged, machine, lambda done: report("unpacking", min(done, total), total), development
                )
                sources = [{"name": artifact.name, "sha256": artifact.sha256} for artifact in what.artifacts]
                store.activate(target, files, sources, development)
        finally:
            for archive in opened:
                archive.close()
        report("unpacking", total, total)
        shutil.rmtree(downloads, ignore_errors=True)
    return target


def _fetch_all(what: Plan, downloads: pathlib.Path, report: Report) -> list[pathlib.Path]:
    network, paths, before = Network(settings.indexes()), [], 0
    for artifact in what.artifacts:
        report("downloading", before, what.download)
        paths.append(
            download.fetch(
                artifact,
                downloads,
                network,
                lambda done, before=before: report("downloading", before + done, what.download),
            )
        )
        before += artifact.size
    return paths


def _files(source: Any) -> list[pathlib.Path]:
    """The wheels and zip archives that a user has named."""
    wheels = [f"{project.replace('-', '_')}*.whl" for project in index.CUDA_DEPENDENCIES]
    path = store.folder_or_default(source)
    if path.is_dir():
        patterns = ("torch-*.whl", "libtorch-*.zip", *wheels)
        found = sorted(file for pattern in patterns for file in path.glob(pattern))
        if not found:
            raise InstallError(
                "files", f"{path} holds none of {', '.join(patterns)}: expected torch {LIBTORCH_VERSION} for Linux"
            )
        return found
    if not path.is_file():
        raise InstallError(
            "files", f"{path} does not exist: expected a wheel, a libtorch zip archive, or a folder of them"
        )
    # The CUDA dependencies of a wheel are expected in the same folder.
    dependencies = [file for pattern in wheels for file in sorted(path.parent.glob(pattern))]
    return [path, *(file for file in dependencies if file != path)]


def check(folder: Optional[Any] = None, report: Report = _silent) -> pathlib.Path:
    """Verifies the SHA-256 of every file and loads libtorch in a separate process; returns the folder.

    Raises InstallError.
    """
    target = store.folder_or_default(folder)
    found = store.problem(target)
    if found is None:
        total = store.size(target)
        found = store.problem(target, hashes=True, report=lambda done: report("checking", done, total))
    if found is not None:
        raise InstallError("files", found)
    code = "import pathlib, sys; from promem import _libtorch; _libtorch.load(pathlib.Path(sys.argv[1]))"
    # The package's folder first, so that the process finds this package.
    start = f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parents[2])!r}); {code}"
    loaded = subprocess.run(
        [sys.executable, "-c", start, str(target / "torch" / "lib")],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if loaded.returncode < 0:
        number = signal.Signals(-loaded.returncode).name
        raise InstallError("system", f"libtorch in {target} cannot be loaded: the test process was killed by {number}")
    if loaded.returncode > 0:
        lines = loaded.stderr.strip().splitlines() or [f"status {loaded.returncode}"]
        reason = next((line for line in reversed(lines) if "cannot load" in line), lines[-1])
        reason = reason.partition("LibraryNotLoaded: ")[2] or reason
        raise InstallError("system", f"libtorch in {target} cannot be loaded: {reason}")
    return target
