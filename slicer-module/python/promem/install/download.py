"""Fetches files; what is there already is kept and completed, whatever ended the download before.

In: a piece of the plan, a folder. Out: the file under its name, its SHA-256 checked. Until then it is `NAME.part`.
"""

import hashlib
import os
import pathlib
import time
import urllib.error
from typing import Any, Callable, Optional

from .errors import InstallError, refused
from .network import BROKEN, Network
from .plan import Piece

# Called with the bytes of this file that are here.
Report = Callable[[int], None]

_BLOCK = 1 << 18
# Seconds to wait before each attempt after the first; they start anew whenever something has come.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)


def bytes_here(piece: Piece, folder: pathlib.Path) -> int:
    """How much of a piece lies in a folder, complete or not."""
    for path in (folder / piece.name, _part(folder, piece)):
        try:
            return path.stat().st_size
        except OSError:
            continue
    return 0


def fetch(piece: Piece, folder: pathlib.Path, network: Network, report: Report) -> pathlib.Path:
    """Raises InstallError. A part of a file stays when anything else is raised from here or from `report`."""
    target, part = folder / piece.name, _part(folder, piece)
    try:
        if target.exists():
            if _digest(target, report).hexdigest() == piece.sha256:
                return target
            target.unlink()
        begun = part.exists()
        found = _download(piece, part, network, report)
        if found != piece.sha256 and begun:
            # The beginning may have been of another file of the same name.
            part.unlink()
            found = _download(piece, part, network, report)
        if found != piece.sha256:
            part.unlink()
            raise InstallError("hash", f"{piece.name}: its SHA-256 is {found}, the index says {piece.sha256}")
        part.replace(target)
    except OSError as error:
        raise refused(error, folder) from error
    return target


def _part(folder: pathlib.Path, piece: Piece) -> pathlib.Path:
    return folder / (piece.name + ".part")


def _digest(path: pathlib.Path, report: Report) -> Any:
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while True:
            block = file.read(_BLOCK)
            if not block:
                return digest
            digest.update(block)
            done += len(block)
            report(done)


def _download(piece: Piece, part: pathlib.Path, network: Network, report: Report) -> str:
    """Completes a part of a file; its SHA-256. Raises InstallError, OSError of the disk."""
    digest = _digest(part, report) if part.exists() else hashlib.sha256()
    have = part.stat().st_size if part.exists() else 0
    if have > piece.size:
        digest, have = hashlib.sha256(), 0
    pauses = list(PAUSES)
    while have < piece.size:
        before, error = have, None
        try:
            answer = network.open(piece.address, **({"Range": f"bytes={have}-"} if have else {}))
        except BROKEN as trouble:
            error = trouble
        else:
            with answer:
                if have and not _continues(answer, have):
                    digest, have = hashlib.sha256(), 0
                _cut(part, have)
                with open(part, "ab") as file:
                    while have < piece.size and error is None:
                        block, error = _read(answer, min(_BLOCK, piece.size - have))
                        _write(file, block, part)
                        digest.update(block)
                        have += len(block)
                        report(have)
        if error is not None:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429):
                raise network.failure(piece.address, error) from error
            if have > before:
                pauses = list(PAUSES)
            if not pauses:
                raise network.failure(piece.address, error) from error
            _pause(pauses.pop(0), report, have)
    return digest.hexdigest()


def _read(answer: Any, most: int) -> tuple[bytes, Optional[Exception]]:
    """What has come, and why there will be no more."""
    try:
        block = answer.read1(most)
    except BROKEN as error:
        return b"", error
    return block, None if block else ConnectionError("the connection was closed before the end of the file")


# What the disk refuses must not be taken for a broken connection, which is tried again.


def _cut(part: pathlib.Path, have: int) -> None:
    """Lets a file, new or old, have so many bytes."""
    try:
        part.touch()
        os.truncate(part, have)
    except OSError as error:
        raise refused(error, part) from error


def _write(file: Any, block: bytes, part: pathlib.Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise refused(error, part) from error


def _continues(answer: Any, have: int) -> bool:
    """Whether the server goes on where it was asked to; else it begins at the beginning."""
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _pause(seconds: float, report: Report, have: int) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        report(have)
        time.sleep(min(0.2, seconds))
