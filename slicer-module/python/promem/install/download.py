"""Downloads files; a partial download is resumed, whatever ended it.

In: an artifact of the plan, a folder. Out: the file under its name, its SHA-256 checked. Until then it is `NAME.part`.
"""

import hashlib
import os
import pathlib
import time
import urllib.error
from typing import Any, Callable, Optional

from . import hashing
from .errors import InstallError, from_os_error
from .network import CONNECTION_ERRORS, Network
from .plan import Artifact

# Called with the number of bytes of this file that have been downloaded.
Report = Callable[[int], None]

_BLOCK = 1 << 18
# Seconds to wait before each retry; they start anew whenever data have been received.
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)


def bytes_present(artifact: Artifact, folder: pathlib.Path) -> int:
    """Bytes of an artifact that are in a folder, complete or not."""
    for path in (folder / artifact.name, _part(folder, artifact)):
        try:
            return path.stat().st_size
        except OSError:
            continue
    return 0


def fetch(artifact: Artifact, folder: pathlib.Path, network: Network, report: Report) -> pathlib.Path:
    """Raises InstallError. The partial file is kept when any other exception is raised, here or by `report`."""
    target, part = folder / artifact.name, _part(folder, artifact)
    try:
        if target.exists():
            if hashing.sha256(target, report).hexdigest() == artifact.sha256:
                return target
            target.unlink()
        begun = part.exists()
        found = _download(artifact, part, network, report)
        if found != artifact.sha256 and begun:
            # The partial file may have been of another file of the same name.
            part.unlink()
            found = _download(artifact, part, network, report)
        if found != artifact.sha256:
            part.unlink()
            raise InstallError("hash", f"{artifact.name}: its SHA-256 is {found}, the index says {artifact.sha256}")
        part.replace(target)
    except OSError as error:
        raise from_os_error(error, folder) from error
    return target


def _part(folder: pathlib.Path, artifact: Artifact) -> pathlib.Path:
    return folder / (artifact.name + ".part")


def _download(artifact: Artifact, part: pathlib.Path, network: Network, report: Report) -> str:
    """Completes a partial file; its SHA-256. Raises InstallError, OSError of the disk."""
    digest = hashing.sha256(part, report) if part.exists() else hashlib.sha256()
    have = part.stat().st_size if part.exists() else 0
    if have > artifact.size:
        digest, have = hashlib.sha256(), 0
    delays = list(RETRY_DELAYS)
    while have < artifact.size:
        before, error = have, None
        try:
            answer = network.open(artifact.address, **({"Range": f"bytes={have}-"} if have else {}))
        except CONNECTION_ERRORS as problem:
            error = problem
        else:
            with answer:
                if have and not _resumes(answer, have):
                    digest, have = hashlib.sha256(), 0
                _truncate(part, have)
                with open(part, "ab") as file:
                    while have < artifact.size and error is None:
                        block, error = _read(answer, min(_BLOCK, artifact.size - have))
                        _write(file, block, part)
                        digest.update(block)
                        have += len(block)
                        report(have)
        if error is not None:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429):
                raise network.failure(artifact.address, error) from error
            if have > before:
                delays = list(RETRY_DELAYS)
            if not delays:
                raise network.failure(artifact.address, error) from error
            _wait(delays.pop(0), report, have)
    return digest.hexdigest()


def _read(answer: Any, most: int) -> tuple[bytes, Optional[Exception]]:
    """The data received, and the error that ends the response."""
    try:
        block = answer.read1(most)
    except CONNECTION_ERRORS as error:
        return b"", error
    return block, None if block else ConnectionError("the connection was closed before the end of the file")


# An error of the disk must not be taken for a broken connection, which is retried.


def _truncate(part: pathlib.Path, have: int) -> None:
    """Sets the size of a file, which need not exist."""
    try:
        part.touch()
        os.truncate(part, have)
    except OSError as error:
        raise from_os_error(error, part) from error


def _write(file: Any, block: bytes, part: pathlib.Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise from_os_error(error, part) from error


def _resumes(answer: Any, have: int) -> bool:
    """Whether the server resumes at the requested offset; otherwise it sends the whole file."""
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _wait(seconds: float, report: Report, have: int) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        report(have)
        time.sleep(min(0.2, seconds))
