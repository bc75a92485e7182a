"""The effect from its registration to the end of its editor: what Slicer calls, in the order in which it does."""

import os
import pathlib
import subprocess
import sys
import urllib.parse

import pytest
from conftest import needs

needs("slicer", "PySide6")

import slicer  # noqa: E402
from pythonqt import host  # noqa: E402
from pythonqt.slicer_app import SOURCE  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]

LOADERS = {"imp": "load_into_module", "importlib": "load_as_new_module"}

# In a process of its own: how a module was loaded cannot be undone.
LOADING = """
import sys
sys.path.insert(0, {tests!r})
from pythonqt import slicer_app, host
for name in [name for name in sys.modules if name.split(".")[0] == "SegmentEditorProMemLib"]:
    if {fresh}:
        del sys.modules[name]
made = slicer_app.SlicerApp(load=host.{loader})
made.effect.activate()
made.run()
made.click((15, 20, 10))
made.run()
assert "predicted IoU" in made.status, made.status
copy = made.python.clone()
assert copy.self() is not made.python and copy.self().scriptedEffect is copy and copy.name == "ProMem"
from SegmentEditorProMemLib import scripting
assert scripting.Session
made.close()
print("loaded")
"""


@pytest.mark.parametrize("fresh", [True, False], ids=["nothing imported before", "package imported before"])
@pytest.mark.parametrize("loader", LOADERS)
def test_slicer_can_load_the_effect_with_imp_and_importlib(loader, fresh):
    code = LOADING.format(tests=str(pathlib.Path(__file__).parent), loader=LOADERS[loader], fresh=fresh)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert told.stdout.strip().endswith("loaded"), told.stderr


# Windows has none of these.
ELSEWHERE = """
import sys
sys.path.insert(0, {tests!r})
from pythonqt import slicer_app, host, stand_in
import os, signal
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("killpg", "set_blocking", "memfd_create"):
    delattr(os, name)
for name in ("SIGKILL", "SIGRTMAX", "pthread_sigmask"):
    delattr(signal, name)
sys.platform = {system!r}
made = slicer_app.SlicerApp()
module = sys.modules[type(made.python).__module__]
made.python.make_engine, made.python.needs_installation = module.make_engine, module.needs_installation
made.show_window()
made.effect.activate()
made.events()
print(made.status)
assert made.kind == "off" and not made.widget("ProMemPropagate").isVisible()
assert not made.widget("ProMemInstall").isVisible()
assert made.views["Red"].click((150, 150)) is False
for key in "PCUXN":
    made.key(key)
made.python.timer.timeout.emit()
made.effect.deactivate()
made.effect.activate()
made.close()
print("closed")
"""


@pytest.mark.parametrize("system, name", [("win32", "Windows"), ("darwin", "macOS")])
def test_a_system_without_an_engine_is_named_in_one_sentence_and_nothing_is_raised(system, name):
    code = ELSEWHERE.format(tests=str(pathlib.Path(__file__).parent), system=system)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert told.stdout.splitlines() == [
        f"ProMem does not run on {name} yet: there is an engine for Linux only.",
        "closed",
    ], told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("part", ["shortcuts.install", "panel.show", "make_engine", "needs_installation"])
def test_activating_never_raises_and_says_what_failed(make_app, part):
    app = make_app()
    owner, _, name = part.rpartition(".")
    setattr(getattr(app.python, owner) if owner else app.python, name, lambda *_: {}["missing"])
    app.effect.activate()
    assert "missing" in app.python.commands.error[0]


@pytest.mark.parametrize(
    "part", ["shortcuts.remove", "mouse.cancel", "panel.install.close", "panel.disconnect", "commands.controller.close"]
)
def test_cleanup_stops_the_engine_whatever_fails(app, part, caplog):
    app.click((15, 20, 10))
    owner, _, name = part.rpartition(".")
    place = app.python
    for step in owner.split("."):
        place = getattr(place, step)
    kept = getattr(place, name)
    setattr(place, name, lambda *_: {}["missing"])
    app.effect.deactivate()
    app.effect.call("cleanup")
    assert app.engine.state == "stopped" and "missing" in caplog.text
    setattr(place, name, kept)
    kept()


def test_the_effect_has_a_name_an_icon_and_an_existing_help_page(make_app):
    app = make_app()
    assert app.effect.name == app.effect.title == "ProMem" and app.effect.perSegment
    assert not app.python.icon().isNull()
    text = app.python.helpText()
    address = text.partition('href="')[2].partition('"')[0]
    assert pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(address).path)).is_file()


def test_registering_the_effect_starts_nothing():
    effect = host.ScriptedEffect()
    effect.setPythonSource(SOURCE)
    python = effect.self()
    python.register()
    assert host.registered.pop() is effect
    assert python.timer is None and python.controller is None
    # Slicer tells all effects, also those that were never set up.
    for told in (
        "sourceVolumeNodeChanged",
        "referenceGeometryChanged",
        "layoutChanged",
        "updateGUIFromMRML",
        "cleanup",
    ):
        getattr(python, told)()


def test_opening_an_editor_starts_no_engine(make_app):
    app = make_app()
    app.events()
    assert app.engine.state == "stopped" and app.controller is None and not app.python.timer.active


def test_activation_loads_the_model_and_shows_the_next_step(app):
    assert app.engine.count("load_model") == 1
    assert app.status == "Paint the object on one slice, or click into it." and app.kind == "ready"
    assert app.python.timer.active


def test_a_second_activation_starts_no_second_engine(app):
    app.effect.deactivate()
    app.effect.activate()
    app.run()
    assert app.engine.count("hello") == 1 and app.engine.count("load_model") == 1
    app.click((15, 20, 10))
    app.run()
    assert "Slice 11" in app.status


def test_deactivation_frees_keys_and_views(app):
    app.click((15, 20, 10))
    app.run()
    assert app.scene._preview.segments()
    app.effect.deactivate()
    app.run()
    assert not app.scene._preview.segments() and not app.key("P")
    assert not app.python.timer.active
    # The prompts stay.
    assert len(app.scene.points(app.segments[0])) == 1


def test_a_propagation_continues_while_another_effect_is_active(app):
    app.click((15, 20, 10))
    app.press("ProMemPropagate")
    app.effect.deactivate()
    assert app.python.timer.active
    app.run()
    assert app.mask().sum() == 12 * 20 * 22
    assert not app.python.timer.active


def test_a_script_can_propagate_while_the_effect_is_not_active(app):
    app.click((15, 20, 10))
    app.run()
    app.effect.deactivate()
    app.run()
    app.controller.propagate()
    assert app.python.timer.active
    app.run()
    assert app.mask().any()


def test_placing_markups_does_not_end_the_effect(app):
    app.interaction.SetCurrentInteractionMode(app.interaction.Place)
    app.effect.call("interactionNodeModified", app.interaction)
    assert app.effect.active()


def test_the_timer_is_fast_only_while_a_job_runs(app):
    timer = app.python.timer
    assert timer.interval == 100
    app.click((15, 20, 10))
    while app.controller.state != "predicting":
        timer.timeout.emit()
    assert timer.interval == 5, "a preview is waited for"
    app.run()
    app.press("ProMemPropagate")
    timer.timeout.emit()
    assert timer.interval == 15
    app.run()
    timer.timeout.emit()
    assert timer.interval == 100


def test_closing_the_editor_ends_everything(make_app):
    app = make_app()
    app.effect.activate()
    app.run()
    app.click((15, 20, 10))
    timer = app.python.timer
    app.editor.end()
    assert app.engine.state == "stopped" and not timer.active and not app.key("P")
    assert app.python.controller is None
    # What Slicer still tells is harmless.
    app.effect.call("sourceVolumeNodeChanged")
    app.python.commands.propagate_both()
    assert app.views["Red"].click((10, 10)) is False
    app.editor.effect._active = False
    app.python.cleanup()


def test_closing_the_editor_disconnects_every_signal(make_app):
    from pythonqt.stand_in import QtCore

    app = make_app()
    app.effect.activate()
    app.run()
    widgets = [app.python.timer, *app.python.panel.widget.findChildren(QtCore.QObject)]
    assert sum(len(widget.__dict__.get("_slots", {})) for widget in widgets) > 20
    app.editor.end()
    assert [widget for widget in widgets if widget.__dict__.get("_slots")] == []


def test_prompts_are_visible_for_the_selected_segment_while_the_effect_is_active(app):
    app.click((15, 20, 10))
    app.run()
    (node,) = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode", app.world.mrml)
        if node.GetAttribute("ProMem.SegmentID") == app.segments[0]
    ]
    display = node.GetDisplayNode()
    assert display.GetVisibility()
    app.select(1)
    assert not display.GetVisibility()
    app.select(0)
    assert display.GetVisibility()
    app.effect.deactivate()
    assert not display.GetVisibility()
    app.select(1)
    app.select(0)
    assert not display.GetVisibility()
    app.effect.activate()
    assert display.GetVisibility()
