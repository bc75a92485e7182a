"""Takes libpromem from a wheel of promem, for a package `promem` that came without it, as Slicer's extension does.

In: a wheel on disk. Out: libpromem in the user's folder, where `promem` finds it. The wheel's own list of hashes is
verified. Knows nothing of libtorch.
"""

import base64
import csv
import hashlib
import io
import os
import pathlib
import platform
import re
import sys
import tempfile
import zipfile
from typing import Any, Callable

from .. import __version__, _home
from . import store
from .archives import UNREADABLE
from .errors import InstallError, from_os_error
from .plan import Artifact, Plan

_ENTRY = "promem/libpromem.so"
_NAME = re.compile(r"promem-(?P<version>[^-]+)-[^-]+-[^-]+-(?P<platform>[^-]+)\.whl")
_BLOCK = 1 << 20


def is_engine(source: Any) -> bool:
    """Whether a file is named as a wheel of promem."""
    return _NAME.fullmatch(pathlib.Path(str(source)).name) is not None


def plan(source: Any) -> Plan:
    """What `install` would do. Raises InstallError."""
    path = store.folder_or_default(source)
    with _open(path) as wheel:
        size = _entry(wheel, path).file_size
    folder = _home.engine()
    return Plan(
        version=__version__,
        folder=str(folder),
        source=str(path),
        offline=True,
        artifacts=(Artifact(path.name, str(path), path.stat().st_size),),
        unpacked=size,
        free=store.free(folder),
        what="libpromem",
    )


def install(source: Any, report: Callable[[str, int, int], None]) -> pathlib.Path:
    """Installs libpromem and returns its folder. An earlier one is replaced at once or not at all. Raises InstallError."""
    path, folder = store.folder_or_default(source), _home.engine()
    with _open(path) as wheel:
        entry = _entry(wheel, path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".libpromem", delete=False) as staged:
                try:
                    digest, done = hashlib.sha256(), 0
                    with wheel.open(entry) as packed:
                        for block in iter(lambda: packed.read(_BLOCK), b""):
                            staged.write(block)
                            digest.update(block)
                            done += len(block)
                            report("unpacking", done, entry.file_size)
                    if digest.digest() != _recorded(wheel, path):
                        raise InstallError(
                            "files", f"{path} is damaged: {_ENTRY} differs from the wheel's list of hashes"
                        )
                    os.chmod(staged.name, 0o755)
                    os.replace(staged.name, folder / "libpromem.so")
                except BaseException:
                    os.unlink(staged.name)
                    raise
        except UNREADABLE as error:
            raise InstallError("files", f"{path} is damaged: {error}") from error
        except OSError as error:
            raise from_os_error(error, folder) from error
    return folder


def _open(path: pathlib.Path) -> zipfile.ZipFile:
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise InstallError("files", f"{path.name}: expected a wheel promem-{__version__}-....whl")
    if named["version"] != __version__:
        raise InstallError("files", f"{path} has promem {named['version']}, expected {__version__}")
    machine = platform.machine()
    if (
        sys.platform != "linux"
        or not named["platform"].endswith(f"linux_{machine}")
        and not re.search(rf"linux_\d+_\d+_{machine}$|linux\d+_{machine}$", named["platform"])
    ):
        raise InstallError("files", f"{path} is for {named['platform']}, expected one for {sys.platform}_{machine}")
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise InstallError("files", f"{path} is damaged or not a wheel: {error}") from error
    except OSError as error:
        raise from_os_error(error, path) from error


def _entry(wheel: zipfile.ZipFile, path: pathlib.Path) -> zipfile.ZipInfo:
    try:
        return wheel.getinfo(_ENTRY)
    except KeyError as error:
        raise InstallError("files", f"{path} has no {_ENTRY}: expected a wheel with the library") from error


def _recorded(wheel: zipfile.ZipFile, path: pathlib.Path) -> bytes:
    """The SHA-256 of the library in the wheel's RECORD."""
    record = f"promem-{__version__}.dist-info/RECORD"
    try:
        rows = csv.reader(io.StringIO(wheel.read(record).decode()))
    except (KeyError, UnicodeDecodeError) as error:
        raise InstallError("files", f"{path} is damaged: {record} cannot be read") from error
    digests = {row[0]: row[1] for row in rows if len(row) > 1}
    kind, _, digest = digests.get(_ENTRY, "").partition("=")
    if kind != "sha256":
        raise InstallError("files", f"{path} is damaged: {record} has no SHA-256 of {_ENTRY}")
    return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4))
