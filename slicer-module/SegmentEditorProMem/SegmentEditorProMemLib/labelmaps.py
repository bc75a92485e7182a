"""Conversion of voxels between numpy and MRML.

In: oriented images, segments, boxes of the editor's grid. Out: arrays [k, j, i], and images for Slicer's logic. Knows
MRML's data, no node and no editor.
"""

from collections.abc import Sequence
from typing import Optional

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from .grid import Extent

Resample = slicer.vtkOrientedImageDataResample
BINARY_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def array_of(image: vtk.vtkImageData) -> np.ndarray:
    """The voxels of an image with one component, [k, j, i], not copied; the array keeps them alive."""
    i, j, k = image.GetDimensions()
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)


def array_of_matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_of(array: np.ndarray) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=float).ravel().tolist())
    return matrix


class ReferenceGeometry:
    """The editor's reference geometry: the voxels of its segments.

    Slicer's extent may begin at any index: where a segment extends beyond the geometry, the extent grows and begins
    below zero. Boxes (`Extent`) count from the first voxel.
    """

    def __init__(self, reference: slicer.vtkOrientedImageData) -> None:
        """reference: an image with the geometry; its voxels are not used."""
        self.image_to_segmentation = vtk.vtkMatrix4x4()
        reference.GetImageToWorldMatrix(self.image_to_segmentation)
        i0, i1, j0, j1, k0, k1 = reference.GetExtent()
        self._first = (k0, j0, i0)
        self.shape = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReferenceGeometry):
            return NotImplemented
        same = self.shape == other.shape and self._first == other._first
        return same and np.array_equal(
            array_of_matrix(self.image_to_segmentation), array_of_matrix(other.image_to_segmentation)
        )

    __hash__ = None

    @property
    def whole(self) -> Extent:
        return Extent.whole(self.shape)

    @property
    def ijk_to_segmentation(self) -> np.ndarray:
        """From (i, j, k, 1), counted from the first voxel, to segmentation coordinates."""
        shift = np.eye(4)
        shift[:3, 3] = self._first[::-1]
        return array_of_matrix(self.image_to_segmentation) @ shift

    def vtk_extent(self, box: Extent) -> tuple[int, int, int, int, int, int]:
        """A box as an extent of Slicer."""
        return Extent(*((first + by, end + by) for (first, end), by in zip(box, self._first))).vtk

    def to_extent(self, extent: Sequence[int]) -> Optional[Extent]:
        """An extent of Slicer, counted from the first voxel, which may exceed the grid; None for an empty one."""
        box = Extent.from_vtk(extent)
        return box and Extent(*((first - by, end - by) for (first, end), by in zip(box, self._first)))

    def clip(self, extent: Sequence[int]) -> Optional[Extent]:
        """The part of an extent of Slicer on the grid; None if there is none."""
        moved = self.to_extent(extent)
        return moved and moved.common(self.whole)

    def image(self, box: Extent) -> slicer.vtkOrientedImageData:
        """An image of a box, without voxels."""
        image = slicer.vtkOrientedImageData()
        image.SetExtent(self.vtk_extent(box))
        image.SetImageToWorldMatrix(self.image_to_segmentation)
        return image

    def labelmap(self, box: Extent, mask: np.ndarray) -> slicer.vtkOrientedImageData:
        """A mask, an array of the box's shape, as a labelmap of 0 and 1."""
        image = self.image(box)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        array_of(image)[...] = mask
        return image

    def matches(self, image: slicer.vtkOrientedImageData) -> bool:
        """Whether an image has this geometry, with any extent, by Slicer's rule."""
        return Resample.DoGeometriesMatch(image, self.image(self.whole))


def labelmap_of(segment: slicer.vtkSegment) -> Optional[slicer.vtkOrientedImageData]:
    """The labelmap of a segment, perhaps shared with others; None if it is empty."""
    image = segment.GetRepresentation(BINARY_LABELMAP)
    if image is None or not image.GetNumberOfPoints() or image.GetPointData().GetScalars() is None:
        return None
    return image


def mask_of(segment: slicer.vtkSegment, geometry: ReferenceGeometry, box: Extent) -> np.ndarray:
    """A segment's voxels in a box, bool [k, j, i], a copy. Another geometry is resampled, as Slicer does before an
    edit.
    """
    mask = np.zeros(box.shape, dtype=bool)
    image = labelmap_of(segment)
    if image is None:
        return mask
    if not geometry.matches(image):
        resampled = slicer.vtkOrientedImageData()
        Resample.ResampleOrientedImageToReferenceOrientedImage(image, geometry.image(box), resampled, False, False)
        np.equal(array_of(resampled), segment.GetLabelValue(), out=mask)
        return mask
    there = geometry.to_extent(image.GetExtent())
    common = there.common(box)
    if common:
        labels = array_of(image)[common.within(there).slices]
        np.equal(labels, segment.GetLabelValue(), out=mask[common.within(box).slices])
    return mask


def occupied_by(segment: slicer.vtkSegment, geometry: ReferenceGeometry) -> Optional[Extent]:
    """A box outside of which a segment is empty; None if it is empty on the grid. It reads no voxel."""
    image = labelmap_of(segment)
    if image is None:
        return None
    if geometry.matches(image):
        return geometry.clip(image.GetExtent())
    segmentation_to_index = np.linalg.inv(array_of_matrix(geometry.image_to_segmentation))
    image_to_segmentation = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(image_to_segmentation)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    # The corners of the voxels, not their centers.
    corners = [(i, j, k, 1.0) for i in (i0 - 0.5, i1 + 0.5) for j in (j0 - 0.5, j1 + 0.5) for k in (k0 - 0.5, k1 + 0.5)]
    indices = (segmentation_to_index @ array_of_matrix(image_to_segmentation) @ np.transpose(corners))[:3]
    low, high = np.floor(indices.min(axis=1)).astype(int), np.ceil(indices.max(axis=1)).astype(int)
    return geometry.clip([bound for pair in zip(low, high) for bound in pair])
