"""Extracts the shared libraries that libpromem needs from wheels, or from PyTorch's own zip archive of libtorch.

In: archives. Out: a folder with the wheels' layout, in which every library finds its dependencies; for development also
the C++ headers and the library to link against. A manifest: size and SHA-256 of every file. Knows nothing of where the
archives came from.
"""

import hashlib
import os
import pathlib
import posixpath
import re
import zipfile
import zlib
from typing import Any, Callable, Optional

from .._abi import LIBTORCH_VERSION
from . import elf
from .errors import InstallError, from_os_error
from .index import CUDA_DEPENDENCIES

# What libpromem is linked against; the dependencies of these are read from their dynamic sections.
ROOTS = ("libc10.so", "libtorch_cpu.so")

# What torch-sys links against besides. It only refers to the libraries of the CPU and of the CUDA half.
_LINKED = "libtorch.so"

# Part of every Linux distribution.
_SYSTEM_LIBRARIES = re.compile(
    r"(lib(c|m|dl|pthread|rt|util|resolv|gcc_s|stdc\+\+|crypt|atomic)\.so(\.\d+)*|ld-linux[\w-]*\.so\.\d+|linux-vdso.*)"
)
# Large libraries of the CUDA half that no CPU library depends on; for an estimate only.
_CUDA_LIBRARIES = re.compile(
    r"lib(torch_cuda|torch_nvshmem|torch_python|c10_cuda|caffe2_nvrtc|cudnn|cublas|cufft|cusolver|cusparse|nccl|nvrtc|nvJit)"
)
# What libtorch_cpu.so needs of the wheels in CUDA_DEPENDENCIES.
_CUDA_DEPENDENCY = re.compile(r"lib(cudart|cupti)\.so")
_IS_LIBRARY = re.compile(r"\.so(\.\d+)*$")
_BLOCK = 1 << 20

# What zipfile raises for an entry that it cannot read.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)

# Called with the number of bytes extracted so far.
Report = Callable[[int], None]

# Path in the folder -> [size, SHA-256].
Manifest = dict[str, list[Any]]


class Archive:
    """A wheel or zip archive. libraries: name -> entry."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise InstallError("files", f"{path} is damaged or not a wheel: {error}") from error
        except OSError as error:
            raise from_os_error(error, path) from error
        self._entries = {
            entry.filename: entry
            for entry in self._zip.infolist()
            # No entry is extracted outside the folder.
            if not entry.is_dir() and ".." not in entry.filename.split("/") and not entry.filename.startswith("/")
        }
        self.libraries = {
            posixpath.basename(name): entry for name, entry in self._entries.items() if _IS_LIBRARY.search(name)
        }

    def close(self) -> None:
        self._zip.close()

    @property
    def has_libtorch(self) -> bool:
        return all(name in self.libraries for name in ROOTS)

    @property
    def version(self) -> Optional[str]:
        """The version of libtorch that the archive declares."""
        for name, pattern in (("torch/version.py", r"__version__ = '([^']+)'"), ("libtorch/build-version", r"(\S+)")):
            if name in self._entries:
                try:
                    found = re.search(pattern, self._zip.read(name).decode(errors="replace"))
                except UNREADABLE as error:
                    raise InstallError("files", f"{self.path} is damaged: {name}: {error}") from error
                return found[1] if found else None
        return None

    @property
    def metadata_files(self) -> list[Any]:
        """Entries with the version and the licences."""
        wanted = re.compile(
            r"(torch/version\.py|libtorch/build-version|[^/]+\.dist-info/(licenses/)?[^/]*(LICENSE|License|NOTICE)[^/]*)"
        )
        return [entry for name, entry in self._entries.items() if wanted.fullmatch(name)]

    @property
    def headers(self) -> list[Any]:
        """Entries of the C++ headers."""
        return [entry for name, entry in self._entries.items() if re.match(r"(lib)?torch/include/", name)]

    def open(self, entry: Any) -> Any:
        return self._zip.open(entry)


def open_all(paths: list[pathlib.Path]) -> list[Archive]:
    """The archives to extract from, the one with libtorch first. Raises InstallError."""
    archives = [Archive(path) for path in paths]
    fitting, others, problems = [], [], []
    for archive in archives:
        if not archive.has_libtorch:
            others.append(archive)
        elif archive.version is None or not re.match(re.escape(LIBTORCH_VERSION) + r"(\D|$)", archive.version):
            problems.append(f"{archive.path} has version {archive.version}, expected {LIBTORCH_VERSION}")
        else:
            fitting.append(archive)
    if fitting:
        # Of several, the smallest: it has no CUDA half.
        chosen = min(fitting, key=lambda archive: sum(entry.file_size for entry in archive.libraries.values()))
        return [chosen, *others]
    if problems:
        raise InstallError("version", "; ".join(problems))
    shown = ", ".join(str(path) for path in paths)
    raise InstallError(
        "files", f"{shown}: no libtorch for Linux found; expected {ROOTS[0]} and {ROOTS[1]} of {LIBTORCH_VERSION}"
    )


def estimate(archives: list[Archive], development: bool = False) -> int:
    """Upper bound of the bytes that `unpack` will write."""
    first, *others = archives
    sizes = [entry.file_size for name, entry in first.libraries.items() if not _CUDA_LIBRARIES.match(name)]
    sizes += [
        entry.file_size
        for archive in others
        for name, entry in archive.libraries.items()
        if _CUDA_DEPENDENCY.match(name)
    ]
    return sum(sizes) + (sum(entry.file_size for entry in first.headers) if development else 0)


def unpack(
    archives: list[Archive], folder: pathlib.Path, machine: str, report: Report, development: bool = False
) -> Manifest:
    """Extracts libtorch into a folder; development: with what compiling and linking takes. Raises InstallError."""
    written: Manifest = {}
    try:
        used, done = _unpack_libraries(archives, folder, machine, report, written)
        for archive in used:
            for entry in archive.metadata_files:
                _write(archive, entry, folder, written, lambda size: report(done))
        if development:
            _unpack_development(archives[0], folder, done, report, written)
    except elf.NotALibrary as error:
        raise InstallError("files", str(error)) from error
    except OSError as error:
        raise from_os_error(error, folder) from error
    return written


def _unpack_libraries(
    archives: list[Archive], folder: pathlib.Path, machine: str, report: Report, written: Manifest
) -> tuple[list[Archive], int]:
    """Extracts `ROOTS` and all of their dependencies; the archives that they came from, and the bytes written."""
    extracted: set[str] = set()
    used: list[Archive] = []
    wanted = [(name, "libpromem") for name in ROOTS]
    done = 0
    while wanted:
        name, needed_by = wanted.pop()
        if name in extracted:
            continue
        archive = next((archive for archive in archives if name in archive.libraries), None)
        if archive is None:
            raise _missing_library(name, needed_by)
        path = _write(archive, archive.libraries[name], folder, written, lambda size, done=done: report(done + size))
        done += path.stat().st_size
        extracted.add(name)
        used += [] if archive in used else [archive]
        library = elf.read(path)
        if library.machine != machine:
            raise InstallError("version", f"{archive.path} is for {library.machine}, this machine is {machine}")
        wanted += [(needed, name) for needed in library.needed if not _SYSTEM_LIBRARIES.fullmatch(needed)]
    return used, done


def _unpack_development(archive: Archive, folder: pathlib.Path, done: int, report: Report, written: Manifest) -> None:
    if not archive.headers or _LINKED not in archive.libraries:
        raise InstallError("files", f"{archive.path} has no C++ headers or no {_LINKED}, which building promem needs")
    for entry in [archive.libraries[_LINKED], *archive.headers]:
        _write(archive, entry, folder, written, lambda size, done=done: report(done + size))
        done += entry.file_size


def _missing_library(name: str, needed_by: str) -> InstallError:
    dependencies = " and ".join(f"{project} {version}" for project, version in CUDA_DEPENDENCIES.items())
    hint = (
        f"; it is in the wheels {dependencies}, which must be in the same folder"
        if _CUDA_DEPENDENCY.match(name)
        else ""
    )
    return InstallError("files", f"{needed_by} needs {name}, which none of the given files has{hint}")


def _write(archive: Archive, entry: Any, folder: pathlib.Path, written: Manifest, report: Report) -> pathlib.Path:
    # The zip archive's top folder gets the wheels' name, so that both have one layout.
    name = re.sub(r"^libtorch/", "torch/", entry.filename)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        with archive.open(entry) as source, open(path, "wb") as file:
            while True:
                block = source.read(_BLOCK)
                if not block:
                    break
                file.write(block)
                digest.update(block)
                size += len(block)
                report(size)
            if _IS_LIBRARY.search(name):
                # Not for thousands of headers, which would take minutes on a slow disk.
                file.flush()
                os.fsync(file.fileno())
    except UNREADABLE as error:
        raise InstallError("files", f"{archive.path} is damaged: {entry.filename}: {error}") from error
    written[name] = [size, digest.hexdigest()]
    return path
