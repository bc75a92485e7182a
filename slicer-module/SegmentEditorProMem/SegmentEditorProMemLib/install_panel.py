"""The panel that installs libtorch: version, folder, size and source; one button; progress.

In: an `Installation` of `promem.install`, and calls of `tick` from a timer. Out: an installed libtorch, reported by
`on_done`. Knows neither scene nor engine.
"""

from typing import Any, Callable, Optional

import qt

from . import ui_text
from .i18n import _
from .status_line import error_style

# The maximum of the progress bar: its numbers are too small for bytes.
STEPS = 1000
PHASES = {"downloading": _("Downloading"), "unpacking": _("Unpacking")}
ABOUT = _(
    "ProMem computes with <b>libtorch</b>, which has to be installed once, into a separate folder. "
    "Slicer and its Python are not changed."
)
ABOUT_ENGINE = _(
    "This extension comes without ProMem's <b>engine</b>: choose its wheel, promem-….whl for Linux, with From file. "
    "It goes into a separate folder; Slicer and its Python are not changed."
)


class InstallPanel:
    """widget: to be put into a layout. make: creates an `Installation` from a file, or from the package index for
    None.
    """

    def __init__(self, make: Callable[[Optional[str]], Any]) -> None:
        self.on_done: Callable[[], None] = lambda: None
        self.on_engine: Callable[[], None] = lambda: None
        self._make = make
        self._installation: Any = None
        self.widget = qt.QFrame()
        self.widget.objectName = "ProMemInstall"
        self.widget.setFrameShape(qt.QFrame.StyledPanel)
        layout = qt.QVBoxLayout(self.widget)
        self.about, self.plan, self.error = qt.QLabel(ABOUT), qt.QLabel(), qt.QLabel()
        for label in (self.about, self.plan, self.error):
            label.setWordWrap(True)
            label.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
            layout.addWidget(label)
        self.progress = qt.QProgressBar()
        self.progress.minimum, self.progress.maximum = 0, STEPS
        layout.addWidget(self.progress)
        row = qt.QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        self.install = _button(
            "ProMemInstallButton", _("Install"), _("Downloads and unpacks libtorch. Slicer can be used meanwhile.")
        )
        self.cancel = _button(
            "ProMemInstallCancel",
            _("Cancel"),
            _("Stops the installation. The downloaded part is kept, and Install continues from there."),
        )
        self.from_file = _button(
            "ProMemInstallFromFile",
            _("From file…"),
            _(
                "Installs without a network, from a wheel of torch or a libtorch zip file that was downloaded elsewhere."
            ),
        )
        row.addWidget(self.install, 1)
        row.addWidget(self.cancel, 1)
        row.addWidget(self.from_file)
        self._connections = [
            (self.install, "clicked()", self._install),
            (self.cancel, "clicked()", self._cancel),
            (self.from_file, "clicked()", self._choose),
        ]
        for widget, signal, call in self._connections:
            widget.connect(signal, call)
        self.is_open = self.is_for_engine = self.widget.visible = False

    @property
    def is_running(self) -> bool:
        return self._installation is not None and self._installation.is_running

    def open(self, for_engine: bool = False) -> None:
        """Shows the panel and plans the installation. for_engine: the engine is missing, which comes from a file."""
        self.is_open = self.widget.visible = True
        self.is_for_engine = for_engine
        self.about.text = ABOUT_ENGINE if for_engine else ABOUT
        if self._installation is None and not for_engine:
            self._begin(None).look()
        self._show()

    def tick(self) -> None:
        if not self.is_running:
            return
        before = self._installation.state
        self._installation.step()
        self._show()
        if self._installation.state == "done" and before != "done":
            was_engine = self.is_for_engine
            self.close()
            (self.on_engine if was_engine else self.on_done)()

    def close(self) -> None:
        """Ends a running installation and hides the panel."""
        self.is_open = self.widget.visible = False
        if self._installation is not None:
            self._installation.close()
            self._installation = None

    def disconnect(self) -> None:
        for widget, signal, call in self._connections:
            widget.disconnect(signal, call)

    def _begin(self, source: Optional[str]) -> Any:
        if self._installation is not None:
            self._installation.close()
        self._installation = self._make(source)
        return self._installation

    def _install(self) -> None:
        if not self.is_running:
            # After an error the plan may have changed: the index is asked again.
            if self._installation is None or self._installation.source is not None:
                self._begin(None)
            self._installation.start()
            self._show()

    def _cancel(self) -> None:
        if self.is_running:
            self._installation.cancel()
            self._show()

    def _choose(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            self.widget.window(),
            _("Engine") if self.is_for_engine else "libtorch",
            "",
            "Wheel or zip file (*.whl *.zip);;All files (*)",
        )
        path = path[0] if isinstance(path, (tuple, list)) else path
        if path and not self.is_running:
            self._begin(path).start()
            self._show()

    def _show(self) -> None:
        now = self._installation
        state = now.state if now is not None else "idle"
        self.plan.text = _plan_text(now)
        failed = state == "failed"
        self.error.text = (
            now.error if failed else (_("Cancelled. Install continues from there.") if state == "cancelled" else "")
        )
        self.error.visible = bool(self.error.text)
        self.error.setStyleSheet(error_style(self.error) if failed else "")
        working = state in ("installing", "cancelling")
        self.progress.visible = working
        if working:
            # Without a maximum the bar shows activity only.
            self.progress.maximum = STEPS if now.total else 0
            self.progress.value = round(now.fraction * STEPS)
            left = ui_text.time_left(now.seconds_left)
            phase = PHASES.get(now.phase, _("Preparing")) if state == "installing" else _("Stopping")
            sizes = (
                _(" {done} of {total}").format(done=ui_text.size(now.done), total=ui_text.size(now.total))
                if now.total
                else ""
            )
            self.progress.format = f"{phase}{sizes}" + (f", {left}" if left and now.total else "")
        self.install.visible, self.cancel.visible = not working and not self.is_for_engine, working
        self.install.enabled = not self.is_running
        self.cancel.enabled = state == "installing"
        self.from_file.enabled = not self.is_running
        self.install.text = _("Try again") if failed else _("Install")


def _plan_text(installation: Any) -> str:
    if installation is None or installation.state == "idle":
        return ""
    if installation.state == "looking":
        return _("Checking what has to be downloaded …")
    plan = installation.plan
    if plan is None:
        return ""
    what = f"{plan.what} {plan.version}"
    size = _("{size} on disk ({free} free)").format(size=ui_text.size(plan.unpacked), free=ui_text.size(plan.free))
    fetched = (
        _("nothing to download") if plan.offline else _("{size} to download").format(size=ui_text.size(plan.remaining))
    )
    return _("<b>{what}</b>: {fetched}, about {size}<br>into {folder}<br>from {source}").format(
        what=what, fetched=fetched, size=size, folder=plan.folder, source=plan.source
    )


def _button(name: str, text: str, tip: str) -> Any:
    button = qt.QPushButton(text)
    button.objectName = name
    button.setToolTip(tip)
    return button
