"""Choices: from the panel to the editor's node, from the node to the panel, and from there to the engine."""

import pytest
from conftest import needs

needs("slicer", "PySide6")

from pythonqt import stand_in  # noqa: E402
from SegmentEditorProMemLib import parameters  # noqa: E402
from SegmentEditorProMemLib.options import Options  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]


def node_value(app, name):
    return app.world.node.GetAttribute(f"ProMem.{name}")


def choose(app, name, text):
    """What a user does with a combo box."""
    combo = app.widget(f"ProMem{name}")
    index = combo.findText(text)
    assert index >= 0, [combo.itemText(n) for n in range(combo.count)]
    combo.currentIndex = index
    combo.activated.emit(index)


def test_the_node_has_every_choice_from_the_beginning(make_app):
    app = make_app()
    for name, value in parameters.DEFAULTS.items():
        assert node_value(app, name) == value
    assert parameters.read(app.effect) == Options()


@pytest.mark.parametrize(
    "name, text, value, field, option",
    [
        ("Device", "CPU", "cpu", "device", "cpu"),
        ("Device", "GPU (cuda:0)", "cuda:0", "device", "cuda:0"),
        ("Search", "Off (plain SAM 2)", "off", "search", "off"),
        ("Search", "Custom", "custom", "search", "custom"),
        ("Intensity", "Automatic", "automatic", "intensity", "automatic"),
        ("Stop", "Never", "never", "stop", "never"),
    ],
)
def test_a_choice_goes_to_the_node_and_to_the_controller(app, name, text, value, field, option):
    choose(app, name, text)
    assert node_value(app, name) == value and getattr(app.controller.options, field) == option


@pytest.mark.parametrize(
    "name, value, field, option",
    [("Beams", 4, "beams", 4), ("Threads", 3, "threads", 3), ("Threads", 0, "threads", None)],
)
def test_a_number_goes_to_the_node_and_to_the_controller(app, name, value, field, option):
    app.widget(f"ProMem{name}").value = 9
    app.widget(f"ProMem{name}").value = value
    assert node_value(app, name) == str(value) and getattr(app.controller.options, field) == option


def test_windows_are_written_as_numbers(app):
    choose(app, "Search", "Custom")
    line = app.widget("ProMemWindows")
    assert not line.isHidden()
    line.text = "2 4"
    line.editingFinished.emit()
    assert app.controller.options.windows == (2, 4)
    choose(app, "Search", "As in the paper")
    assert line.isHidden()


@pytest.mark.parametrize("text", ["two", "", "1, 9", "0"])
def test_invalid_windows_are_rejected_with_a_message_and_nothing_is_lost(app, text):
    choose(app, "Search", "Custom")
    line = app.widget("ProMemWindows")
    line.text = text
    line.editingFinished.emit()
    app.run()
    assert app.kind == "error" and "windows" in app.status
    assert app.controller.options.windows == (1, 6)
    line.text = "3"
    line.editingFinished.emit()
    app.run()
    assert app.kind == "ready" and app.controller.options.windows == (3,)


def test_a_model_file_is_chosen_in_a_dialog(app):
    stand_in.FileDialog.answers[:] = ["/weights/sam2.1_hiera_tiny.pt"]
    choose(app, "Model", "SAM 2 or MedSAM2 file…")
    assert node_value(app, "Model") is None
    assert app.controller.options.model == "/weights/sam2.1_hiera_tiny.pt"
    combo = app.widget("ProMemModel")
    assert combo.currentText == "sam2.1_hiera_tiny.pt" and combo.toolTip.endswith("/weights/sam2.1_hiera_tiny.pt")
    app.click((15, 20, 10))
    app.run()
    assert app.engine.last("load_model")["path"] == "/weights/sam2.1_hiera_tiny.pt"
    choose(app, "Model", "Default")
    assert app.controller.options.model is None and combo.count == 2


@pytest.mark.parametrize("answer", ["", ("", "")])
def test_a_cancelled_dialog_changes_nothing(app, answer):
    stand_in.FileDialog.answers[:] = ["/weights/a.pt", answer]
    choose(app, "Model", "SAM 2 or MedSAM2 file…")
    choose(app, "Model", "SAM 2 or MedSAM2 file…")
    assert app.controller.options.model == "/weights/a.pt"
    assert app.widget("ProMemModel").currentText == "a.pt"


def test_the_engine_gets_what_was_chosen(app):
    choose(app, "Search", "Custom")
    app.widget("ProMemBeams").value = 3
    choose(app, "Stop", "Never")
    app.paint(0, 10)
    app.press("ProMemPropagate")
    app.run()
    sent = app.engine.last("propagate")
    assert (sent["memory"], sent["windows"], sent["beams"], sent["never_stop"]) == ("search", [1, 6], 3, True)


def test_the_network_gets_the_displayed_intensity_window(app):
    app.paint(0, 10)
    app.press("ProMemPropagate")
    app.run()
    assert list(app.engine.last("open_scan")["window"]) == [400, 200]
    choose(app, "Intensity", "Automatic")
    app.press("ProMemPropagate")
    app.run()
    assert app.engine.last("set_window")["window"] is None


def test_a_script_sets_choices_on_the_node_and_the_panel_shows_them(app):
    for name, value in {
        "Device": "cuda:1",
        "Search": "custom",
        "Windows": "2, 5",
        "Beams": "7",
        "Threads": "2",
    }.items():
        app.effect.setParameter(name, value)
    app.run()
    assert app.widget("ProMemDevice").currentText == "cuda:1" and app.widget("ProMemBeams").value == 7
    assert app.widget("ProMemWindows").text == "2, 5" and app.widget("ProMemThreads").value == 2
    assert app.controller.options == Options(device="cuda:1", search="custom", windows=(2, 5), beams=7, threads=2)


def test_invalid_parameters_are_an_error_and_the_defaults_apply(app):
    app.effect.setParameter("Beams", "many")
    app.run()
    assert app.kind == "error" and "Beams" in app.status and app.controller.options == Options()
    app.effect.setParameter("Beams", "2")
    app.run()
    assert app.kind == "ready"


def test_the_range_is_on_the_node(app):
    app.widget("ProMemRangeFirst").value = 8
    assert node_value(app, "RangeFirst") == "8"
    app.effect.setParameter("RangeLast", "12")
    app.run()
    assert app.widget("ProMemRangeLast").value == 12


def test_options_of_a_saved_scene_apply_when_the_effect_starts(make_app):
    app = make_app()
    app.effect.setParameter("Search", "off")
    app.effect.setParameter("Precision", "fp32")
    app.effect.activate()
    app.run()
    assert app.engine.last("load_model")["precision"] == "fp32"
    assert app.widget("ProMemSearch").currentText.startswith("Off")


def test_the_panel_writes_the_options_that_it_shows(app):
    combo = app.widget("ProMemStop")
    was = combo.blockSignals(True)
    combo.currentIndex = 1
    combo.blockSignals(was)
    assert node_value(app, "Stop") == "automatic"
    app.effect.call("updateMRMLFromGUI")
    assert node_value(app, "Stop") == "never"


def test_choices_are_remembered_for_the_next_session_and_no_path_is_in_the_scene(make_app, tmp_path):
    app = make_app()
    app.effect.activate()
    app.run()
    choose(app, "Stop", "Never")
    app.widget("ProMemThreads").value = 3
    app.widget("ProMemRangeFirst").value = 5
    stand_in.FileDialog.answers[:] = ["/weights/mine.pt"]
    choose(app, "Model", "SAM 2 or MedSAM2 file…")
    assert app.world.mrml.Commit(str(tmp_path / "scene.mrml"))
    assert "ProMem.Threads:3" in (tmp_path / "scene.mrml").read_text()
    assert "mine.pt" not in (tmp_path / "scene.mrml").read_text()
    later = make_app()
    later.effect.activate()
    later.run()
    assert later.controller.options == Options(model="/weights/mine.pt", stop="never", threads=3)
    assert later.widget("ProMemStop").currentText == "Never" and later.widget("ProMemModel").currentText == "mine.pt"
    assert later.widget("ProMemRangeFirst").value == 1, "a range belongs to its scan"


def test_remembered_values_of_another_version_are_ignored(make_app):
    stand_in.Settings().setValue("ProMem/Search", "psychic")
    app = make_app()
    assert parameters.read(app.effect) == Options()


def test_options_are_collapsed_until_opened(app):
    frame = app.python.panel.options.frame
    assert frame.isHidden()
    app.press("ProMemOptionsFold")
    assert not frame.isHidden()
    assert app.python.panel.options.engine.text.startswith("threshold")
