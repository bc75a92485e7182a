"""Errors of an installation, as sentences for a user.

In: an error of the operating system. Out: `InstallError`, of one of a few kinds that a program can tell apart.
"""

import errno
import os
import pathlib
from typing import Union

from ..errors import PromemError

# network: no connection, or the index does not have it. disk: full. hash: the SHA-256 is not the expected one. version:
# another version or architecture. permission: not allowed to write. files: missing or damaged. busy: another
# installation runs. system: libtorch does not run here.
KINDS = ("network", "disk", "hash", "version", "permission", "files", "busy", "system")


class InstallError(PromemError):
    """libtorch is not installed, and why: one sentence. `kind` is one of `KINDS`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def format_bytes(count: int) -> str:
    """A size with a decimal unit: 537 MB, 1.2 GB."""
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{max(1, round(count / 1e6))} MB" if count else "0 MB"


def disk_full_error(place: Union[str, pathlib.Path], needed: int, free: int) -> InstallError:
    """The disk has less space than the installation needs."""
    return InstallError(
        "disk", f"{place}: the disk is too full: {format_bytes(needed)} are needed, {format_bytes(free)} are free"
    )


def from_os_error(error: OSError, place: Union[str, pathlib.Path]) -> InstallError:
    """A file or folder cannot be read or written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InstallError("disk", f"{place}: the disk is full")
    reason = os.strerror(error.errno) if error.errno else str(error)
    kind = "permission" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "files"
    return InstallError(kind, f"{error.filename or place}: {reason}")
