"""The header of the benchmarks' scans, with the standard library alone: NIfTI-1, int16 (nifti1.h)."""

import struct

BYTES = 352


def header(dims, spacing):
    """`dims` (i, j, k) and `spacing` in mm; the voxels, i fastest, follow it."""
    made = bytearray(BYTES)
    struct.pack_into("<i", made, 0, 348)
    struct.pack_into("<8h", made, 40, 3, *dims, 1, 1, 1, 1)
    struct.pack_into("<2h", made, 70, 4, 16)
    struct.pack_into("<8f", made, 76, 1, *spacing, 1, 1, 1, 1)
    struct.pack_into("<f", made, 108, BYTES)
    struct.pack_into("<h", made, 254, 1)
    rows = [[spacing[row] if row == column else 0 for column in range(4)] for row in range(3)]
    struct.pack_into("<12f", made, 280, *sum(rows, []))
    made[344:348] = b"n+1\0"
    return bytes(made)
