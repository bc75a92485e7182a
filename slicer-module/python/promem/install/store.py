"""The folder that libtorch is installed in: what is there, whether it is whole, and how a new one takes its place at once.

In: a folder. Out: answers about it, a lock, a folder beside it to be filled, the exchange of the two. Knows nothing of wheels.

FOLDER.new is being filled, FOLDER.old was there before, FOLDER.download holds what is fetched. None of them is ever taken for libtorch.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, Callable, Optional

from .. import _home
from .._abi import LIBTORCH_VERSION
from .errors import InstallError, not_enough_space, refused

# Says what is in the folder, and that it is ours to remove.
LIST = "promem-libtorch.json"

# Kept free beyond what is needed.
_MARGIN = 50_000_000


def folder_or_default(folder: Optional[Any]) -> pathlib.Path:
    return pathlib.Path(os.path.abspath(os.path.expanduser(str(folder)))) if folder else _home.libtorch()


def beside(folder: pathlib.Path, what: str) -> pathlib.Path:
    """FOLDER.new, FOLDER.old, FOLDER.download."""
    return folder.with_name(f"{folder.name}.{what}")


def trouble(
    folder: pathlib.Path, hashes: bool = False, report: Callable[[int], None] = lambda done: None
) -> Optional[str]:
    """What is wrong with an installation, in a sentence; None where it is whole. hashes: reads every byte."""
    try:
        content = json.loads((folder / LIST).read_text())
        version, files = content["version"], content["files"].items()
    except FileNotFoundError:
        return f"no libtorch is installed in {folder}"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return f"{folder / LIST} cannot be read: {error}"
    if version != LIBTORCH_VERSION:
        return f"{folder} has libtorch {version}, expected {LIBTORCH_VERSION}"
    done = 0
    for name, (size, digest) in files:
        path = folder / name
        try:
            found = path.stat().st_size
            if found != size:
                return f"{path} has {found} bytes, expected {size}"
            if hashes:
                with open(path, "rb") as file:
                    computed = hashlib.sha256()
                    for block in iter(lambda: file.read(1 << 20), b""):
                        computed.update(block)
                        done += len(block)
                        report(done)
                if computed.hexdigest() != digest:
                    return f"{path} is not what was installed"
        except OSError as error:
            return str(refused(error, path))
    return None


def size(folder: pathlib.Path) -> int:
    """Bytes of an installation, by its list."""
    return sum(entry[0] for entry in json.loads((folder / LIST).read_text())["files"].values())


def free(folder: pathlib.Path) -> int:
    """Bytes free where a folder is or would be."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    raise InstallError("files", f"{folder}: no such disk")


def insist_on_space(folder: pathlib.Path, needed: int) -> None:
    found = free(folder)
    if found < needed + _MARGIN:
        raise not_enough_space(folder, needed + _MARGIN, found)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Keeps other installations into this folder away; gives the folder for downloads. Raises InstallError."""
    if folder.exists() and not (folder / LIST).exists() and any(folder.iterdir()):
        raise InstallError("files", f"{folder} holds something that is not from here: name an empty or a new folder")
    downloads = beside(folder, "download")
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        lock = os.open(downloads / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise refused(error, folder) from error
    try:
        _lock(lock, folder)
        try:
            yield downloads
        finally:
            # Anything else there is the beginning of a download, and is kept.
            if downloads.exists() and [path.name for path in downloads.iterdir()] == ["lock"]:
                shutil.rmtree(downloads, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(lock: int, folder: pathlib.Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(beside(folder, "new"), ignore_errors=True)
        _finish_exchange(folder)
    except BlockingIOError as error:
        raise InstallError("busy", f"another installation into {folder} is running: wait for it") from error
    except OSError as error:
        raise refused(error, folder) from error


@contextlib.contextmanager
def fresh(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """FOLDER.new, to be filled; gone again where that fails."""
    made = beside(folder, "new")
    try:
        made.mkdir()
    except OSError as error:
        raise refused(error, made) from error
    try:
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def take_place(folder: pathlib.Path, files: dict[str, Any], sources: list[dict[str, Any]]) -> None:
    """Makes FOLDER.new the folder, and what was there before go away."""
    made = beside(folder, "new")
    content = {"version": LIBTORCH_VERSION, "from": sources, "files": files}
    try:
        (made / LIST).write_text(json.dumps(content, indent=1) + "\n")
        if folder.exists():
            folder.rename(beside(folder, "old"))
        made.rename(folder)
    except OSError as error:
        raise refused(error, folder) from error
    shutil.rmtree(beside(folder, "old"), ignore_errors=True)


def _finish_exchange(folder: pathlib.Path) -> None:
    """Where an exchange was interrupted, what was there before comes back or goes away."""
    old = beside(folder, "old")
    if old.exists():
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def remove(folder: pathlib.Path) -> bool:
    """Removes an installation and what lies beside it; whether there was one. Raises InstallError."""
    installed = (folder / LIST).exists()
    left = [path for path in (beside(folder, what) for what in ("new", "old", "download")) if path.exists()]
    if not installed and not left:
        return False
    with locked(folder):
        try:
            if installed:
                # Under another name nobody takes the rest for libtorch, should this be interrupted.
                folder.rename(beside(folder, "old"))
            for what in ("old", "new", "download"):
                if beside(folder, what).exists():
                    shutil.rmtree(beside(folder, what))
        except OSError as error:
            raise refused(error, folder) from error
    return installed
