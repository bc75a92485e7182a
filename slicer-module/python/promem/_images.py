"""What other packages call an image, as an array and a map, and back.

In: a numpy array or what numpy can read in place, or an image of nibabel, SimpleITK or ITK. Out: its voxels [k, j, i],
where they lie, and the way back for labels. Imports none of these packages: who has an image of one has imported it.
Knows nothing of sessions.

    image = read(given)
    image.voxels, image.ijk_to_ras
    image.back(labels)  # labels [k, j, i] as `given` is, on its grid
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

import numpy as np

from .errors import InvalidArgument

if TYPE_CHECKING:
    from numpy.typing import NDArray

# ITK's axes are left, posterior, superior.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# NIfTI's units of length that are not millimetres.
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}


class Image(NamedTuple):
    """voxels: [k, j, i], not copied where that can be avoided. ijk_to_ras: 4x4, from (i, j, k, 1) to millimetres; None
    where the image does not say. keep: what the voxels' memory belongs to. back: labels [k, j, i] as an image of the
    same kind on the same grid.
    """

    voxels: "NDArray[Any]"
    ijk_to_ras: "Optional[NDArray[np.float64]]"
    keep: Any
    back: "Callable[[NDArray[Any]], Any]"


def read(given: Any, what: str = "image") -> Image:
    """Errors: InvalidArgument for what is no image."""
    packages = {kind.__module__.partition(".")[0] for kind in type(given).__mro__}
    for package, attributes, reader in _READERS:
        # ITK's modules have had several names: itk.itkImagePython, itkImagePython.
        if any(name.startswith(package) for name in packages) and all(hasattr(given, name) for name in attributes):
            return reader(given)
    return _array(given, what)


def _array(given: Any, what: str) -> Image:
    if isinstance(given, np.ndarray):
        return Image(given, None, given, lambda labels: labels)
    if not (hasattr(given, "__array__") or hasattr(given, "__array_interface__")):
        raise InvalidArgument(
            f"{what}: {type(given).__name__}, expected a numpy array indexed [k, j, i], or an image of nibabel, SimpleITK "
            "or ITK"
        )
    try:
        voxels = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as trouble:
        raise InvalidArgument(f"{what}: {type(given).__name__}, which numpy cannot read: {trouble}") from trouble
    return Image(voxels, None, given, lambda labels: labels)


def _nibabel(given: Any) -> Image:
    voxels = np.asanyarray(given.dataobj).T
    while voxels.ndim > 3 and voxels.shape[0] == 1:
        voxels = voxels[0]
    if not voxels.dtype.isnative:
        voxels = voxels.astype(voxels.dtype.newbyteorder("="))
    kind, affine, header = type(given), given.affine, given.header.copy()
    is_nifti = hasattr(header, "get_xyzt_units")
    ijk_to_ras = None
    if affine is not None:
        ijk_to_ras = np.array(affine, np.float64)
        if is_nifti:
            ijk_to_ras[:3] *= _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)

    def back(labels: "NDArray[Any]") -> Any:
        if not is_nifti:
            return sys.modules["nibabel"].Nifti1Image(labels.T, affine)
        # With its header: both of its maps, their codes and its unit stay as they are.
        made = kind(labels.T, affine, header)
        made.set_data_dtype(labels.dtype)
        made.header["cal_min"] = made.header["cal_max"] = 0
        return made

    return Image(voxels, ijk_to_ras, voxels, back)


def _simpleitk(given: Any) -> Image:
    package = sys.modules["SimpleITK"]
    if given.GetNumberOfComponentsPerPixel() != 1:
        raise InvalidArgument(f"image: {given.GetNumberOfComponentsPerPixel()} components a voxel, expected one")
    if given.GetDimension() != 3:
        raise InvalidArgument(f"image: {given.GetDimension()} dimensions, expected three")
    voxels = package.GetArrayViewFromImage(given)
    origin, spacing, direction = given.GetOrigin(), given.GetSpacing(), given.GetDirection()

    def back(labels: "NDArray[Any]") -> Any:
        made = package.GetImageFromArray(labels)
        made.SetOrigin(origin)
        made.SetSpacing(spacing)
        made.SetDirection(direction)
        return made

    # A second owner of the same memory: where the first is changed, SimpleITK gives that one memory of its own.
    return Image(voxels, _from_lps(origin, spacing, np.reshape(direction, (3, 3))), type(given)(given), back)


def _itk(given: Any) -> Image:
    package = sys.modules["itk"]
    if given.GetImageDimension() != 3:
        raise InvalidArgument(f"image: {given.GetImageDimension()} dimensions, expected three")
    voxels = package.array_view_from_image(given)
    # ITK's origin is that of index 0, which a region need not begin with.
    first = [int(given.GetBufferedRegion().GetIndex()[axis]) for axis in range(3)]
    origin = [float(given.GetOrigin()[axis]) for axis in range(3)]
    spacing = [float(given.GetSpacing()[axis]) for axis in range(3)]
    direction = np.array(package.array_from_matrix(given.GetDirection()), np.float64)
    begin = np.array(origin) + direction @ (np.array(spacing) * first)

    def back(labels: "NDArray[Any]") -> Any:
        made = package.image_from_array(np.ascontiguousarray(labels))
        made.SetOrigin(begin.tolist())
        made.SetSpacing(spacing)
        made.SetDirection(package.matrix_from_array(direction))
        return made

    return Image(np.asarray(voxels), _from_lps(begin, spacing, direction), (voxels, given), back)


def _from_lps(origin: Any, spacing: Sequence[float], direction: "NDArray[np.float64]") -> "NDArray[np.float64]":
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.asarray(spacing, np.float64)
    matrix[:3, 3] = origin
    # No negative zeros.
    return _LPS_TO_RAS @ matrix + 0.0


# How the name of a package's modules begins, what its images have, how they are read.
_READERS: tuple[tuple[str, tuple[str, ...], Callable[[Any], Image]], ...] = (
    ("nibabel", ("dataobj", "affine", "header"), _nibabel),
    ("SimpleITK", ("GetOrigin", "GetSpacing", "GetDirection", "GetNumberOfComponentsPerPixel"), _simpleitk),
    ("itk", ("GetOrigin", "GetSpacing", "GetDirection", "GetBufferedRegion"), _itk),
)
