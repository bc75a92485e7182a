"""Masks of slices as text, for messages.

In: an array of truth values [rows, columns]. Out: {"shape": [rows, columns], "bits": text}, a fraction of its size, and back again. Knows
nothing of objects and slices.
"""

import base64
import binascii
import zlib
from typing import Any

import numpy as np

from .._prompts import inside
from ..errors import InvalidArgument

# More pixels than any slice has. A message cannot ask for more memory than this.
_MOST_PIXELS = 1 << 28


def pack(mask: Any) -> dict[str, Any]:
    """A mask as text. Errors: InvalidArgument, for what `Session.add_mask` refuses, too."""
    given = np.asarray(mask)
    if given.ndim != 2:
        raise InvalidArgument(f"mask: {given.ndim} axes, expected two: rows and columns")
    # Level 1: masks are nearly all runs, which every level finds.
    bits = zlib.compress(np.packbits(inside(given)).tobytes(), 1)
    return {"shape": list(given.shape), "bits": base64.b64encode(bits).decode("ascii")}


def unpack(packed: Any) -> np.ndarray:
    """The mask, bool [rows, columns], of what `pack` has made. Errors: InvalidArgument."""
    if not isinstance(packed, dict) or not {"shape", "bits"} <= packed.keys():
        raise InvalidArgument(f"mask: {type(packed).__name__}, expected an object with shape and bits")
    rows, columns = _shape(packed["shape"])
    expected = (rows * columns + 7) // 8
    try:
        compressed = base64.b64decode(packed["bits"], validate=True)
        reader = zlib.decompressobj()
        data = reader.decompress(compressed, expected + 1)
    except (TypeError, ValueError, binascii.Error, zlib.error) as trouble:
        raise InvalidArgument(f"mask: its bits are not base64 of zlib: {trouble}") from trouble
    if len(data) != expected:
        found = f"more than {expected}" if len(data) > expected else str(len(data))
        raise InvalidArgument(f"mask: {found} bytes of bits, expected {expected} for {rows} x {columns} pixels")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=rows * columns).reshape(rows, columns).view(np.bool_)


def _shape(given: Any) -> tuple[int, int]:
    if isinstance(given, (list, tuple)) and len(given) == 2 and all(type(size) is int and size > 0 for size in given):
        rows, columns = given
        if rows * columns <= _MOST_PIXELS:
            return rows, columns
    raise InvalidArgument(f"mask: shape {given!r}, expected rows and columns, together at most {_MOST_PIXELS} pixels")
