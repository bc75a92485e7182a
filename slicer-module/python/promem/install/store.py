"""The folder that libtorch is installed in: its contents, its integrity, and its atomic replacement.

In: a folder. Out: its state, a lock, a staging folder next to it, the exchange of the two. Knows nothing of wheels.

FOLDER.new is the staging folder, FOLDER.old the previous installation, FOLDER.download holds downloads. None of them is
ever taken for libtorch.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, Callable, Optional

from .. import _home
from .._abi import LIBTORCH_VERSION
from . import hashing
from .errors import InstallError, disk_full_error, from_os_error

# Lists what is in the folder. A folder that has it may be replaced and removed.
MANIFEST = "promem-libtorch.json"

# Kept free beyond what is needed.
_MARGIN = 50_000_000


def folder_or_default(folder: Optional[Any]) -> pathlib.Path:
    return pathlib.Path(os.path.abspath(os.path.expanduser(str(folder)))) if folder else _home.libtorch()


def sibling(folder: pathlib.Path, suffix: str) -> pathlib.Path:
    """FOLDER.new, FOLDER.old, FOLDER.download."""
    return folder.with_name(f"{folder.name}.{suffix}")


def problem(
    folder: pathlib.Path,
    development: bool = False,
    hashes: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> Optional[str]:
    """What is wrong with an installation, in a sentence; None where it is complete.

    development: the C++ headers must be there, too. hashes: verifies the SHA-256 of every file, not only its size.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text())
        version, files = content["version"], content["files"].items()
    except FileNotFoundError:
        return f"no libtorch is installed in {folder}"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return f"{folder / MANIFEST} cannot be read: {error}"
    if version != LIBTORCH_VERSION:
        return f"{folder} has libtorch {version}, expected {LIBTORCH_VERSION}"
    if development and not content.get("development"):
        return f"{folder} has libtorch without its C++ headers: install it with --development"
    done = 0
    for name, (size, digest) in files:
        path = folder / name
        try:
            found = path.stat().st_size
            if found != size:
                return f"{path} has {found} bytes, expected {size}"
            if hashes:
                computed = hashing.sha256(path, lambda count, before=done: report(before + count))
                if computed.hexdigest() != digest:
                    return f"{path} has been changed since it was installed"
                done += size
        except OSError as error:
            return str(from_os_error(error, path))
    return None


def size(folder: pathlib.Path) -> int:
    """Bytes of an installation, by its manifest."""
    return sum(entry[0] for entry in json.loads((folder / MANIFEST).read_text())["files"].values())


def free(folder: pathlib.Path) -> int:
    """Bytes free where a folder is or would be."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    raise InstallError("files", f"{folder}: no such file system")


def require_space(folder: pathlib.Path, needed: int) -> None:
    found = free(folder)
    if found < needed + _MARGIN:
        raise disk_full_error(folder, needed + _MARGIN, found)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Excludes other installations into this folder; yields the folder for downloads. Raises InstallError."""
    if folder.exists() and not (folder / MANIFEST).exists() and any(folder.iterdir()):
        raise InstallError(
            "files", f"{folder} holds files that promem.install did not put there: name an empty or a new folder"
        )
    downloads = sibling(folder, "download")
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        lock = os.open(downloads / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise from_os_error(error, folder) from error
    try:
        _lock(lock, folder)
        try:
            yield downloads
        finally:
            # Anything else there is a partial download, and is kept.
            if downloads.exists() and [path.name for path in downloads.iterdir()] == ["lock"]:
                shutil.rmtree(downloads, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(lock: int, folder: pathlib.Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(sibling(folder, "new"), ignore_errors=True)
        _recover_activation(folder)
    except BlockingIOError as error:
        raise InstallError("busy", f"another installation into {folder} is running: wait for it") from error
    except OSError as error:
        raise from_os_error(error, folder) from error


@contextlib.contextmanager
def staging(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """FOLDER.new, to be filled; removed again where that fails."""
    staged = sibling(folder, "new")
    try:
        staged.mkdir()
    except OSError as error:
        raise from_os_error(error, staged) from error
    try:
        yield staged
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def activate(
    folder: pathlib.Path, files: dict[str, Any], sources: list[dict[str, Any]], development: bool = False
) -> None:
    """Renames FOLDER.new to FOLDER, and removes the previous installation."""
    staged = sibling(folder, "new")
    content = {"version": LIBTORCH_VERSION, "development": development, "from": sources, "files": files}
    try:
        (staged / MANIFEST).write_text(json.dumps(content, indent=1) + "\n")
        if folder.exists():
            folder.rename(sibling(folder, "old"))
        staged.rename(folder)
    except OSError as error:
        raise from_os_error(error, folder) from error
    shutil.rmtree(sibling(folder, "old"), ignore_errors=True)


def _recover_activation(folder: pathlib.Path) -> None:
    """Where `activate` was interrupted, restores the previous installation or removes it."""
    old = sibling(folder, "old")
    if old.exists():
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def remove(folder: pathlib.Path) -> bool:
    """Removes an installation and the folders next to it; whether there was one. Raises InstallError."""
    installed = (folder / MANIFEST).exists()
    left = [path for path in (sibling(folder, what) for what in ("new", "old", "download")) if path.exists()]
    if not installed and not left:
        return False
    with locked(folder):
        try:
            if installed:
                # Should this be interrupted, an incomplete folder is not taken for libtorch under this name.
                folder.rename(sibling(folder, "old"))
            for what in ("old", "new", "download"):
                if sibling(folder, what).exists():
                    shutil.rmtree(sibling(folder, what))
        except OSError as error:
            raise from_os_error(error, folder) from error
    return installed
