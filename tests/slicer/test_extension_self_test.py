"""The self test that the extension brings along for a real Slicer, run on what stands for Slicer here: its real scene
and Segment Editor logic, the effect on Qt, and the real engine. What only a Slicer can show is whether its widget
behaves as this one.
"""

import pathlib
import sys
import types

import pytest
from conftest import ROOT, needs

needs("slicer", "PySide6")
if not (ROOT / "target" / "release" / "libpromem.so").exists():
    pytest.skip("libpromem is not built: make build", allow_module_level=True)

import slicer  # noqa: E402
from mrml_world import World  # noqa: E402
from pythonqt import host, stand_in  # noqa: E402

qt = stand_in.install()
host.install()


class EditorWidget:
    """qMRMLSegmentEditorWidget, as far as the self test drives it. `effects`: those that are registered."""

    world = None
    effects = ()

    def setMRMLScene(self, scene):
        assert scene is slicer.mrmlScene

    def setMRMLSegmentEditorNode(self, node):
        self.node = node
        self.logic = self.world._logic("vtkSlicerSegmentEditorLogic")
        self.logic.SetSegmentEditorNode(node)
        self.logic.SetMaximumNumberOfUndoStates(10)
        self.widgets = {}
        self.active = None

    def mrmlSegmentEditorNode(self):
        return self.node

    def setSegmentationNode(self, node):
        self.node.SetAndObserveSegmentationNode(node)

    def setSourceVolumeNode(self, node):
        self.node.SetAndObserveSourceVolumeNode(node)

    def setCurrentSegmentID(self, segment):
        self.node.SetSelectedSegmentID(segment)

    def show(self):
        pass

    def setActiveEffectByName(self, name):
        if self.active is not None:
            self.active.deactivate()
            self.active = None
        if name:
            (effect,) = [effect for effect in self.effects if effect.name == name]
            if name not in self.widgets:
                self.widgets[name] = host.EditorWidget(effect.self().clone(), self.logic, self.node)
            self.active = self.widgets[name].effect
            self.active.activate()

    def activeEffect(self):
        return self.active

    def undo(self):
        self.logic.Undo()

    def redo(self):
        self.logic.Redo()

    def close(self):
        pass

    def deleteLater(self):
        for widget in self.widgets.values():
            widget.end()


@pytest.fixture
def module(monkeypatch):
    """The hidden module, loaded and started."""
    world = World()
    base = types.ModuleType("slicer.ScriptedLoadableModule")
    import unittest

    class ScriptedLoadableModuleTest(unittest.TestCase):
        def delayDisplay(self, text):
            assert text

    base.ScriptedLoadableModule = type(
        "ScriptedLoadableModule", (), {"__init__": lambda self, parent: setattr(self, "parent", parent)}
    )
    base.ScriptedLoadableModuleTest = ScriptedLoadableModuleTest
    monkeypatch.setitem(sys.modules, base.__name__, base)
    application = types.SimpleNamespace(connect=lambda *_: None, processEvents=stand_in.application().processEvents)
    monkeypatch.setattr(slicer, "app", application, raising=False)
    logics = {"segmentations": world.segmentations, "volumes": world.volumes, "markups": world.markups}
    modules = {name: types.SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()}
    monkeypatch.setattr(slicer, "modules", types.SimpleNamespace(**modules), raising=False)
    window = stand_in.host_class(stand_in.QtWidgets.QMainWindow)()
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: window, raising=False)
    monkeypatch.setattr(slicer, "qMRMLSegmentEditorWidget", EditorWidget, raising=False)
    monkeypatch.setattr(EditorWidget, "world", world)
    monkeypatch.delitem(sys.modules, "SegmentEditorProMem", raising=False)
    import SegmentEditorProMem

    host.registered.clear()
    hidden = SegmentEditorProMem.SegmentEditorProMem(types.SimpleNamespace(path=SegmentEditorProMem.__file__))
    hidden.registerEditorEffect()
    hidden.hidePromptsOfLoadedScenes()
    monkeypatch.setattr(EditorWidget, "effects", list(host.registered))
    yield SegmentEditorProMem
    window.close()
    world.close()
    sys.modules.pop("SegmentEditorProMem", None)


def test_the_self_test_passes_from_the_console_line_of_the_documentation(module):
    assert len(EditorWidget.effects) == 1
    line = "import SegmentEditorProMem; SegmentEditorProMem.SegmentEditorProMemTest().runTest()"
    for text in (ROOT / "docs" / "slicer.md", pathlib.Path(module.__file__)):
        assert line in text.read_text()
    exec(line, {})


def test_the_prompts_of_a_loaded_scene_are_hidden_until_the_effect_is_active(module):
    scene = slicer.mrmlScene
    loaded, other = (scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode") for _ in range(2))
    loaded.SetAttribute("ProMem.Role", "positive")
    for node in (loaded, other):
        node.CreateDefaultDisplayNodes()
    scene.InvokeEvent(scene.EndImportEvent)
    assert not loaded.GetDisplayNode().GetVisibility() and other.GetDisplayNode().GetVisibility()


def test_the_self_test_is_skipped_with_a_reason_without_libtorch(module, monkeypatch):
    import unittest

    from SegmentEditorProMemLib import engine

    monkeypatch.setattr(engine, "needs_installation", lambda: True)
    with pytest.raises(unittest.SkipTest, match="press Install"):
        module.SegmentEditorProMemTest("runTest").runTest()


def test_every_method_of_the_self_test_runs(module):
    run = pathlib.Path(module.__file__).read_text().split("def runTest")[1].split("def test_")[0]
    for name in dir(module.SegmentEditorProMemTest):
        if name.startswith("test_"):
            assert f"self.{name}," in run
