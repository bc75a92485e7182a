"""What calls an effect: the Segment Editor's widget with the scripted effect in it, a slice view, a mouse.

In: a real MRML scene and editor logic. Out: the calls that Slicer makes, in Slicer's order, and the methods that
Slicer gives an effect. What Slicer refuses (a return value that is no bool, a parameter that was never set) is refused
here.
"""

import importlib.machinery
import importlib.util
import pathlib
import sys
import types

import slicer
import vtk

from . import stand_in

qt = stand_in.install()


class AbstractScriptedSegmentEditorEffect:
    """The base class that Slicer has in Python."""

    def __init__(self, scriptedEffect):
        self.scriptedEffect = scriptedEffect

    def register(self):
        registered.append(self.scriptedEffect)

    def cleanup(self):
        pass


class AbstractEffect:
    """slicer.qSlicerSegmentEditorAbstractEffect: its numbers."""

    ModificationModeSet, ModificationModeAdd, ModificationModeRemove, ModificationModeRemoveAll = range(4)
    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = range(3)


class ScriptedEffect(AbstractEffect):
    """qSlicerSegmentEditorScriptedEffect. `answers_visible`: the user's answer about a hidden segment; None: not
    asked.
    """

    def __init__(self, parent=None):
        self.name, self.title = "UnnamedScriptedEffect", ""
        self.perSegment = self.requireSegments = self.showEffectCursorInSliceView = True
        self.showEffectCursorInThreeDView = False
        self.confirmed = AbstractEffect.ConfirmedWithoutDialog
        self.actors = {}
        self.renders = 0
        self._logic = self._node = self._python = None
        self._active = False
        self._frame = qt.QFrame()
        self._layout = qt.QFormLayout(self._frame)
        self._layout.setContentsMargins(4, 4, 4, 4)
        self._layout.setSpacing(4)

    # Loading, as qSlicerSegmentEditorScriptedEffect::setPythonSource does it.

    def setPythonSource(self, path, load=None):
        path = pathlib.Path(path)
        module_name, class_name = path.parent.name, path.stem if path.stem.endswith("Effect") else path.stem + "Effect"
        module = sys.modules.setdefault(module_name, types.ModuleType(module_name))
        if not hasattr(module, class_name):
            (load or load_into_module)(module_name, path)
            module = sys.modules[module_name]
        self._python = getattr(module, class_name)(self)
        return True

    def self(self):
        return self._python

    # What the editor's widget does.

    def set_logic(self, logic):
        self._logic = logic

    def setParameterSetNode(self, node):
        self._node = node

    def call(self, name, *arguments):
        """A call from C++: what the method raises is printed in Slicer; here it ends the test."""
        return getattr(self._python, name)(*arguments)

    def activate(self):
        self._frame.visible = True
        self._active = True
        self.updateGUIFromMRML()
        self.call("activate")

    def deactivate(self):
        self._frame.visible = False
        self._active = False
        self.call("deactivate")

    def active(self):
        return self._active

    def updateGUIFromMRML(self, *_):
        if self._active:
            self.call("updateGUIFromMRML")

    def processInteractionEvents(self, interactor, event, view):
        taken = self.call("processInteractionEvents", interactor, event, view)
        assert taken is True or taken is False, "processInteractionEvents is expected to return a boolean"
        return taken

    # What Slicer gives an effect.

    def parameterSetNode(self):
        return self._node

    def optionsFrame(self):
        return self._frame

    def optionsLayout(self):
        return self._layout

    def addOptionsWidget(self, widget):
        self._layout.addRow(widget)

    def _key(self, name):
        return f"{self.name}.{name}"

    def parameterDefined(self, name):
        return self._node.GetAttribute(self._key(name)) is not None

    def parameter(self, name):
        assert self.parameterDefined(name), f"Parameter named {name} cannot be found"
        return self._node.GetAttribute(self._key(name))

    def integerParameter(self, name):
        return int(self.parameter(name))

    def doubleParameter(self, name):
        return float(self.parameter(name))

    def setParameter(self, name, value):
        text = str(value)
        if self._node.GetAttribute(self._key(name)) != text:
            self._node.SetAttribute(self._key(name), text)
            self._node.InvokeCustomModifiedEvent(slicer.vtkMRMLSegmentEditorNode.EffectParameterModified)

    def setParameterDefault(self, name, value):
        if not self.parameterDefined(name):
            self._node.SetAttribute(self._key(name), str(value))

    def confirmCurrentSegmentVisible(self):
        return self.confirmed

    def saveStateForUndo(self):
        self._logic.SaveStateForUndo()

    def referenceGeometryImage(self):
        self._logic.UpdateReferenceGeometryImage()
        return self._logic.GetReferenceGeometryImage()

    def sourceVolumeImageData(self):
        self._logic.UpdateAlignedSourceVolume()
        return self._logic.GetAlignedSourceVolume()

    def defaultModifierLabelmap(self):
        self._logic.UpdateReferenceGeometryImage()
        self._logic.ResetModifierLabelmapToDefault()
        return self._logic.GetModifierLabelmap()

    def modifySelectedSegmentByLabelmap(self, labelmap, mode, extent=None, bypass=False):
        assert extent is None or isinstance(extent, list)
        numbers = [
            self._logic.ModificationModeSet,
            self._logic.ModificationModeAdd,
            self._logic.ModificationModeRemove,
            self._logic.ModificationModeRemoveAll,
        ]
        self._logic.UpdateReferenceGeometryImage()
        self._logic.UpdateAlignedSourceVolume()
        self._logic.UpdateMaskLabelmap()
        box = [extent] if extent else []
        segmentation, segment = self._node.GetSegmentationNode(), self._node.GetSelectedSegmentID()
        self._logic.ModifySegmentByLabelmap(
            segmentation, segment, labelmap, numbers[mode], *box, self.perSegment, bypass
        )

    def viewNode(self, view):
        return view.node

    def addActor2D(self, view, actor):
        self.actors.setdefault(view, []).append(actor)

    def removeActor2D(self, view, actor):
        self.actors[view].remove(actor)

    def scheduleRender(self, view):
        self.renders += 1


def load_into_module(name, path):
    """imp.load_source, as Slicer up to 5.8 calls it: the file runs inside the module of that name that is there
    already.
    """
    module = sys.modules[name]
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    module.__file__, module.__loader__ = str(path), loader
    module.__package__, module.__spec__ = "", importlib.util.spec_from_loader(name, loader)
    exec(loader.get_code(name), module.__dict__)


def load_as_new_module(name, path):
    """importlib, as newer versions do it: a new module takes the place of that name."""
    spec = importlib.util.spec_from_file_location(name, str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


class EditorWidget(stand_in.host_class(stand_in.QtWidgets.QWidget)):
    """qMRMLSegmentEditorWidget: one clone of the effect, its node, the undo history."""

    def __init__(self, effect, logic, node):
        super().__init__()
        self.effect, self.logic, self.node = effect, logic, node
        effect.set_logic(logic)
        effect.setParameterSetNode(node)
        effect.call("setMRMLDefaults")
        node.AddObserver(slicer.vtkMRMLSegmentEditorNode.EffectParameterModified, effect.updateGUIFromMRML)
        effect.call("setupOptionsFrame")
        effect.optionsFrame().visible = False
        qt.QVBoxLayout(self).addWidget(effect.optionsFrame())

    def className(self):
        return "qMRMLSegmentEditorWidget"

    def undo(self):
        self.logic.Undo()

    def redo(self):
        self.logic.Redo()

    def rotateSliceViewsToSegmentation(self):
        scene = self.node.GetScene()
        for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            scene.GetNthNodeByClass(number, "vtkMRMLSliceNode").RotateToVolumePlane(self.node.GetSourceVolumeNode())

    def select(self, segment):
        self.node.SetSelectedSegmentID(segment)

    def end(self):
        """Its destructor."""
        if self.effect.active():
            self.effect.deactivate()
        self.effect.call("cleanup")


class SliceView:
    """qMRMLSliceWidget with a mouse. Positions are device pixels of the view, from its lower left corner."""

    def __init__(self, effect, node):
        self.pixel_ratio = 1.0
        self.effect, self.node = effect, node
        self.interactor = vtk.vtkGenericRenderWindowInteractor()

    def className(self):
        return "qMRMLSliceWidget"

    def devicePixelRatioF(self):
        return self.pixel_ratio

    def event(self, event, xy, control=False, shift=False, alt=False):
        """One event; whether the effect took it."""
        self.interactor.SetEventInformation(int(xy[0]), int(xy[1]), int(control), int(shift))
        self.interactor.SetAltKey(int(alt))
        return self.effect.processInteractionEvents(self.interactor, vtk.vtkCommand.GetEventIdFromString(event), self)

    def press(self, xy, **keys):
        return self.event("LeftButtonPressEvent", xy, **keys)

    def move(self, xy, **keys):
        return self.event("MouseMoveEvent", xy, **keys)

    def release(self, xy, **keys):
        return self.event("LeftButtonReleaseEvent", xy, **keys)

    def click(self, xy, **keys):
        taken = self.press(xy, **keys)
        self.release(xy, **keys)
        return taken

    def drag(self, start, end, steps=5, **keys):
        taken = self.press(start, **keys)
        for n in range(1, steps + 1):
            self.move([a + (b - a) * n / steps for a, b in zip(start, end)], **keys)
        self.release(end, **keys)
        return taken

    def xy(self, ras):
        """Where a position in the world is in the view."""
        world_to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), world_to_xy)
        return world_to_xy.MultiplyPoint((*ras, 1.0))[:2]


class ThreeDView(SliceView):
    def className(self):
        return "qMRMLThreeDWidget"


registered = []


def install():
    """The modules that Slicer has and slicer-core does not."""
    effects = types.ModuleType("SegmentEditorEffects")
    effects.AbstractScriptedSegmentEditorEffect = AbstractScriptedSegmentEditorEffect
    sys.modules["SegmentEditorEffects"] = effects
    classes = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    classes.qSlicerSegmentEditorScriptedEffect = ScriptedEffect
    sys.modules["qSlicerSegmentationsEditorEffectsPythonQt"] = classes
    slicer.qSlicerSegmentEditorAbstractEffect = AbstractEffect
