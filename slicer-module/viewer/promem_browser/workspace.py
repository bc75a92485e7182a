"""The workspace: one scan, its segmentation, and the controller of the effect on Slicer's segment editor logic.

In: files, names, colours. Out: nodes of a MRML scene and their properties. Raises FileProblem. Knows no page and no
view.

trame-slicer's editor has a separate undo stack for its own tools. The workspace uses the undo of Slicer's logic
instead: writes of the controller and strokes of the brush are undone in one order.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np
from promem.worker import Engine
from SegmentEditorProMemLib.controller import Controller
from SegmentEditorProMemLib.grid import AXES
from SegmentEditorProMemLib.labelmaps import labelmap_of
from SegmentEditorProMemLib.markups import SEGMENT
from SegmentEditorProMemLib.options import Options
from SegmentEditorProMemLib.scene import Scene
from slicer import vtkMRMLSegmentationStorageNode, vtkSegmentation, vtkSegmentationHistory
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonCore import vtkCommand, vtkObject

from .files import SCANS, SEGMENTATIONS, FileProblem, existing, require_complete, stem

UNDO_STATES = 20
# Distinguishable from each other and from grey levels, also with red-green colour blindness.
COLORS = (
    (0.31, 0.78, 0.72),
    (0.96, 0.62, 0.26),
    (0.47, 0.62, 0.96),
    (0.93, 0.42, 0.55),
    (0.78, 0.85, 0.36),
    (0.72, 0.52, 0.92),
    (0.95, 0.83, 0.40),
    (0.52, 0.82, 0.95),
)


@dataclass(frozen=True)
class Segment:
    """A segment in the list. color: #rrggbb."""

    id: str
    name: str
    color: str
    visible: bool
    voxels: int
    millilitres: float


class Workspace:
    """on_change: called when the displayed state has changed. on_opened: called when a scan was opened. on_volume:
    called with a volume to display before its segments are added, or with None.
    """

    def __init__(self, slicer_app: SlicerApp, options: Options) -> None:
        self.options = options
        self.on_change: Callable[[], None] = lambda: None
        self.on_opened: Callable[[], None] = lambda: None
        self.on_volume: Callable[[Any], None] = lambda volume: None
        self.volume: Any = None
        self.segmentation: Any = None
        self.scene: Optional[Scene] = None
        self.controller: Optional[Controller] = None
        self.name = ""
        self._app = slicer_app
        self._editor = slicer_app.segmentation_editor
        self._logic = self._editor.editor_logic
        self._logic.SetSegmentationHistory(vtkSegmentationHistory())
        self._logic.SetMaximumNumberOfUndoStates(UNDO_STATES)
        self._engine = Engine()
        # Cached voxel counts and slices of segments, with the stamp that they belong to.
        self._counts: dict[str, tuple[Any, int]] = {}
        self._slices: dict[tuple[str, str], tuple[Any, frozenset[int]]] = {}
        self._observed: list[tuple[Any, int]] = []

    # The scan.

    def open(self, scan: Any, segmentation: Any = None, name: Optional[str] = None) -> None:
        """Opens a scan and starts the engine. name: None: the file name. Raises FileProblem; then nothing changes."""
        scan = require_complete(existing(scan, SCANS))
        file = require_complete(existing(segmentation, SEGMENTATIONS)) if segmentation else None
        volume = self._read(scan)
        # The volume must be displayed before the segments, which would hide it otherwise.
        self.on_volume(volume)
        try:
            segments = self._editor.create_empty_segmentation_node() if file is None else self._read_segments(file)
        except FileProblem:
            self.on_volume(self.volume)
            self._app.scene.RemoveNode(volume)
            raise
        self.clear()
        self.volume, self.segmentation, self.name = volume, segments, name or stem(scan.name)
        volume.SetName(self.name)
        segments.SetName(f"{self.name} segmentation")
        segments.GetDisplayNode().SetOpacity2DFill(0.35)
        self._editor.set_active_segmentation(segments, volume)
        self._logic.ClearUndoState()
        self.scene = Scene(self._app.scene, self._logic)
        self.controller = Controller(self._engine, self.scene)
        self.controller.options = self.options
        self.controller.on_change = lambda: self.on_change()
        self.scene.on_segments_changed = self.scene.on_source_changed = lambda: self.on_change()
        for event in (vtkSegmentation.SourceRepresentationModified, vtkCommand.ModifiedEvent):
            self._observed.append((segments, segments.AddObserver(event, lambda *_: self.on_change())))
        ids = self.scene.segment_ids()
        self.select(ids[0] if ids else self.add())
        self._logic.ClearUndoState()
        self.on_opened()
        self.controller.activate()
        self.on_change()

    def clear(self) -> None:
        """Closes the scan with its segments and prompts, and ends the engine."""
        if self.controller is not None:
            self.controller.close()
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed.clear()
        for node in (self.segmentation, self.volume):
            if node is not None:
                # Display nodes are not removed with their node.
                for number in reversed(range(node.GetNumberOfDisplayNodes())):
                    self._app.scene.RemoveNode(node.GetNthDisplayNode(number))
                self._app.scene.RemoveNode(node)
        self.volume = self.segmentation = self.scene = self.controller = None
        self._counts.clear()
        self._slices.clear()

    def _read(self, scan: pathlib.Path) -> Any:
        with quiet():
            volumes = self._app.io_manager.load_volumes(str(scan))
        if not volumes:
            raise FileProblem(
                f"{scan.name} cannot be read: it is damaged, or its content is not what its extension says."
            )
        volume = volumes[0]
        image = volume.GetImageData()
        if image is None or volume.IsA("vtkMRMLLabelMapVolumeNode") or image.GetNumberOfScalarComponents() != 1:
            values = image.GetNumberOfScalarComponents() if image is not None else 0
            for node in volumes:
                self._app.scene.RemoveNode(node)
            raise FileProblem(f"{scan.name} has {values} values in each voxel, expected one.")
        return volume

    def _read_segments(self, file: pathlib.Path) -> Any:
        with quiet():
            segments = self._editor.load_segmentation_from_file(str(file))
        if segments is None or segments.GetSegmentation().GetNumberOfSegments() == 0:
            if segments is not None:
                self._app.scene.RemoveNode(segments)
            raise FileProblem(f"{file.name} contains no readable segments.")
        if segments.GetDisplayNode() is None:
            segments.CreateDefaultDisplayNodes()
        return segments

    # Segments.

    def segments(self) -> list[Segment]:
        if self.scene is None:
            return []
        voxel = abs(float(np.linalg.det(self.scene.grid().ijk_to_ras[:3, :3]))) / 1000.0
        display = self.segmentation.GetDisplayNode()
        found = []
        for id_ in self.scene.segment_ids():
            count = self.count(id_)
            visible = bool(display.GetSegmentVisibility(id_))
            found.append(
                Segment(id_, self.scene.name(id_), hexadecimal(self.scene.color(id_)), visible, count, count * voxel)
            )
        return found

    def count(self, segment: str) -> int:
        """Voxels of a segment."""
        stamp = self._stamp(segment)
        if self._counts.get(segment, (None,))[0] != stamp:
            box = self.scene.occupied(segment)
            held = 0 if box is None else int(np.count_nonzero(self.scene.mask(segment, box)))
            self._counts[segment] = (stamp, held)
        return self._counts[segment][1]

    def slices(self, segment: str, axis: str) -> frozenset[int]:
        """The slices of a segment across an axis."""
        stamp = self._stamp(segment)
        if self._slices.get((segment, axis), (None,))[0] != stamp:
            box = self.scene.occupied(segment)
            held: frozenset[int] = frozenset()
            if box is not None:
                others = tuple(number for number in range(3) if number != AXES[axis])
                there = np.flatnonzero(self.scene.mask(segment, box).any(axis=others))
                held = frozenset(int(number) for number in there + box[AXES[axis]][0])
            self._slices[segment, axis] = (stamp, held)
        return self._slices[segment, axis][1]

    def _stamp(self, segment: str) -> tuple[int, int]:
        """A value that changes with a segment's voxels; undo sends no event."""
        held = self.segmentation.GetSegmentation().GetSegment(segment)
        image = labelmap_of(held)
        return (0 if image is None else image.GetMTime(), held.GetLabelValue())

    def marks(self, segment: str) -> tuple[int, bool]:
        """How many points a segment has, and whether it has a box."""
        if not segment:
            return 0, False
        return len(self.scene.points(segment)), self.scene.box(segment) is not None

    def add(self) -> str:
        """A new segment, selected. Returns its identifier."""
        self._save_undo()
        number = len(self.scene.segment_ids())
        names = {self.scene.name(id_) for id_ in self.scene.segment_ids()}
        name = next(f"Segment {n}" for n in range(number + 1, 2 * number + 2) if f"Segment {n}" not in names)
        added = self._editor.add_empty_segment(segment_name=name, segment_color=list(COLORS[number % len(COLORS)]))
        self.select(added)
        return added

    def select(self, segment: Optional[str]) -> None:
        """Selects a segment for painting, prompts and propagation."""
        self._editor.set_active_segment_id(segment or "")
        self._logic.GetSegmentEditorNode().SetSelectedSegmentID(segment or "")
        self._show_prompts()
        self.on_change()

    def _show_prompts(self) -> None:
        """Shows the prompts of the selected segment only: a click must not drag those of another segment."""
        markups = self._app.scene.GetNodesByClass("vtkMRMLMarkupsNode")
        markups.UnRegister(None)
        for number in range(markups.GetNumberOfItems()):
            node = markups.GetItemAsObject(number)
            if node.GetAttribute(SEGMENT) is not None:
                node.SetDisplayVisibility(node.GetAttribute(SEGMENT) == self.scene.selected())

    def remove(self, segment: str) -> None:
        self._save_undo()
        ids = self.scene.segment_ids()
        self.segmentation.GetSegmentation().RemoveSegment(segment)
        if self.scene.selected() is None:
            left = [id_ for id_ in ids if id_ != segment]
            self.select(left[max(0, ids.index(segment) - 1)] if left else None)
        self.on_change()

    def rename(self, segment: str, name: str) -> None:
        if name.strip():
            self.segmentation.GetSegmentation().GetSegment(segment).SetName(name.strip())
        self.on_change()

    def recolor(self, segment: str, color: str) -> None:
        """color: #rrggbb."""
        parts = [int(color[at : at + 2], 16) / 255.0 for at in (1, 3, 5)]
        self.segmentation.GetSegmentation().GetSegment(segment).SetColor(*parts)
        self.on_change()

    def show(self, segment: str, visible: bool) -> None:
        self.segmentation.GetDisplayNode().SetSegmentVisibility(segment, visible)
        self.on_change()

    # Undo.

    def undo(self) -> None:
        self.scene.undo()
        self._after_undo()

    def redo(self) -> None:
        self.scene.redo()
        self._after_undo()

    def before_stroke(self) -> None:
        """Saves an undo state, except during a propagation that has saved one: Discard restores the state before it."""
        propagation = self.controller.propagation
        if propagation is None or not propagation.undo.is_saved:
            self._save_undo()

    def _save_undo(self) -> None:
        self.scene.save_undo()

    def _after_undo(self) -> None:
        ids = self.scene.segment_ids()
        if self.scene.selected() is None:
            self.select(ids[-1] if ids else None)
        else:
            # The tools of trame-slicer have a separate selection.
            self._editor.set_active_segment_id(self.scene.selected())
            self._show_prompts()
        self.on_change()

    # The display.

    def show_surfaces(self, shown: bool) -> None:
        """Segments in the 3D view."""
        if self.segmentation is not None and self._editor.is_3d_shown() != shown:
            self._editor.show_3d(shown)

    def window(self) -> tuple[float, float]:
        """The intensities that are black and white."""
        display = self.volume.GetDisplayNode()
        return (display.GetLevel() - display.GetWindow() / 2, display.GetLevel() + display.GetWindow() / 2)

    def set_window(self, low: float, high: float) -> None:
        display = self.volume.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(max(high - low, 1e-6), (low + high) / 2)

    # Files.

    def save(self, kind: str, folder: pathlib.Path) -> pathlib.Path:
        """Writes the segmentation. kind: ".seg.nrrd", or ".nii.gz" with labels in list order. Raises FileProblem."""
        path = folder / f"{self.name}-segmentation{kind}"
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        if kind == ".seg.nrrd":
            storage = vtkMRMLSegmentationStorageNode()
            storage.SetFileName(str(path))
            storage.WriteData(self.segmentation)
        elif kind == ".nii.gz":
            self._editor.export_segmentation_to_file(self.segmentation, str(path))
        else:
            raise FileProblem(f"{kind}: expected .seg.nrrd or .nii.gz.")
        if not path.is_file():
            raise FileProblem(f"{path.name} cannot be written.")
        return path


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the warnings of VTK's readers: a FileProblem reports the error instead."""
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.GlobalWarningDisplayOn()


def hexadecimal(color: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)
