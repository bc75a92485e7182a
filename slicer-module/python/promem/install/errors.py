"""What can go wrong with an installation, as sentences for a user.

In: what the operating system says. Out: `InstallError`, of one of a few kinds that a program can tell apart.
"""

import errno
import os
import pathlib
from typing import Union

from ..errors import PromemError

# network: no connection, or the index does not have it. disk: full. hash: not what the index says. version: of another version or machine.
# permission: not allowed to write. files: missing or damaged. busy: another installation runs. system: not a system that libtorch runs on.
KINDS = ("network", "disk", "hash", "version", "permission", "files", "busy", "system")


class InstallError(PromemError):
    """libtorch is not installed, and why: one sentence. `kind` is one of `KINDS`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def bytes_in_words(count: int) -> str:
    """A size as users know it: 537 MB, 1.2 GB."""
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{max(1, round(count / 1e6))} MB" if count else "0 MB"


def not_enough_space(place: Union[str, pathlib.Path], needed: int, free: int) -> InstallError:
    """The disk cannot hold what is to come."""
    return InstallError(
        "disk", f"{place}: the disk is too full: {bytes_in_words(needed)} are needed, {bytes_in_words(free)} are free"
    )


def refused(error: OSError, place: Union[str, pathlib.Path]) -> InstallError:
    """The operating system would not read or write a file or folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InstallError("disk", f"{place}: the disk is full")
    reason = os.strerror(error.errno) if error.errno else str(error)
    kind = "permission" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "files"
    return InstallError(kind, f"{error.filename or place}: {reason}")
