"""Checks that a NIfTI file is complete: Slicer's reader accepts a truncated file and fills it with zeros.

In: a file. Out: yes or no. Reads the size of the voxel data from the header, and nothing else of the format.
"""

import gzip
import math
import pathlib
import struct
import zlib
from typing import Optional

# Bytes in one read.
CHUNK_BYTES = 1 << 20
# Header length -> offset and type of dim, bitpix and vox_offset in NIfTI-1 and NIfTI-2 (nifti1.h, nifti2.h).
HEADERS = {348: ((40, "8h"), (72, "h"), (108, "f")), 540: ((16, "8q"), (14, "h"), (168, "q"))}


def is_complete(file: pathlib.Path) -> bool:
    """Whether the file contains all voxels and, if it is compressed, is undamaged."""
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
    """The minimum length of the file by its header; None if the header is invalid."""
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
