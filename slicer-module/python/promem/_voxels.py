"""A scan's array and where it lies, as C takes them.

In: an array [k, j, i], a map to millimetres or a spacing. Out: the struct that describes them; nothing is copied. Knows
nothing of packages that have images.
"""

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from . import _abi
from .errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How far apart voxels of one grid may lie, of the smallest spacing: headers store single precision and are written by
# many hands. As in rust/geometry.rs.
_SAME = 0.01


def readable(array: "NDArray[Any]") -> "NDArray[Any]":
    """The array itself where C can read it in place. Only one that repeats a single voxel along all axes is copied."""
    if isinstance(array, np.ma.MaskedArray):
        raise InvalidArgument("voxels: a masked array, expected values everywhere; give voxels.filled(value)")
    if array.ndim != 3:
        raise InvalidArgument(f"voxels: {array.ndim} axes, expected three: [k, j, i]")
    if not array.dtype.isnative:
        raise Unsupported(
            f'voxels: {array.dtype} is of another byte order; give voxels.astype(voxels.dtype.newbyteorder("="))'
        )
    if _key(array) not in _abi.SCALARS:
        hints = {"b": "view(np.uint8)", "f": "astype(np.float32)"}
        hint = hints.get(array.dtype.kind, "astype of one of these")
        raise Unsupported(
            f"voxels: {array.dtype} is not handled, expected int8 to int64, uint8 to uint64, float32 or float64; "
            f"give voxels.{hint}"
        )
    # All strides 0 means "contiguous" in C.
    return array if any(_strides(array)) else np.ascontiguousarray(array)


def _key(array: "NDArray[Any]") -> str:
    return f"{array.dtype.kind}{array.dtype.itemsize}"


def _strides(array: "NDArray[Any]") -> tuple[int, ...]:
    """Bytes along i, j, k."""
    return array.strides[::-1]


def described(array: "NDArray[Any]", ijk_to_ras: "NDArray[np.float64]") -> _abi.Volume:
    """The struct that describes an array that is `readable`."""
    volume = _abi.Volume(struct_size=ctypes.sizeof(_abi.Volume))
    volume.scalar_type = _abi.SCALARS[_key(array)]
    volume.voxels = array.ctypes.data
    volume.dims[:] = array.shape[::-1]
    volume.strides[:] = _strides(array)
    for row, values in enumerate(ijk_to_ras[:3].tolist()):
        volume.ijk_to_ras[row][:] = values
    return volume


def placed(
    own: "Optional[NDArray[np.float64]]", ijk_to_ras: Any, spacing_ijk: Optional[Sequence[float]]
) -> "tuple[Optional[NDArray[np.float64]], NDArray[np.float64]]":
    """Where a scan lies, by its image or by its caller, None where nobody said; and the map that C is given, whoever
    said it.
    """
    given = {"the image's own map": own, "ijk_to_ras": ijk_to_ras, "spacing_ijk": spacing_ijk}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise InvalidArgument(f"{' and '.join(names)}: {len(names)} are given, expected one of them")
    if spacing_ijk is not None:
        return None, _spaced(spacing_ijk)
    known = own if ijk_to_ras is None else _matrix(ijk_to_ras)
    return known, np.eye(4) if known is None else known


def _matrix(given: Any) -> "NDArray[np.float64]":
    """4x4, from that or its upper 3x4."""
    matrix = _numbers(given, "ijk_to_ras", "a matrix of (4, 4) or its upper (3, 4)")
    if matrix.shape not in ((3, 4), (4, 4)):
        raise InvalidArgument(f"ijk_to_ras: shape {matrix.shape}, expected (4, 4) or its upper (3, 4)")
    if matrix.shape == (4, 4) and matrix[3].tolist() != [0, 0, 0, 1]:
        raise InvalidArgument(f"ijk_to_ras: its last row is {matrix[3].tolist()}, expected [0, 0, 0, 1]")
    return np.vstack([matrix[:3], [0, 0, 0, 1]])


def _spaced(spacing_ijk: Sequence[float]) -> "NDArray[np.float64]":
    steps = _numbers(spacing_ijk, "spacing_ijk", "three numbers: along i, j, k in mm")
    if steps.shape != (3,):
        raise InvalidArgument(f"spacing_ijk: shape {steps.shape}, expected three numbers: along i, j, k in mm")
    return np.diag([*steps, 1.0])


def _numbers(given: Any, what: str, expected: str) -> "NDArray[np.float64]":
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidArgument(f"{what}: {given!r:.80}, expected {expected}") from None


def check_same_grid(own: "NDArray[np.float64]", other: "NDArray[np.float64]", shape: Sequence[int], what: str) -> None:
    """Errors: InvalidArgument, where voxels of two maps lie apart."""
    last = [size - 1 for size in shape[::-1]]
    # Both maps are affine: where four corners coincide, everything does.
    corners = np.array([[0, 0, 0, 1], [last[0], 0, 0, 1], [0, last[1], 0, 1], [0, 0, last[2], 1]], np.float64).T
    here, there = (own @ corners)[:3].T, (other @ corners)[:3].T
    smallest = np.linalg.norm(own[:3, :3], axis=0).min()
    for corner, a, b in zip(corners.T[:, :3].astype(int).tolist(), here, there):
        if not np.linalg.norm(a - b) <= _SAME * smallest:
            raise InvalidArgument(
                f"{what}: voxel {corner} lies at {b.round(3).tolist()} mm, in the scan at {a.round(3).tolist()} mm (RAS), "
                "expected one grid"
            )


def pointer(array: "NDArray[Any]", of: Any) -> Any:
    """The address of a contiguous array's first value."""
    return array.ctypes.data_as(ctypes.POINTER(of))
