"""Choices: from the panel to the editor's node, from the node to the panel, and from there to the engine."""

import pytest
from conftest import needs

needs("slicer", "PySide6")

from pythonqt import stand_in  # noqa: E402
from SegmentEditorProMemLib import parameters  # noqa: E402
from SegmentEditorProMemLib.options import Options  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]


def node_value(desk, name):
    return desk.world.node.GetAttribute(f"ProMem.{name}")


def choose(desk, name, text):
    """What a user does with a combo box."""
    combo = desk.widget(f"ProMem{name}")
    index = combo.findText(text)
    assert index >= 0, [combo.itemText(n) for n in range(combo.count)]
    combo.currentIndex = index
    combo.activated.emit(index)


def test_the_node_has_every_choice_from_the_beginning(make_desk):
    desk = make_desk()
    for name, value in parameters.DEFAULTS.items():
        assert node_value(desk, name) == value
    assert parameters.read(desk.effect) == Options()


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
def test_a_choice_goes_to_the_node_and_to_the_controller(desk, name, text, value, field, option):
    choose(desk, name, text)
    assert node_value(desk, name) == value and getattr(desk.controller.options, field) == option


@pytest.mark.parametrize(
    "name, value, field, option",
    [("Beams", 4, "beams", 4), ("Threads", 3, "threads", 3), ("Threads", 0, "threads", None)],
)
def test_a_number_goes_to_the_node_and_to_the_controller(desk, name, value, field, option):
    desk.widget(f"ProMem{name}").value = 9
    desk.widget(f"ProMem{name}").value = value
    assert node_value(desk, name) == str(value) and getattr(desk.controller.options, field) == option


def test_windows_are_written_as_numbers(desk):
    choose(desk, "Search", "Custom")
    line = desk.widget("ProMemWindows")
    assert not line.isHidden()
    line.text = "2 4"
    line.editingFinished.emit()
    assert desk.controller.options.windows == (2, 4)
    choose(desk, "Search", "As in the paper")
    assert line.isHidden()


@pytest.mark.parametrize("text", ["two", "", "1, 9", "0"])
def test_windows_that_are_none_are_refused_with_a_sentence_and_nothing_is_lost(desk, text):
    choose(desk, "Search", "Custom")
    line = desk.widget("ProMemWindows")
    line.text = text
    line.editingFinished.emit()
    desk.run()
    assert desk.kind == "error" and "windows" in desk.status
    assert desk.controller.options.windows == (1, 6)
    line.text = "3"
    line.editingFinished.emit()
    desk.run()
    assert desk.kind == "ready" and desk.controller.options.windows == (3,)


def test_a_model_file_is_chosen_in_a_dialog(desk):
    stand_in.FileDialog.answers[:] = ["/weights/sam2.1_hiera_tiny.pt"]
    choose(desk, "Model", "SAM 2 or MedSAM2 file…")
    assert node_value(desk, "Model") == "/weights/sam2.1_hiera_tiny.pt"
    assert desk.controller.options.model == "/weights/sam2.1_hiera_tiny.pt"
    combo = desk.widget("ProMemModel")
    assert combo.currentText == "sam2.1_hiera_tiny.pt" and combo.toolTip.endswith("/weights/sam2.1_hiera_tiny.pt")
    desk.click((15, 20, 10))
    desk.run()
    assert desk.engine.last("load_model")["path"] == "/weights/sam2.1_hiera_tiny.pt"
    choose(desk, "Model", "Default")
    assert desk.controller.options.model is None and combo.count == 2


@pytest.mark.parametrize("answer", ["", ("", "")])
def test_a_dialog_that_is_cancelled_changes_nothing(desk, answer):
    stand_in.FileDialog.answers[:] = ["/weights/a.pt", answer]
    choose(desk, "Model", "SAM 2 or MedSAM2 file…")
    choose(desk, "Model", "SAM 2 or MedSAM2 file…")
    assert desk.controller.options.model == "/weights/a.pt"
    assert desk.widget("ProMemModel").currentText == "a.pt"


def test_the_engine_gets_what_was_chosen(desk):
    choose(desk, "Search", "Custom")
    desk.widget("ProMemBeams").value = 3
    choose(desk, "Stop", "Never")
    desk.paint(0, 10)
    desk.press("ProMemPropagate")
    desk.run()
    sent = desk.engine.last("propagate")
    assert (sent["memory"], sent["windows"], sent["beams"], sent["never_stop"]) == ("search", [1, 6], 3, True)


def test_the_intensity_that_is_displayed_is_what_the_network_sees(desk):
    desk.paint(0, 10)
    desk.press("ProMemPropagate")
    desk.run()
    assert list(desk.engine.last("open_scan")["window"]) == [400, 200]
    choose(desk, "Intensity", "Automatic")
    desk.press("ProMemPropagate")
    desk.run()
    assert desk.engine.last("set_window")["window"] is None


def test_a_script_sets_choices_on_the_node_and_the_panel_shows_them(desk):
    for name, value in {
        "Device": "cuda:1",
        "Search": "custom",
        "Windows": "2, 5",
        "Beams": "7",
        "Threads": "2",
    }.items():
        desk.effect.setParameter(name, value)
    desk.run()
    assert desk.widget("ProMemDevice").currentText == "cuda:1" and desk.widget("ProMemBeams").value == 7
    assert desk.widget("ProMemWindows").text == "2, 5" and desk.widget("ProMemThreads").value == 2
    assert desk.controller.options == Options(device="cuda:1", search="custom", windows=(2, 5), beams=7, threads=2)


def test_nonsense_on_the_node_is_told_and_the_defaults_hold(desk):
    desk.effect.setParameter("Beams", "many")
    desk.run()
    assert desk.kind == "error" and "Beams" in desk.status and desk.controller.options == Options()
    desk.effect.setParameter("Beams", "2")
    desk.run()
    assert desk.kind == "ready"


def test_the_range_is_on_the_node(desk):
    desk.widget("ProMemRangeFirst").value = 8
    assert node_value(desk, "RangeFirst") == "8"
    desk.effect.setParameter("RangeLast", "12")
    desk.run()
    assert desk.widget("ProMemRangeLast").value == 12


def test_choices_of_a_scene_that_was_saved_are_there_when_the_effect_begins(make_desk):
    desk = make_desk()
    desk.effect.setParameter("Search", "off")
    desk.effect.setParameter("Model", "/weights/a.pt")
    desk.effect.activate()
    desk.run()
    assert desk.engine.last("load_model")["path"] == "/weights/a.pt"
    assert desk.widget("ProMemSearch").currentText.startswith("Off")


def test_what_slicer_asks_to_write_is_what_the_panel_shows(desk):
    combo = desk.widget("ProMemStop")
    was = combo.blockSignals(True)
    combo.currentIndex = 1
    combo.blockSignals(was)
    assert node_value(desk, "Stop") == "automatic"
    desk.effect.call("updateMRMLFromGUI")
    assert node_value(desk, "Stop") == "never"


def test_options_are_folded_away_until_they_are_wanted(desk):
    frame = desk.python.panel.options.frame
    assert frame.isHidden()
    desk.press("ProMemOptionsFold")
    assert not frame.isHidden()
    assert desk.python.panel.options.engine.text.startswith("threshold")
