"""A Segment Editor with the effect in it, on a scan of three boxes, with slice views and an engine.

In: sizes, segments, an engine (one of thresholds unless another is given). Out: everything a test drives, and `run`,
which lets Qt's timers go on until nothing is to be done.
"""

import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
for folder in (HERE.parent, ROOT / "slicer-module" / "SegmentEditorProMem", ROOT / "slicer-module" / "python"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import numpy as np  # noqa: E402
import slicer  # noqa: E402
import vtk  # noqa: E402
from fakes import ThresholdEngine  # noqa: E402
from mrml_world import SPACING, World, placed, rotation  # noqa: E402

from . import host, stand_in  # noqa: E402

host.install()

SOURCE = ROOT / "slicer-module" / "SegmentEditorProMem" / "SegmentEditorProMemLib" / "SegmentEditorEffect.py"

# Object n is as bright as n times 100; the engine of thresholds finds it by that.
SHAPE = (20, 40, 48)
LIVER = ((4, 16), (10, 30), (8, 30))
KIDNEY = ((2, 10), (5, 15), (33, 43))


def scan(*objects, shape=SHAPE):
    voxels = np.zeros(shape, np.int16)
    for number, box in enumerate(objects):
        voxels[tuple(slice(*bounds) for bounds in box)] = 100 * (number + 1)
    return voxels


class Window(stand_in.host_class(stand_in.QtWidgets.QMainWindow)):
    """Slicer's main window."""


class SlicerApp:
    """`effect`: Slicer's side of the effect; `python`: ours. `views`: slice views by name; `segments`: identifiers in
    order.
    """

    def __init__(self, voxels=None, ijk_to_ras=None, names=("Liver", "Kidney"), engine=None, installed=True, load=None):
        self.qt = stand_in.install()
        self.world = world = World()
        self.window = Window()
        slicer.util.mainWindow = lambda: self.window
        matrix = placed(rotation(0, 0, 0), SPACING) if ijk_to_ras is None else ijk_to_ras
        self.volume = world.add_volume(scan(LIVER, KIDNEY) if voxels is None else voxels, matrix)
        self.volume.CreateDefaultDisplayNodes()
        self.volume.GetScalarVolumeDisplayNode().AutoWindowLevelOff()
        self.volume.GetScalarVolumeDisplayNode().SetWindowLevel(400, 200)
        world.edit(self.volume, world.add_segmentation(self.volume))
        self.segments = [world.add_segment(name) for name in names]
        self.interaction = world.mrml.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(world.mrml)
        self.nodes = {name: self._slice_node(name) for name in ("Red", "Green", "Yellow")}
        self.engine = engine or ThresholdEngine()
        self.effect = host.ScriptedEffect()
        self.effect.setPythonSource(SOURCE, load)
        self.python = self.effect.self()
        self.python.make_engine = lambda: self.engine
        self.python.needs_installation = lambda: not installed
        self.python.needs_engine = lambda: False
        self.editor = host.EditorWidget(self.effect, world.logic, world.node)
        self.window.setCentralWidget(self.editor)
        self.views = {name: host.SliceView(self.effect, node) for name, node in self.nodes.items()}
        if self.segments:
            self.select(0)

    def _slice_node(self, name):
        node = self.world.mrml.CreateNodeByClass("vtkMRMLSliceNode")
        node.UnRegister(None)
        node.SetLayoutName(name)
        node.SetName(name)
        {
            "Red": node.SetOrientationToAxial,
            "Green": node.SetOrientationToCoronal,
            "Yellow": node.SetOrientationToSagittal,
        }[name]()
        self.world.mrml.AddNode(node)
        node.RotateToVolumePlane(self.volume)
        node.SetDimensions(300, 300, 1)
        node.SetFieldOfView(60, 60, 1)
        return node

    # What a user does.

    def select(self, number):
        self.world.select(self.segments[number])

    def show_window(self):
        self.window.resize(420, 800)
        self.window.show()
        self.events()

    def look_at(self, view, ijk):
        """Brings a view to a voxel, in its middle; gives the pixel of it."""
        ras = self.grid.ras(ijk)
        self.nodes[view].JumpSliceByCentering(*ras)
        return self.views[view].xy(ras)

    def click(self, ijk, view="Red", **keys):
        return self.views[view].click(self.look_at(view, ijk), **keys)

    def widget(self, name):
        """One of the panel's widgets, by what it is called."""
        found = self.python.panel.widget.findChild(stand_in.QtCore.QObject, name)
        assert found is not None, name
        return found

    def press(self, name):
        button = self.widget(name)
        assert button.isEnabled(), f"{name} is disabled"
        button.click()

    def key(self, key):
        """A key of the main window."""
        for shortcut, _ in self.python.shortcuts._installed:
            if shortcut.key.toString() == key:
                shortcut.activated.emit()
                return True
        return False

    # What goes on.

    def events(self):
        stand_in.application().processEvents()

    def run(self, seconds=20.0):
        """Lets the timer work until nothing is to be done, and the panel shows it."""
        end = time.monotonic() + seconds
        while True:
            self.events()
            self.python.timer.timeout.emit()
            if not self.python.commands.is_busy and not self.python._is_stale:
                return
            assert time.monotonic() < end, f"not done: {self.status}"

    # What there is.

    @property
    def grid(self):
        from SegmentEditorProMemLib.grid import Grid

        image = self.volume.GetImageData()
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        return Grid(image.GetDimensions()[::-1], slicer.util.arrayFromVTKMatrix(matrix))

    @property
    def controller(self):
        return self.python.controller

    @property
    def scene(self):
        return self.controller.scene

    @property
    def status(self):
        return self.widget("ProMemStatus").text

    @property
    def kind(self):
        return self.python.commands.snapshot().kind

    def mask(self, number=0):
        return self.scene.mask(self.segments[number])

    def paint(self, number, slice_, axis="k"):
        """What another effect would paint: the object on one slice."""
        from SegmentEditorProMemLib.grid import AXES, Extent

        scene = self.scene
        box = Extent.of_slices(scene.grid().shape, axis, slice_, slice_ + 1)
        voxels = np.take(scene.voxels(), [slice_], AXES[axis])
        scene.write(self.segments[number], box, voxels == 100 * (number + 1))

    def close(self):
        self.editor.end()
        self.window.close()
        self.world.mrml.Clear(True)
