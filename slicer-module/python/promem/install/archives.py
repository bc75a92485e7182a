"""Takes out of wheels, or of PyTorch's own zip file of libtorch, the shared libraries that libpromem needs, and no others.

In: files. Out: a folder laid out as the wheels have it, in which every library finds those that it needs; a list of what is in it.
Knows nothing of where the files came from.
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
from .errors import InstallError, refused
from .index import COMPANIONS

# What libpromem itself asks for; what these ask for in turn is found by reading them.
ROOTS = ("libc10.so", "libtorch_cpu.so")

# What every Linux brings along.
_SYSTEM = re.compile(
    r"(lib(c|m|dl|pthread|rt|util|resolv|gcc_s|stdc\+\+|crypt|atomic)\.so(\.\d+)*|ld-linux[\w-]*\.so\.\d+|linux-vdso.*)"
)
# Large libraries of the CUDA half that no CPU library asks for; for an estimate only.
_CUDA = re.compile(
    r"lib(torch_cuda|torch_nvshmem|torch_python|c10_cuda|caffe2_nvrtc|cudnn|cublas|cufft|cusolver|cusparse|nccl|nvrtc|nvJit)"
)
_BLOCK = 1 << 20

# What zipfile raises for an entry that it cannot read.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)

# Called with the bytes that are unpacked.
Report = Callable[[int], None]


class Archive:
    """A wheel or zip file. libraries: name -> entry."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise InstallError("files", f"{path} is damaged or not a wheel: {error}") from error
        except OSError as error:
            raise refused(error, path) from error
        self._entries = {entry.filename: entry for entry in self._zip.infolist() if not entry.is_dir()}
        self.libraries = {
            posixpath.basename(name): entry
            for name, entry in self._entries.items()
            if re.search(r"\.so(\.\d+)*$", name) and ".." not in name.split("/") and not name.startswith("/")
        }

    def close(self) -> None:
        self._zip.close()

    @property
    def has_libtorch(self) -> bool:
        return all(name in self.libraries for name in ROOTS)

    @property
    def version(self) -> Optional[str]:
        """What it says of itself."""
        for name, pattern in (("torch/version.py", r"__version__ = '([^']+)'"), ("libtorch/build-version", r"(\S+)")):
            if name in self._entries:
                try:
                    found = re.search(pattern, self._zip.read(name).decode(errors="replace"))
                except DAMAGED as error:
                    raise InstallError("files", f"{self.path} is damaged: {name}: {error}") from error
                return found[1] if found else None
        return None

    @property
    def papers(self) -> list[Any]:
        """Entries that say the version and the licence."""
        wanted = re.compile(
            r"(torch/version\.py|libtorch/build-version|[^/]+\.dist-info/(licenses/)?[^/]*(LICENSE|License|NOTICE)[^/]*)"
        )
        return [entry for name, entry in self._entries.items() if wanted.fullmatch(name)]

    def open(self, entry: Any) -> Any:
        return self._zip.open(entry)


def open_all(paths: list[pathlib.Path]) -> list[Archive]:
    """The archives that are needed of those given, the one with libtorch first. Raises InstallError."""
    archives = [Archive(path) for path in paths]
    fitting, others, trouble = [], [], []
    for archive in archives:
        if not archive.has_libtorch:
            others.append(archive)
        elif archive.version is None or not re.match(re.escape(LIBTORCH_VERSION) + r"(\D|$)", archive.version):
            trouble.append(f"{archive.path} has version {archive.version}, expected {LIBTORCH_VERSION}")
        else:
            fitting.append(archive)
    if fitting:
        # Of several the smallest: it has no CUDA half.
        chosen = min(fitting, key=lambda archive: sum(entry.file_size for entry in archive.libraries.values()))
        return [chosen, *others]
    if trouble:
        raise InstallError("version", "; ".join(trouble))
    shown = ", ".join(str(path) for path in paths)
    raise InstallError(
        "files", f"{shown}: no libtorch for Linux in it; expected {ROOTS[0]} and {ROOTS[1]} of {LIBTORCH_VERSION}"
    )


def estimate(archives: list[Archive]) -> int:
    """How many bytes `unpack` will write, at most."""
    first, *others = archives
    sizes = [entry.file_size for name, entry in first.libraries.items() if not _CUDA.match(name)]
    sizes += [
        entry.file_size
        for archive in others
        for name, entry in archive.libraries.items()
        if re.match(r"lib(cudart|cupti)\.so", name)
    ]
    return sum(sizes)


def unpack(archives: list[Archive], folder: pathlib.Path, machine: str, report: Report) -> dict[str, list[Any]]:
    """Fills a folder; path -> [size, SHA-256] of everything in it. Raises InstallError."""
    written: dict[str, list[Any]] = {}
    here: set[str] = set()
    used: list[Archive] = []
    wanted = [(name, "libpromem") for name in ROOTS]
    done = 0
    try:
        while wanted:
            name, asker = wanted.pop()
            if name in here:
                continue
            archive = next((archive for archive in archives if name in archive.libraries), None)
            if archive is None:
                raise _lacking(name, asker)
            path = _write(
                archive, archive.libraries[name], folder, written, lambda size, done=done: report(done + size)
            )
            done += path.stat().st_size
            here.add(name)
            used += [] if archive in used else [archive]
            library = elf.read(path)
            if library.machine != machine:
                raise InstallError("version", f"{archive.path} is for {library.machine}, this machine is {machine}")
            wanted += [(needed, name) for needed in library.needed if not _SYSTEM.fullmatch(needed)]
        for archive in used:
            for entry in archive.papers:
                _write(archive, entry, folder, written, lambda size: report(done))
    except elf.NotALibrary as error:
        raise InstallError("files", str(error)) from error
    except OSError as error:
        raise refused(error, folder) from error
    return written


def _lacking(name: str, asker: str) -> InstallError:
    companions = " and ".join(f"{project} {version}" for project, version in COMPANIONS.items())
    hint = (
        f"; it is in the wheels {companions}, which belong into the same folder"
        if re.match("lib(cudart|cupti)", name)
        else ""
    )
    return InstallError("files", f"{asker} needs {name}, which none of the given files has{hint}")


def _write(
    archive: Archive, entry: Any, folder: pathlib.Path, written: dict[str, list[Any]], report: Report
) -> pathlib.Path:
    # The zip file's folder gets the wheels' name, so that the one layout is found for both.
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
            file.flush()
            os.fsync(file.fileno())
    except DAMAGED as error:
        raise InstallError("files", f"{archive.path} is damaged: {entry.filename}: {error}") from error
    written[name] = [size, digest.hexdigest()]
    return path
