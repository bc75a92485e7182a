"""Whether a NIfTI file goes to its end: Slicer's reader takes a part for the whole, and what is missing for black.

In: a file. Out: yes or no. Knows of the format no more than where its voxels begin and how many bytes they are.
"""

import gzip
import math
import pathlib
import struct
import zlib
from typing import Optional

# Bytes that are looked at at once.
CHUNK_BYTES = 1 << 20
# Of NIfTI-1 and NIfTI-2, by the length of their headers, which is their first number: where and how the sizes, the bits of a voxel and the
# beginning of the voxels are written (nifti1.h, nifti2.h).
HEADERS = {348: ((40, "8h"), (72, "h"), (108, "f")), 540: ((16, "8q"), (14, "h"), (168, "q"))}


def is_complete(file: pathlib.Path) -> bool:
    """Whether all voxels are there, and, where the file is compressed, nothing of it is damaged."""
    is_compressed = file.name.lower().endswith(".gz")
    try:
        with gzip.open(file) if is_compressed else file.open("rb") as content:
            expected = _expected_bytes(content.read(max(HEADERS)))
            length = content.tell()
            if not is_compressed:
                length = file.stat().st_size
            else:
                while piece := content.read(CHUNK_BYTES):
                    length += len(piece)
    except (EOFError, OSError, zlib.error):
        return False
    return expected is not None and length >= expected


def _expected_bytes(header: bytes) -> Optional[int]:
    """How long the file is by its header, at least; None where that is none."""
    for order in "<>":
        if len(header) < 4:
            return None
        fields = HEADERS.get(struct.unpack_from(f"{order}i", header)[0])
        if fields is not None:
            try:
                sizes, (bits,), (begin,) = (struct.unpack_from(f"{order}{kind}", header, at) for at, kind in fields)
            except struct.error:
                return None
            return int(begin) + math.prod(max(size, 1) for size in sizes[1 : 1 + max(sizes[0], 0)]) * bits // 8
    return None
