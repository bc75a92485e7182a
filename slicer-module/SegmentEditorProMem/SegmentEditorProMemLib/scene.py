"""The scene for the controller: the source volume on a grid, segments to read and write, previews and prompts.

In: a MRML scene and a Segment Editor. Out: numpy arrays, RAS positions, and callbacks for changes by the user. Every
edit goes through the editor's logic, so that masking, overwrite mode and undo apply. Knows no engine, widget or model.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Callable, Optional, Union

import numpy as np
import slicer
import vtk

from .editing import Editing, LogicEditing, Mode, SceneError
from .editor_selection import EditorSelection
from .grid import AXES, Extent, Grid
from .labelmaps import array_of_matrix, mask_of, occupied_by
from .markups import PromptMarkups, Ras
from .masking import editable_area, masking_disabled
from .observers import Observers
from .preview import Preview
from .surfaces import Surfaces

REFERENCE_GEOMETRY = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()

# Events of a segmentation after which its segments, or their names, may have changed.
SEGMENT_LIST_EVENTS = [
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentsOrderModified,
]
# Events after which Slicer's undo counts a segmentation as changed.
EDIT_EVENTS = [
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SourceRepresentationModified,
]


class Scene:
    """One per editor. Methods raise SceneError if a node is missing; callbacks never raise it.

    on_prompts_changed: called with a segment whose prompts the user, or a script, has moved, added or removed.
    on_source_changed: the source volume, its voxels, its placement or the segmentation may have changed.
    on_segments_changed: segments were added, removed, renamed or selected.
    """

    Error = SceneError

    def __init__(self, mrml_scene: Any, editor: Union[Editing, Any], editor_node: Any = None) -> None:
        """editor: an Editing, or a vtkSlicerSegmentEditorLogic. editor_node: set to that logic where it has none or
        another.
        """
        if not isinstance(editor, Editing):
            if editor_node is not None and editor.GetSegmentEditorNode() is not editor_node:
                editor.SetSegmentEditorNode(editor_node)
            editor = LogicEditing(editor)
        self.on_prompts_changed: Optional[Callable[[str], None]] = None
        self.on_source_changed: Optional[Callable[[], None]] = None
        self.on_segments_changed: Optional[Callable[[], None]] = None
        self._scene = mrml_scene
        self._editing = editor
        self._editor_selection = EditorSelection(editor)
        self._observers = Observers()
        self._observed: tuple = (None, None, None)
        self._source: Any = None
        self._segments: Any = None
        self._is_closed = False
        # Whether the segments are unchanged since `save_undo`.
        self._is_unchanged_since_save = False
        self._edits = 0
        self._surfaces = Surfaces()
        self._preview = Preview(mrml_scene)
        self._prompts = PromptMarkups(mrml_scene, self._report_prompt_change)
        for event in (mrml_scene.NodeAddedEvent, mrml_scene.NodeRemovedEvent):
            self._observers.add_with_node("scene", mrml_scene, event, self._node_came_or_went)
        for event in (mrml_scene.EndImportEvent, mrml_scene.EndCloseEvent, mrml_scene.EndBatchProcessEvent):
            self._observers.add("scene", mrml_scene, event, self._refresh)
        self._observe_selection()

    def close(self) -> None:
        """Removes observers and previews; prompts stay. Closing twice does nothing."""
        if not self._is_closed:
            self.update_surfaces()
        self._is_closed = True
        self._observers.clear()
        self._prompts.close()
        self._preview.close()
        self._observed = (None, None, None)

    # The source volume and the grid.

    def grid(self) -> Grid:
        """The voxel grid of the segments, in world coordinates. Raises SceneError."""
        return self._current.grid()

    def voxels(self) -> np.ndarray:
        """The source volume on the grid, [k, j, i], not copied; the array keeps it alive. Raises SceneError."""
        return self._current.voxels()

    def source_stamp(self) -> object:
        """A value that changes, by ==, whenever `voxels` or `grid` change. Raises SceneError."""
        grid = self.grid()
        return (self._source_key(), grid.shape, grid.ijk_to_ras.round(6).tobytes())

    def window(self) -> Optional[tuple[float, float]]:
        """The displayed window (width, level) of the source volume; None without a display. Raises SceneError."""
        display = self._current.volume().GetScalarVolumeDisplayNode()
        return (display.GetWindow(), display.GetLevel()) if display is not None else None

    # Segments.

    def segment_ids(self) -> list[str]:
        return list(self._current.segmentation().GetSegmentation().GetSegmentIDs())

    def name(self, segment_id: str) -> str:
        return self._current.segment(segment_id).GetName()

    def color(self, segment_id: str) -> tuple[float, float, float]:
        return tuple(self._current.segment(segment_id).GetColor())

    def selected(self) -> Optional[str]:
        """The selected segment; None if there is none. Never an error."""
        self._observe_selection()
        node, segmentation, _ = self._observed
        selected = node.GetSelectedSegmentID() if segmentation is not None else None
        return selected if selected and selected in segmentation.GetSegmentation().GetSegmentIDs() else None

    def is_visible(self, segment_id: str) -> bool:
        self._current.segment(segment_id)
        display = self._current.segmentation().GetDisplayNode()
        return display is not None and bool(display.GetVisibility() and display.GetSegmentVisibility(segment_id))

    def mask(self, segment_id: str, extent: Optional[Extent] = None) -> np.ndarray:
        """A segment's voxels in a box of the grid (None: all of it), bool [k, j, i], a copy. Raises SceneError."""
        geometry = self._current.geometry()
        return mask_of(
            self._current.segment(segment_id), geometry, geometry.whole if extent is None else Extent(*extent)
        )

    def occupied(self, segment_id: str) -> Optional[Extent]:
        """A box outside of which the segment is empty, without reading voxels; None if it is empty. Raises
        SceneError.
        """
        return occupied_by(self._current.segment(segment_id), self._current.geometry())

    # Edits.

    def save_undo(self) -> bool:
        """Saves an undo state, before the first write of a propagation. False if the editor keeps none."""
        self._current.segmentation()
        self._is_unchanged_since_save = self._editing.save_undo()
        return self._is_unchanged_since_save

    def write(self, segment_id: str, extent: Extent, mask: np.ndarray) -> None:
        """Sets a segment to `mask` inside a box, as far as masking allows. Raises SceneError.

        Overwrite mode decides what other segments lose. Equal voxels are not edited. 3D surfaces are not updated
        until `update_surfaces`.
        """
        extent, geometry = Extent(*extent), self._current.geometry()
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != extent.shape or extent.common(geometry.whole) != extent:
            raise ValueError(f"mask: {mask.shape} for {extent}, expected {extent.shape} within {geometry.shape}")
        node, segmentation = self._current.node(), self._current.segmentation()
        held = mask_of(self._current.segment(segment_id), geometry, extent)
        area = editable_area(node, segment_id, geometry, extent, self._current.voxels)
        if area is not None:
            mask = np.where(area, mask, held)
        edits = []
        # Slicer's mode Set would replace the whole segment.
        for mode, voxels in ((Mode.REMOVE, held & ~mask), (Mode.ADD, mask & ~held)):
            box = Extent.of(voxels, extent.first)
            if box is not None:
                edits.append(
                    (geometry.labelmap(box, voxels[box.within(extent).slices]), mode, geometry.vtk_extent(box))
                )
        if not edits:
            return
        masked = nullcontext() if area is None else masking_disabled(node)
        was_modifying = segmentation.StartModify()
        try:
            with self._surfaces.kept_unchanged(segmentation.GetSegmentation(), geometry, extent), masked:
                for edit in edits:
                    self._editing.modify(segment_id, *edit)
        finally:
            segmentation.EndModify(was_modifying)

    def update_surfaces(self) -> None:
        """Updates outdated 3D surfaces that are shown. To be called at the end of a propagation; may take seconds."""
        self._observe_selection()
        if self._observed[1] is not None:
            self._surfaces.update(self._observed[1].GetSegmentation())

    def edit_stamp(self) -> object:
        """A value that changes, by ==, whenever segments of the segmentation are edited."""
        self._observe_selection()
        return self._edits

    def undo(self) -> None:
        """Restores the last saved state; does nothing if nothing has changed since.

        Slicer would go one step further back then, and undo an earlier edit of the user.
        """
        if not self._is_unchanged_since_save:
            self._editing.undo()
            self._surfaces.forget()

    def redo(self) -> None:
        self._editing.redo()

    @property
    def can_undo(self) -> bool:
        return self._editing.can_undo and not self._is_unchanged_since_save

    @property
    def can_redo(self) -> bool:
        return self._editing.can_redo

    # Previews.

    def show_preview(self, segment_id: str, axis: str, slice: int, mask: Optional[np.ndarray]) -> None:
        """Shows a two-dimensional mask of one slice as a preview; None removes it. Raises SceneError."""
        if mask is None:
            self._preview.remove(segment_id)
            return
        self._current.segment(segment_id)
        geometry = self._current.geometry()
        box = Extent.of_slices(geometry.shape, axis, slice, slice + 1)
        mask = np.expand_dims(np.asarray(mask, dtype=bool), AXES[axis])
        if mask.shape != box.shape:
            raise ValueError(f"mask: {mask.shape} on slice {slice} across {axis}, expected {box.shape}")
        self._preview.show(self._current.segmentation(), segment_id, geometry, box, mask)

    def clear_previews(self) -> None:
        self._preview.clear()

    # PromptMarkups.

    def add_point(self, segment_id: str, ras: Sequence[float], positive: bool) -> None:
        self._current.segment(segment_id)
        self._prompts.add_point(segment_id, ras, positive)

    def points(self, segment_id: str) -> list[tuple[Ras, bool]]:
        """Positions and whether they are foreground, in the order in which they were set."""
        self._observe_selection()
        return self._prompts.points(segment_id)

    def remove_last_point(self, segment_id: str) -> None:
        self._current.segment(segment_id)
        self._prompts.remove_last_point(segment_id)

    def set_box(self, segment_id: str, ras_corner: Sequence[float], ras_opposite: Sequence[float], axis: str) -> None:
        """Sets a segment's box on the slice across `axis` that holds the first corner, clipped to the scan.

        Raises OutsideScan, SceneError.
        """
        self._current.segment(segment_id)
        grid = self.grid()
        along = 2 - AXES[axis]
        slice_ = grid.slice_of(ras_corner, axis)
        corners = []
        for ras in (ras_corner, ras_opposite):
            index = np.clip(grid.index(ras), -0.5, np.array(grid.shape[::-1]) - 0.5)
            index[along] = slice_
            corners.append(grid.ras(index))
        plane = np.delete(grid.ijk_to_ras[:3, :3], along, axis=1)
        self._prompts.set_box(segment_id, *corners, plane, grid.spacing[along])

    def box(self, segment_id: str) -> Optional[tuple[Ras, Ras]]:
        """Two opposite corners of a segment's box, in the center of its slice."""
        self._observe_selection()
        return self._prompts.box(segment_id)

    def show_prompts(self, segment_id: Optional[str]) -> None:
        """Shows the prompts of one segment only; None: of none."""
        self._observe_selection()
        self._prompts.show_only(segment_id)

    def clear_prompts(self, segment_id: str) -> None:
        self._observe_selection()
        self._prompts.clear(segment_id)

    # Events.

    @property
    def _current(self) -> EditorSelection:
        """The current selection of the editor."""
        self._observe_selection()
        return self._editor_selection

    def _observe_selection(self) -> None:
        """Observes the selected nodes, if they have changed."""
        node = self._editing.node
        segmentation = node.GetSegmentationNode() if node is not None else None
        volume = node.GetSourceVolumeNode() if node is not None else None
        if self._is_closed or self._observed == (node, segmentation, volume):
            return
        was = self._observed[1]
        self._observed = (node, segmentation, volume)
        self._observers.drop("editor")
        observe = self._observers.add
        if node is not None:
            observe("editor", node, "ModifiedEvent", self._editor_changed)
        if volume is not None:
            observe("editor", volume, volume.ImageDataModifiedEvent, self._editor_changed)
            observe("editor", volume, volume.TransformModifiedEvent, self._editor_changed)
            observe("editor", volume, "ModifiedEvent", self._editor_changed)
        if segmentation is not None:
            observe("editor", segmentation, segmentation.TransformModifiedEvent, self._editor_changed)
            observe("editor", segmentation, "ModifiedEvent", self._editor_changed)
            for event in EDIT_EVENTS:
                observe("editor", segmentation, event, self._changed_since_saved)
            for event in SEGMENT_LIST_EVENTS:
                observe("editor", segmentation, event, self._segments_changed)
        if segmentation is not was:
            self._is_unchanged_since_save = False
            self._surfaces.forget()
            self._preview.clear()
        self._prompts.follow(segmentation)
        self._source, self._segments = self._source_key(), self._segments_key()

    def _source_key(self) -> tuple:
        """The part of `source_stamp` that does not need the editor; never an error."""
        _, segmentation, volume = self._observed
        image = volume.GetImageData() if volume is not None else None
        ijk_to_segmentation = vtk.vtkMatrix4x4()
        if volume is not None:
            volume.GetIJKToRASMatrix(ijk_to_segmentation)
        return (
            volume and volume.GetID(),
            image and image.GetMTime(),
            array_of_matrix(ijk_to_segmentation).tobytes(),
            _placement(volume),
            segmentation and segmentation.GetID(),
            _placement(segmentation),
            segmentation and segmentation.GetSegmentation().GetConversionParameter(REFERENCE_GEOMETRY),
        )

    def _segments_key(self) -> tuple:
        node, segmentation, _ = self._observed
        if segmentation is None:
            return ()
        ids = segmentation.GetSegmentation().GetSegmentIDs()
        segments = [segmentation.GetSegmentation().GetSegment(segment_id) for segment_id in ids]
        names = tuple((segment.GetName(), tuple(segment.GetColor())) for segment in segments)
        return (segmentation.GetID(), tuple(ids), names, node.GetSelectedSegmentID())

    def _editor_changed(self) -> None:
        source, segments = self._source, self._segments
        self._observe_selection()
        self._source, self._segments = self._source_key(), self._segments_key()
        if self._segments != segments and self.on_segments_changed is not None:
            self.on_segments_changed()
        if self._source != source and self.on_source_changed is not None:
            self.on_source_changed()

    def _changed_since_saved(self) -> None:
        self._is_unchanged_since_save = False
        self._edits += 1

    def _segments_changed(self) -> None:
        segmentation = self._observed[1]
        if self._scene.IsClosing() or segmentation is None:
            return
        for segment_id in self._preview.segments() - set(segmentation.GetSegmentation().GetSegmentIDs()):
            self._preview.remove(segment_id)
        self._prompts.follow(segmentation)
        self._editor_changed()

    def _node_came_or_went(self, node: Any) -> None:
        if self._scene.IsClosing() or self._scene.IsImporting() or node is None:
            return
        if node.IsA("vtkMRMLSegmentationNode") and not self._scene.IsNodePresent(node):
            self._prompts.segmentation_removed(node.GetID())
        if node.IsA("vtkMRMLMarkupsNode"):
            self._prompts.nodes_changed()
        self._editor_changed()

    def _refresh(self) -> None:
        if not self._scene.IsClosing():
            self._prompts.follow(self._observed[1])
            self._editor_changed()

    def _report_prompt_change(self, segment_id: str) -> None:
        if self.on_prompts_changed is not None:
            self.on_prompts_changed(segment_id)


def _placement(node: Optional[slicer.vtkMRMLTransformableNode]) -> Optional[tuple]:
    """A value that changes whenever the transform of a node changes."""
    transform = node.GetParentTransformNode() if node is not None else None
    return transform and (transform.GetID(), transform.GetTransformToWorldMTime())
