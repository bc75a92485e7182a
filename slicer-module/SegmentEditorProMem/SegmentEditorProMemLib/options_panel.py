"""The options: model, device, memory search, intensity window, stop, CPU threads. They are collapsed at first.

In: parameters as text. Out: parameters as text, when the user has changed one. Knows neither node nor controller.
"""

from typing import Any, Callable

import qt

from .i18n import _
from .options import BadOption, windows_from_text

DEFAULT_MODEL, MODEL_FROM_FILE = _("Default"), _("SAM 2 or MedSAM2 file…")

# What is shown, and what it is called on the node.
DEVICES = ((_("Automatic"), "auto"), (_("CPU"), "cpu"), (_("GPU (cuda:0)"), "cuda:0"))
SEARCHES = ((_("As in the paper"), "paper"), (_("Off (plain SAM 2)"), "off"), (_("Custom"), "custom"))
INTENSITIES = ((_("As displayed"), "displayed"), (_("Automatic"), "automatic"))
STOPS = ((_("Where the object ends"), "automatic"), (_("Never"), "never"))

TIPS = {
    "Model": _(
        "The network that segments.\nThe default model comes with ProMem and works best with a painted slice. "
        "SAM 2, SAM 2.1 and MedSAM2 model files (.pt, .safetensors) work better with clicks and boxes."
    ),
    "Device": _("The device that runs the network. Automatic: the GPU if there is one, else the CPU."),
    "Search": _(
        "Memory window search: how many earlier slices the network attends to.\nAs in the paper: tries 1 and 6 slices and keeps "
        "the mask with the higher predicted IoU; slower and more robust. Off: always 6 slices, the fastest."
    ),
    "Windows": _("Custom search: the memory windows to try, in slices from 1 to 6, for example 1, 6."),
    "Beams": _("Custom search: the number of candidates kept on each slice. More is slower."),
    "Intensity": _(
        "The intensity window of the network's input.\nAs displayed: window and level of the slice views; set them so that the "
        "object stands out. Automatic: chosen from the scan and the prompt."
    ),
    "Stop": _(
        "Where a propagation ends.\nWhere the object ends: where the network no longer detects it. Never: at the end of the scan or "
        "of the range, for objects that disappear and reappear."
    ),
    "Threads": _("The CPU threads that the engine may use. 0: all but one, so that Slicer stays responsive."),
}


class OptionsPanel:
    """widget: to be put into a layout. on_change: called with changed parameters. on_error: called with a message."""

    def __init__(self) -> None:
        self.on_change: Callable[[dict[str, Any]], None] = lambda values: None
        self.on_error: Callable[[str], None] = lambda sentence: None
        self._model = ""
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.fold = qt.QToolButton()
        self.fold.objectName = "ProMemOptionsFold"
        self.fold.text = _("Options")
        self.fold.checkable = True
        self.fold.autoRaise = True
        self.fold.setToolButtonStyle(qt.Qt.ToolButtonTextBesideIcon)
        self.fold.setArrowType(qt.Qt.RightArrow)
        layout.addWidget(self.fold)
        self.frame = qt.QFrame()
        self.frame.visible = False
        layout.addWidget(self.frame)
        form = qt.QFormLayout(self.frame)
        form.setContentsMargins(12, 0, 0, 0)
        form.setFieldGrowthPolicy(qt.QFormLayout.AllNonFixedFieldsGrow)
        self.model = _combo("Model", ((DEFAULT_MODEL, ""), (MODEL_FROM_FILE, None)))
        self.device = _combo("Device", DEVICES)
        self.search = _combo("Search", SEARCHES)
        self.windows = qt.QLineEdit()
        self.beams = qt.QSpinBox()
        self.intensity = _combo("Intensity", INTENSITIES)
        self.stop = _combo("Stop", STOPS)
        self.threads = qt.QSpinBox()
        self.engine = qt.QLabel()
        self.engine.setWordWrap(True)
        self.beams.minimum, self.beams.maximum = 1, 16
        self.threads.minimum, self.threads.maximum = 0, 256
        self.threads.setSpecialValueText(_("All but one"))
        self.labels = {}
        for name, label, widget in (
            ("Model", "Model", self.model),
            ("Device", _("Compute on"), self.device),
            ("Search", _("Memory search"), self.search),
            ("Windows", _("Memory windows"), self.windows),
            ("Beams", _("Beams"), self.beams),
            ("Intensity", _("Intensity window"), self.intensity),
            ("Stop", _("Stop"), self.stop),
            ("Threads", _("CPU threads"), self.threads),
        ):
            self.labels[name] = qt.QLabel(label)
            widget.objectName = f"ProMem{name}"
            for part in (self.labels[name], widget):
                part.setToolTip(TIPS[name])
            form.addRow(self.labels[name], widget)
        form.addRow(qt.QLabel(_("Engine")), self.engine)
        self._connections = [
            (self.fold, "toggled(bool)", self._folded),
            (self.model, "activated(int)", self._model_chosen),
            (self.device, "currentIndexChanged(int)", self._changed),
            (self.search, "currentIndexChanged(int)", self._changed),
            (self.windows, "editingFinished()", self._changed),
            (self.beams, "valueChanged(int)", self._changed),
            (self.intensity, "currentIndexChanged(int)", self._changed),
            (self.stop, "currentIndexChanged(int)", self._changed),
            (self.threads, "valueChanged(int)", self._changed),
        ]
        for widget, signal, call in self._connections:
            widget.connect(signal, call)

    def show(self, values: dict[str, str]) -> None:
        """Shows parameters, without calling on_change."""
        widgets = [widget for widget, _, _ in self._connections]
        blocked = [(widget, widget.blockSignals(True)) for widget in widgets]
        try:
            self._show_model(values["Model"])
            _select(self.device, values["Device"])
            _select(self.search, values["Search"])
            self.windows.text = values["Windows"]
            self.beams.value = int(values["Beams"])
            _select(self.intensity, values["Intensity"])
            _select(self.stop, values["Stop"])
            self.threads.value = int(values["Threads"])
        finally:
            for widget, was in blocked:
                widget.blockSignals(was)
        self._show_custom()

    def show_engine(self, line: str) -> None:
        if self.engine.text != line:
            self.engine.text = line

    def values(self) -> dict[str, str]:
        """The selected options. Raises BadOption."""
        windows_from_text(self.windows.text)
        return {
            "Model": self._model,
            "Device": _value(self.device),
            "Search": _value(self.search),
            "Windows": self.windows.text,
            "Beams": str(self.beams.value),
            "Intensity": _value(self.intensity),
            "Stop": _value(self.stop),
            "Threads": str(self.threads.value),
        }

    def disconnect(self) -> None:
        for widget, signal, call in self._connections:
            widget.disconnect(signal, call)

    def _folded(self, is_open: bool) -> None:
        self.frame.visible = is_open
        self.fold.setArrowType(qt.Qt.DownArrow if is_open else qt.Qt.RightArrow)

    def _show_custom(self) -> None:
        is_custom = _value(self.search) == "custom"
        for part in (self.windows, self.beams, self.labels["Windows"], self.labels["Beams"]):
            part.visible = is_custom

    def _show_model(self, path: str) -> None:
        self._model = path
        while self.model.count > 2:
            self.model.removeItem(2)
        if path:
            self.model.addItem(path.replace("\\", "/").rpartition("/")[2])
        self.model.setCurrentIndex(2 if path else 0)
        self.model.setToolTip(TIPS["Model"] + (f"\n\n{path}" if path else ""))

    def _model_chosen(self, index: int) -> None:
        if index == 1:
            path = qt.QFileDialog.getOpenFileName(
                self.widget.window(), _("Model file"), "", "Models (*.pt *.pth *.safetensors);;All files (*)"
            )
            # PythonQt returns the name, other bindings return the name and the filter.
            path = path[0] if isinstance(path, (tuple, list)) else path
            self._show_model(path or self._model)
        elif index == 0:
            self._show_model("")
        self._changed()

    def _changed(self, *_: Any) -> None:
        self._show_custom()
        try:
            values = self.values()
        except BadOption as error:
            self.on_error(str(error))
            return
        self.on_change(values)


def _combo(name: str, items: Any) -> Any:
    combo = qt.QComboBox()
    combo.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(12)
    for text, value in items:
        if value is None:
            combo.addItem(text)
        else:
            combo.addItem(text, value)
    return combo


def _value(combo: Any) -> str:
    return combo.itemData(combo.currentIndex)


def _select(combo: Any, value: str) -> None:
    """Selects an item; adds one for a value without one, such as cuda:1."""
    index = combo.findData(value)
    if index < 0:
        combo.addItem(value, value)
        index = combo.count - 1
    combo.setCurrentIndex(index)
