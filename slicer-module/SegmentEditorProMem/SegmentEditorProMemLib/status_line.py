"""The status line at the top of the panel.

In: messages. Out: a line with a dot in the colour of its kind; for errors, a button that copies the details.
"""

from typing import Any

import qt

from .i18n import _
from .snapshot import ERROR, OFF, READY, WORKING

_DOTS = {READY: "#2e9e4f", WORKING: "#e2a000", OFF: "#909090"}


def is_dark(widget: Any) -> bool:
    """Whether the theme is dark."""
    return widget.palette.color(qt.QPalette.Window).lightness() < 128


def error_color(widget: Any) -> str:
    return "#ff7b72" if is_dark(widget) else "#c62828"


def error_style(widget: Any) -> str:
    return f"color: {error_color(widget)};"


class StatusLine:
    def __init__(self) -> None:
        self._details = ""
        self.widget = qt.QWidget()
        layout = qt.QHBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        self.dot, self.text, self.copy = qt.QLabel("●"), qt.QLabel(), qt.QToolButton()
        self.dot.setAlignment(qt.Qt.AlignTop)
        self.text.objectName = "ProMemStatus"
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        self.copy.objectName = "ProMemCopyDetails"
        self.copy.text = _("Copy")
        self.copy.setToolTip(_("Copies the error details for a bug report."))
        self.copy.visible = False
        layout.addWidget(self.dot)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.copy)
        self.copy.connect("clicked()", self._copy)

    def show(self, kind: str, sentence: str, details: str = "") -> None:
        """kind: READY, WORKING, OFF or ERROR. details: text for the Copy button, which is hidden without any."""
        color = error_color(self.widget) if kind == ERROR else _DOTS[kind]
        style, text_style = f"color: {color};", error_style(self.widget) if kind == ERROR else ""
        if self.dot.styleSheet != style:
            self.dot.setStyleSheet(style)
        if self.text.styleSheet != text_style:
            self.text.setStyleSheet(text_style)
        if self.text.text != sentence:
            self.text.text = sentence
        self._details = details
        self.copy.visible = bool(details)

    def disconnect(self) -> None:
        self.copy.disconnect("clicked()", self._copy)

    def _copy(self) -> None:
        qt.QApplication.clipboard().setText(self._details)
