"""The voxel grid of a segmentation, boxes of it, and the axis of a slice view.

In: shapes and matrices. Out: voxel indices, extents, axes. Knows numpy; no Slicer, no widget, no engine.

Arrays are indexed [k, j, i]; voxel indices are written (i, j, k); positions are RAS in millimetres, in the world.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from .i18n import _

# Array axis of each axis's name.
AXES = {"k": 0, "j": 1, "i": 2}

# Degrees between a view's normal and an axis that count as rounding, not as a rotation by the user.
MAX_OBLIQUE_DEGREES = 1.0


class ObliqueView(ValueError):
    """A slice view is not parallel to the scan's slices."""


class OutsideScan(ValueError):
    """A position is not inside the scan."""


Range = tuple[int, int]


class Extent(NamedTuple):
    """A box of voxels: (first, end) along k, j and i, the end excluded."""

    k: Range
    j: Range
    i: Range

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Extent":
        return cls(*((0, int(size)) for size in shape))

    @classmethod
    def of(cls, mask: np.ndarray, offset: Sequence[int] = (0, 0, 0)) -> Optional["Extent"]:
        """The bounding box of the nonzero voxels of an array [k, j, i] beginning at `offset`; None if all are 0."""
        ranges = []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            inside = np.flatnonzero(mask.any(axis=others))
            if not inside.size:
                return None
            ranges.append((int(offset[axis] + inside[0]), int(offset[axis] + inside[-1] + 1)))
        return cls(*ranges)

    @classmethod
    def of_slices(cls, shape: Sequence[int], axis: str, first: int, end: int) -> "Extent":
        """Whole slices across an axis, from first to end (excluded)."""
        ranges = list(cls.whole(shape))
        ranges[AXES[axis]] = (first, end)
        return cls(*ranges)

    @classmethod
    def from_vtk(cls, extent: Sequence[int]) -> Optional["Extent"]:
        """From VTK's (i0, i1, j0, j1, k0, k1), the ends included; None for an empty one."""
        i0, i1, j0, j1, k0, k1 = (int(bound) for bound in extent)
        return cls((k0, k1 + 1), (j0, j1 + 1), (i0, i1 + 1)) if i0 <= i1 and j0 <= j1 and k0 <= k1 else None

    @property
    def vtk(self) -> tuple[int, int, int, int, int, int]:
        """As in VTK: (i0, i1, j0, j1, k0, k1), the ends included."""
        return (self.i[0], self.i[1] - 1, self.j[0], self.j[1] - 1, self.k[0], self.k[1] - 1)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of this box in an array of the grid."""
        return (slice(*self.k), slice(*self.j), slice(*self.i))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.k[1] - self.k[0], self.j[1] - self.j[0], self.i[1] - self.i[0])

    @property
    def first(self) -> tuple[int, int, int]:
        """Its first voxel in an array: [k, j, i]."""
        return (self.k[0], self.j[0], self.i[0])

    def joined(self, other: "Extent") -> "Extent":
        """The smallest box that contains both."""
        return Extent(*((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(self, other)))

    def common(self, other: "Extent") -> Optional["Extent"]:
        """The intersection; None if it is empty."""
        ranges = [(max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(self, other)]
        return Extent(*ranges) if all(first < end for first, end in ranges) else None

    def within(self, outer: "Extent") -> "Extent":
        """This box, relative to the first voxel of a larger one."""
        return Extent(*((a[0] - b[0], a[1] - b[0]) for a, b in zip(self, outer)))


class Grid:
    """Size, spacing and orientation of the voxels of a segmentation.

    shape: [k, j, i]. ijk_to_ras: from (i, j, k, 1) to RAS millimetres in the world; it has an inverse.
    """

    def __init__(self, shape: Sequence[int], ijk_to_ras: np.ndarray) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.ijk_to_ras = np.asarray(ijk_to_ras, dtype=float).reshape(4, 4)
        self._ras_to_ijk = np.linalg.inv(self.ijk_to_ras)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        return self.shape == other.shape and np.allclose(self.ijk_to_ras, other.ijk_to_ras, rtol=0, atol=1e-6)

    __hash__ = None

    def __repr__(self) -> str:
        return f"Grid(shape={self.shape}, spacing={self.spacing})"

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres along i, j and k."""
        return tuple(float(length) for length in np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0))

    @property
    def coarsest_axis(self) -> str:
        """The axis of the largest spacing, at a tie "k": most likely the axis of acquisition."""
        i, j, k = (round(length, 6) for length in self.spacing)
        return "k" if k >= max(i, j) else ("j" if j >= i else "i")

    def count(self, axis: str) -> int:
        """Number of slices across an axis."""
        return self.shape[AXES[axis]]

    def ras(self, ijk: Sequence[float]) -> tuple[float, float, float]:
        """The center of a voxel."""
        return tuple(float(v) for v in (self.ijk_to_ras @ [*ijk, 1.0])[:3])

    def index(self, ras: Sequence[float]) -> tuple[float, float, float]:
        """The continuous index (i, j, k) of a position; whole numbers are voxel centers."""
        return tuple(float(v) for v in (self._ras_to_ijk @ [*ras, 1.0])[:3])

    def voxel(self, ras: Sequence[float]) -> tuple[int, int, int]:
        """The voxel (i, j, k) that holds a position. Raises OutsideScan."""
        found = tuple(math.floor(v + 0.5) for v in self.index(ras))
        if not all(0 <= n < size for n, size in zip(found, self.shape[::-1])):
            at = ", ".join(f"{v:.1f}" for v in ras)
            size = " x ".join(str(n) for n in self.shape[::-1])
            raise OutsideScan(
                _("the position ({at}) is voxel {found}, outside the scan of {size} voxels").format(
                    at=at, found=found, size=size
                )
            )
        return found

    def slice_of(self, ras: Sequence[float], axis: str) -> int:
        """Number of the slice across an axis that holds a position. Raises OutsideScan."""
        return self.voxel(ras)[2 - AXES[axis]]


def nearest_axis(slice_to_ras: np.ndarray, grid: Grid) -> tuple[str, float]:
    """The axis, "i", "j" or "k", that a slice view is nearest to, and the degrees between them. slice_to_ras: the
    view's 4x4 matrix.
    """
    normal = np.asarray(slice_to_ras, dtype=float).reshape(4, 4)[:3, 2]
    directions = grid.ijk_to_ras[:3, :3] / np.linalg.norm(grid.ijk_to_ras[:3, :3], axis=0)
    # The slices across an axis are spanned by the other two axes. Without shear their normal is the axis.
    off = {}
    for column, axis in enumerate("ijk"):
        across = np.cross(directions[:, (column + 1) % 3], directions[:, (column + 2) % 3])
        cosine = abs(across @ normal) / (np.linalg.norm(across) * np.linalg.norm(normal))
        off[axis] = math.degrees(math.acos(min(1.0, cosine)))
    axis = min(off, key=lambda name: off[name])
    return axis, off[axis]


def axis_of_view(slice_to_ras: np.ndarray, grid: Grid) -> str:
    """The axis of a slice view. Raises ObliqueView."""
    axis, degrees = nearest_axis(slice_to_ras, grid)
    if degrees > MAX_OBLIQUE_DEGREES:
        raise ObliqueView(
            _(
                "This slice view is oblique: it is rotated by {degrees:.0f}° from the scan's slices. "
                "Choose Rotate to Volume Plane in the slice view, and click again."
            ).format(degrees=degrees)
        )
    return axis
