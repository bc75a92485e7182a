"""The nodes that a Segment Editor has selected, or an error that says what is missing.

In: the editor's node. Out: segmentation, segments and source volume that can be segmented, the grid, and the volume's
voxels on it. Changes nothing.
"""

import numpy as np
import slicer
import vtk

from .editing import Editing, SceneError
from .grid import Grid
from .i18n import _
from .labelmaps import BINARY_LABELMAP, ReferenceGeometry, array_of, array_of_matrix


class EditorSelection:
    """Every method raises SceneError."""

    def __init__(self, editing: Editing) -> None:
        self._editing = editing

    def node(self) -> slicer.vtkMRMLSegmentEditorNode:
        node = self._editing.node
        if node is None:
            raise SceneError(_("The Segment Editor has no parameter node: open the Segment Editor first."))
        return node

    def segmentation(self) -> slicer.vtkMRMLSegmentationNode:
        segmentation = self.node().GetSegmentationNode()
        if segmentation is None or segmentation.GetSegmentation() is None:
            raise SceneError(_("No segmentation is selected: choose or make one in the Segment Editor."))
        stored = segmentation.GetSegmentation().GetSourceRepresentationName()
        if stored != BINARY_LABELMAP and segmentation.GetSegmentation().GetNumberOfSegments():
            raise SceneError(
                _(
                    "{name}: the segments are stored as {stored}, expected {wanted}. "
                    "Let the Segment Editor convert them."
                ).format(name=segmentation.GetName(), stored=stored, wanted=BINARY_LABELMAP)
            )
        return segmentation

    def segment(self, segment_id: str) -> slicer.vtkSegment:
        segmentation = self.segmentation()
        segment = segmentation.GetSegmentation().GetSegment(segment_id) if segment_id else None
        if segment is None:
            raise SceneError(
                _("{name}: there is no segment {segment_id!r} any more. Select another.").format(
                    name=segmentation.GetName(), segment_id=segment_id
                )
            )
        return segment

    def volume(self) -> slicer.vtkMRMLScalarVolumeNode:
        volume = self.node().GetSourceVolumeNode()
        if volume is None:
            raise SceneError(_("No source volume is selected: choose one in the Segment Editor."))
        image = volume.GetImageData()
        if image is None or not image.GetNumberOfPoints() or image.GetPointData().GetScalars() is None:
            raise SceneError(
                _("{name}: the volume has no voxels, expected an image that is loaded.").format(name=volume.GetName())
            )
        components = image.GetNumberOfScalarComponents()
        if components != 1:
            raise SceneError(
                _(
                    "{name}: a volume with {components} values in each voxel, expected one. "
                    "Make a scalar volume of it (module Vector to Scalar Volume)."
                ).format(name=volume.GetName(), components=components)
            )
        return volume

    def geometry(self) -> ReferenceGeometry:
        """The reference geometry of the segmentation, in segmentation coordinates."""
        segmentation = self.segmentation()
        reference = self._editing.reference_geometry()
        if reference is None or not reference.GetNumberOfPoints():
            raise SceneError(
                _(
                    "{name}: the segmentation has no geometry, expected one of a source volume. "
                    "Choose a source volume in the Segment Editor."
                ).format(name=segmentation.GetName())
            )
        return ReferenceGeometry(reference)

    def grid(self) -> Grid:
        """The reference geometry in world coordinates."""
        self.volume()
        segmentation, geometry = self.segmentation(), self.geometry()
        transform = segmentation.GetParentTransformNode()
        segmentation_to_world = vtk.vtkMatrix4x4()
        if transform is not None and not transform.IsTransformToWorldLinear():
            raise SceneError(
                _(
                    "{name}: the segmentation is under {other}, which is not a linear transform. "
                    "Harden it, or take the segmentation out of it."
                ).format(name=segmentation.GetName(), other=transform.GetName())
            )
        if transform is not None:
            transform.GetMatrixTransformToWorld(segmentation_to_world)
        return Grid(geometry.shape, array_of_matrix(segmentation_to_world) @ geometry.ijk_to_segmentation)

    def voxels(self) -> np.ndarray:
        """The source volume on the grid, [k, j, i], not copied; the array keeps it alive."""
        volume, segmentation, geometry = self.volume(), self.segmentation(), self.geometry()
        if _is_same_place(volume, segmentation, geometry):
            return array_of(volume.GetImageData())
        image = self._editing.aligned_source()
        if image is None or geometry.clip(image.GetExtent()) != geometry.whole:
            raise SceneError(
                _(
                    "{name}: the volume cannot be brought to the geometry of {other}. "
                    "Set the segmentation's source geometry from this volume."
                ).format(name=volume.GetName(), other=segmentation.GetName())
            )
        return array_of(image)


def _is_same_place(
    volume: slicer.vtkMRMLScalarVolumeNode, segmentation: slicer.vtkMRMLSegmentationNode, geometry: ReferenceGeometry
) -> bool:
    """Whether the volume lies on the grid, by the rule that lets Slicer copy instead of resample."""
    if volume.GetParentTransformNode() is not segmentation.GetParentTransformNode():
        return False
    image = slicer.vtkOrientedImageData()
    image.SetExtent(volume.GetImageData().GetExtent())
    volume_to_segmentation = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(volume_to_segmentation)
    image.SetImageToWorldMatrix(volume_to_segmentation)
    return geometry.matches(image) and image.GetExtent() == geometry.vtk_extent(geometry.whole)
