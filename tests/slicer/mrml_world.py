"""A MRML scene with a Segment Editor in it, volumes of every geometry, and what stands for Slicer's scripted effect.

Everything is real but the effect: of Slicer's host only the few methods that the scene calls, over the same logic.
"""

import numpy as np
import slicer
import vtk
from SegmentEditorProMemLib import editing, labelmaps
from SegmentEditorProMemLib.scene import Scene
from vtk.util import numpy_support

# Three sizes and three spacings, so that a swapped axis cannot hide.
SHAPE = (12, 18, 24)
SPACING = (0.7, 0.9, 2.5)


def rotation(x, y, z):
    """Degrees about the three axes, one after the other."""
    x, y, z = np.radians([x, y, z])
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def placed(directions, spacing=SPACING, origin=(11.0, -22.0, 33.0)):
    """A 4x4 matrix of directions, spacing and origin."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(directions) @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


class World:
    """A scene, its logics and one Segment Editor."""

    def __init__(self):
        self.mrml = slicer.mrmlScene = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.mrml)
        self.segmentations = self._logic("vtkSlicerSegmentationsModuleLogic")
        self.volumes = self._logic("vtkSlicerVolumesLogic")
        self.markups = self._logic("vtkSlicerMarkupsLogic")
        self.node = self.mrml.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.logic = self._logic("vtkSlicerSegmentEditorLogic")
        self.logic.SetSegmentEditorNode(self.node)
        self.logic.SetMaximumNumberOfUndoStates(10)
        self.volume = self.segmentation = None
        self._scenes = []

    def open(self, editor=None):
        """A Scene on this editor, closed with the world."""
        self._scenes.append(Scene(self.mrml, self.logic if editor is None else editor))
        return self._scenes[-1]

    def close(self):
        for scene in self._scenes:
            scene.close()
        self.mrml.Clear(True)

    def _logic(self, name):
        logic = getattr(slicer, name)()
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.mrml)
        return logic

    def add_volume(self, voxels, ijk_to_ras, name="CT"):
        voxels = np.ascontiguousarray(voxels)
        image = vtk.vtkImageData()
        image.SetDimensions(*voxels.shape[2::-1])
        components = voxels.shape[3] if voxels.ndim == 4 else 1
        scalars = numpy_support.numpy_to_vtk(voxels.reshape(-1, components).squeeze(), deep=True)
        image.GetPointData().SetScalars(scalars)
        kind = "vtkMRMLVectorVolumeNode" if components > 1 else "vtkMRMLScalarVolumeNode"
        node = self.mrml.AddNewNodeByClass(kind, name)
        node.SetAndObserveImageData(image)
        node.SetIJKToRASMatrix(labelmaps.matrix_of(ijk_to_ras))
        return node

    def add_segmentation(self, volume=None, name="Segmentation"):
        node = self.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        if volume is not None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        return node

    def add_transform(self, matrix, name="Transform"):
        node = self.mrml.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        node.SetMatrixTransformToParent(labelmaps.matrix_of(matrix))
        return node

    def add_segment(self, name="Liver", color=(0.8, 0.2, 0.4), segmentation=None):
        segmentation = segmentation or self.segmentation
        return segmentation.GetSegmentation().AddEmptySegment("", name, list(color))

    def edit(self, volume, segmentation):
        """Chooses both in the editor."""
        self.volume, self.segmentation = volume, segmentation
        self.node.SetAndObserveSegmentationNode(segmentation)
        self.node.SetAndObserveSourceVolumeNode(volume)

    def select(self, segment_id):
        self.node.SetSelectedSegmentID(segment_id)

    def exported(self, segment_id, volume=None):
        """Where a segment's voxels are in the world, by Slicer's own export: RAS positions, sorted."""
        import vtk

        ids = vtk.vtkStringArray()
        ids.InsertNextValue(segment_id)
        labels = self.mrml.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "exported")
        if volume is not None:
            self.segmentations.ExportSegmentsToLabelmapNode(self.segmentation, ids, labels, volume)
        else:
            self.segmentations.ExportSegmentsToLabelmapNode(self.segmentation, ids, labels)
        matrix = vtk.vtkMatrix4x4()
        labels.GetIJKToRASMatrix(matrix)
        array = labelmaps.array_of(labels.GetImageData()) if labels.GetImageData() else np.zeros((0, 0, 0))
        found = self.to_world(labels) @ labelmaps.array_of_matrix(matrix) @ homogeneous(np.argwhere(array)[:, ::-1])
        self.mrml.RemoveNode(labels)
        return ordered(found[:3].T)

    @staticmethod
    def to_world(node):
        import vtk

        matrix = vtk.vtkMatrix4x4()
        if node.GetParentTransformNode() is not None:
            node.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
        return labelmaps.array_of_matrix(matrix)


def homogeneous(points):
    return np.vstack([np.transpose(points), np.ones(len(points))])


def ordered(positions):
    """Positions in an order that does not depend on the last digits."""
    rounded = np.round(positions, 3)
    return positions[np.lexsort(rounded.T)]


class ScriptedEffect:
    """Stands for Slicer's scriptedEffect: the methods that Python can call there, with the arguments that it can pass
    there.
    """

    def __init__(self, logic):
        self._logic = logic
        self._frame = Widget("QFrame", Widget("ctkCollapsibleButton", EditorWidget(logic)))

    def parameterSetNode(self):
        return self._logic.GetSegmentEditorNode()

    def referenceGeometryImage(self):
        return self._logic.GetReferenceGeometryImage() if self._logic.UpdateReferenceGeometryImage() else None

    def sourceVolumeImageData(self):
        return self._logic.GetAlignedSourceVolume() if self._logic.UpdateAlignedSourceVolume() else None

    def modifySelectedSegmentByLabelmap(self, labelmap, mode, extent, bypass=False):
        assert isinstance(extent, list) and len(extent) == 6 and all(type(bound) is int for bound in extent)
        node = self.parameterSetNode()
        segment_id = node.GetSelectedSegmentID()
        logic = self._logic
        modes = {
            Modes.ModificationModeSet: logic.ModificationModeSet,
            Modes.ModificationModeAdd: logic.ModificationModeAdd,
            Modes.ModificationModeRemove: logic.ModificationModeRemove,
            Modes.ModificationModeRemoveAll: logic.ModificationModeRemoveAll,
        }
        logic.ModifySegmentByLabelmap(
            node.GetSegmentationNode(), segment_id, labelmap, modes[mode], extent, True, bypass
        )

    def saveStateForUndo(self):
        self._logic.SaveStateForUndo()

    def optionsFrame(self):
        return self._frame


class Widget:
    def __init__(self, class_name, parent=None):
        self._class_name, self._parent = class_name, parent

    def className(self):
        return self._class_name

    def parent(self):
        return self._parent


class EditorWidget(Widget):
    def __init__(self, logic):
        super().__init__("qMRMLSegmentEditorWidget")
        self._logic = logic

    def undo(self):
        self._logic.Undo()

    def redo(self):
        self._logic.Redo()


class Modes:
    """Stands for slicer.qSlicerSegmentEditorAbstractEffect."""

    ModificationModeSet, ModificationModeAdd, ModificationModeRemove, ModificationModeRemoveAll = range(4)


def editing_of(world, kind, monkeypatch):
    """The world's editor as scripts and trame reach it ("logic"), or as Slicer's effect does ("effect")."""
    if kind == "logic":
        return editing.LogicEditing(world.logic)
    monkeypatch.setattr(slicer, "qSlicerSegmentEditorAbstractEffect", Modes, raising=False)
    return editing.EffectEditing(ScriptedEffect(world.logic))
