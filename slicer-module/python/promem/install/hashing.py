"""SHA-256 of files.

In: a path. Out: its hash, which more data can be added to; progress in bytes.
"""

import hashlib
import pathlib
from typing import Any, Callable

_BLOCK = 1 << 20


def sha256(path: pathlib.Path, report: Callable[[int], None]) -> Any:
    """A `hashlib` object. report: called with the number of bytes read so far. Raises OSError."""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
            done += len(block)
            report(done)
    return digest
