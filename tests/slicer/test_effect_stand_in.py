"""The stand-in refuses what PythonQt refuses: otherwise the other tests would prove little."""

import pytest
from conftest import needs

needs("slicer", "PySide6")

from pythonqt import stand_in  # noqa: E402

qt = stand_in.install()


def test_a_property_is_an_attribute_and_not_a_method():
    button = qt.QPushButton("Go")
    assert button.text == "Go" and button.enabled is True
    button.text = "Stop"
    assert button.text == "Stop"
    with pytest.raises(TypeError):
        button.text()


def test_an_attribute_that_qt_does_not_have_cannot_be_made():
    with pytest.raises(AttributeError):
        qt.QPushButton().caption = "Go"
    with pytest.raises((AttributeError, TypeError)):
        qt.QTimer().active = True


def test_a_signal_is_connected_by_its_signature_only():
    button = qt.QPushButton()
    for wrong in ("clicked", "clicked(int)", "hovered()"):
        with pytest.raises(ValueError):
            button.connect(wrong, print)


def test_a_slot_gets_what_the_signature_has_and_what_it_can_take():
    box, heard = qt.QSpinBox(), []
    box.connect("valueChanged(int)", lambda: heard.append("none"))
    box.connect("valueChanged(int)", lambda value: heard.append(value))
    box.connect("valueChanged(int)", lambda *values: heard.append(values))
    box.value = 7
    assert heard == ["none", 7, (7,)]


def test_a_signal_that_was_disconnected_is_silent():
    button, heard = qt.QPushButton(), []

    def call():
        heard.append(1)

    button.connect("clicked()", call)
    assert button.disconnect("clicked()", call) and not button.disconnect("clicked()", call)
    button.click()
    assert heard == []


def test_a_widget_cannot_be_subclassed():
    with pytest.raises(TypeError):

        class Strip(qt.QWidget):
            pass


def test_keyword_arguments_are_refused():
    for call in (
        lambda: qt.QPushButton(text="Go"),
        lambda: qt.QPushButton("Go").setText(text="Stop"),
        lambda: qt.QVBoxLayout().addWidget(qt.QPushButton("Go"), stretch=1),
    ):
        with pytest.raises(ValueError, match="keyword arguments"):
            call()


def test_a_signal_that_does_not_exist_is_not_overlooked():
    """PythonQt answers False and writes to stderr, which nobody reads: here it is an error."""
    window = qt.QWidget()
    shortcut = qt.QShortcut(window)
    with pytest.raises(ValueError, match="has no signal"):
        shortcut.connect("triggered()", print)
