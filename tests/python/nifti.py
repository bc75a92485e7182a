"""As much of NIfTI as the tests need."""

import gzip
import struct

import numpy as np

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def read(path):
    """Voxels [k, j, i] and the map from (i, j, k, 1) to right, anterior, superior."""
    with gzip.open(path) as file:
        data = file.read()
    i, j, k = struct.unpack_from("<3h", data, 42)
    kind = np.dtype("<" + TYPES[struct.unpack_from("<h", data, 70)[0]])
    begin = int(struct.unpack_from("<f", data, 108)[0])
    voxels = np.frombuffer(data, kind, i * j * k, begin).reshape(k, j, i)
    return voxels, np.vstack([np.frombuffer(data, "<f4", 12, 280).reshape(3, 4), [0, 0, 0, 1]])
