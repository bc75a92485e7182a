"""The panel that installs libtorch: every state of an installation, and what the buttons make of it."""

import pytest
from conftest import needs

needs("slicer", "PySide6")

from promem.install import Artifact, Plan  # noqa: E402
from pythonqt import stand_in  # noqa: E402

pytest_plugins = ["pythonqt.fixtures"]

PLAN = Plan(
    "2.11.0",
    "/home/user/.local/share/ProMem/libtorch-2.11.0",
    "https://pypi.org/simple/",
    False,
    (Artifact("torch-2.11.0.whl", "https://pypi.org/torch", 520_000_000),),
    1_300_000_000,
    40_000_000_000,
)


class FakeInstallation:
    """What `promem.install.Installation` is; a test says what has happened, and the next `step` tells of it."""

    def __init__(self, source):
        self.source, self.state, self.plan = source, "idle", None
        self.phase, self.done, self.total, self.seconds_left = "", 0, 0, None
        self.error = self.kind = None
        self.closed = False
        self.calls = []
        self.next = {}

    @property
    def is_running(self):
        return self.state in ("looking", "installing", "cancelling")

    @property
    def fraction(self):
        return self.done / self.total if self.total else 0.0

    def look(self):
        self.calls.append("look")
        self.state = "looking"

    def start(self):
        self.calls.append("start")
        self.state, self.error = "installing", None

    def cancel(self):
        self.calls.append("cancel")
        self.state = "cancelling"

    def close(self):
        self.closed = True

    def step(self, milliseconds=5.0):
        for name, value in self.next.items():
            setattr(self, name, value)
        self.next = {}
        return self.is_running


class Clinic:
    """A app without libtorch."""

    def __init__(self, app):
        self.app = app
        self.made = []
        app.python.make_installation = self._make
        app.show_window()
        app.effect.activate()

    def _make(self, source):
        self.made.append(FakeInstallation(source))
        return self.made[-1]

    @property
    def panel(self):
        return self.app.python.panel.install

    @property
    def installation(self):
        return self.made[-1]

    def happens(self, **what):
        self.installation.next = what
        self.app.python.timer.timeout.emit()

    def buttons(self):
        """Names of the buttons that can be pressed."""
        found = ("ProMemInstallButton", "ProMemInstallCancel", "ProMemInstallFromFile")
        widgets = [self.app.widget(name) for name in found]
        return {
            name.removeprefix("ProMemInstall") for name, w in zip(found, widgets) if not w.isHidden() and w.isEnabled()
        }


@pytest.fixture
def clinic(make_app):
    return Clinic(make_app(installed=False))


@pytest.fixture
def planned(clinic):
    clinic.happens(state="planned", plan=PLAN)
    return clinic


def test_the_install_panel_is_shown_only_without_libtorch(clinic, make_app):
    assert clinic.panel.is_open and clinic.app.python.panel._tools.isHidden()
    assert clinic.app.engine.state == "stopped" and clinic.app.controller is None
    other = make_app()
    other.effect.activate()
    assert not other.python.panel.install.is_open and not other.python.panel._tools.isHidden()


def test_the_install_panel_plans_at_once(clinic):
    assert clinic.installation.calls == ["look"] and clinic.installation.source is None
    assert "Checking what has to be downloaded" in clinic.panel.plan.text and clinic.buttons() == set()


def test_the_install_panel_shows_version_folder_and_size(planned):
    text = planned.panel.plan.text
    for said in ("libtorch 2.11.0", "520 MB to download", "1.3 GB on disk", "40.0 GB free", PLAN.folder, PLAN.source):
        assert said in text
    assert planned.buttons() == {"Button", "FromFile"}


def test_install_installs_and_shows_how_far_it_is(planned):
    planned.app.press("ProMemInstallButton")
    assert planned.installation.calls == ["look", "start"]
    assert planned.panel.progress.maximum == 0, "until something is known the bar only says that it works"
    planned.happens(phase="downloading", done=130_000_000, total=520_000_000, seconds_left=42.0)
    assert planned.panel.progress.value == 250 and planned.panel.progress.maximum == 1000
    assert planned.panel.progress.format == "Downloading 130 MB of 520 MB, about 45 s left"
    planned.happens(phase="unpacking", done=1_300_000_000, total=1_300_000_000, seconds_left=0.0)
    assert planned.panel.progress.format.startswith("Unpacking 1.3 GB of 1.3 GB")
    assert planned.buttons() == {"Cancel"}


def test_the_timer_is_quick_while_it_installs(planned):
    planned.app.press("ProMemInstallButton")
    planned.happens(phase="downloading")
    assert planned.app.python.timer.interval == 15


def test_the_effect_starts_after_the_installation(planned):
    planned.app.press("ProMemInstallButton")
    planned.happens(state="done")
    assert not planned.panel.is_open and planned.installation.closed
    planned.app.run()
    assert planned.app.kind == "ready" and not planned.app.python.panel._tools.isHidden()
    planned.app.click((15, 20, 10))
    planned.app.run()
    assert "predicted IoU" in planned.app.status


def test_cancel_stops_the_installation_and_install_continues_it(planned):
    planned.app.press("ProMemInstallButton")
    planned.happens(phase="downloading", done=1, total=10)
    planned.app.press("ProMemInstallCancel")
    assert planned.installation.calls[-1] == "cancel" and planned.buttons() == set()
    planned.happens(state="cancelled")
    assert "continues from there" in planned.panel.error.text and planned.buttons() == {"Button", "FromFile"}
    planned.app.press("ProMemInstallButton")
    assert planned.installation.calls[-1] == "start" and len(planned.made) == 1


def test_an_installation_error_is_shown_and_can_be_retried(planned):
    planned.app.press("ProMemInstallButton")
    planned.happens(state="failed", error="pypi.org cannot be reached: no route to host", kind="network")
    assert planned.panel.error.text.startswith("pypi.org cannot be reached") and not planned.panel.error.isHidden()
    assert planned.panel.install.text == "Try again" and planned.buttons() == {"Button", "FromFile"}
    planned.app.press("ProMemInstallButton")
    assert planned.installation.state == "installing" and planned.panel.error.isHidden()


def test_an_error_while_planning_can_be_retried(clinic):
    clinic.happens(state="failed", error="no network", kind="network")
    assert clinic.buttons() == {"Button", "FromFile"} and clinic.panel.error.text == "no network"


def test_a_file_installs_without_a_network(clinic):
    clinic.happens(state="failed", error="no network", kind="network")
    stand_in.FileDialog.answers[:] = ["/media/stick/torch-2.11.0.whl"]
    clinic.app.press("ProMemInstallFromFile")
    assert clinic.installation.source == "/media/stick/torch-2.11.0.whl" and clinic.installation.calls == ["start"]
    assert clinic.made[0].closed
    clinic.happens(state="failed", error="torch-2.11.0.whl: it is damaged", kind="files")
    # Try again means the index, not the file that did not do.
    clinic.app.press("ProMemInstallButton")
    assert clinic.installation.source is None and clinic.installation.calls == ["start"]


def test_a_cancelled_dialog_starts_no_installation(planned):
    stand_in.FileDialog.answers[:] = [""]
    planned.app.press("ProMemInstallFromFile")
    assert len(planned.made) == 1 and planned.installation.state == "planned"


def test_the_installation_continues_while_another_effect_is_active(planned):
    planned.app.press("ProMemInstallButton")
    planned.app.effect.deactivate()
    planned.happens(phase="downloading", done=5, total=10)
    assert planned.installation.done == 5 and planned.app.python.timer.active
    planned.app.effect.activate()
    assert len(planned.made) == 1 and planned.buttons() == {"Cancel"}


def test_clicks_and_keys_do_nothing_before_the_installation(planned):
    assert planned.app.views["Red"].click((100, 100)) is False
    assert planned.app.key("P")
    planned.app.run()
    assert planned.app.controller is None and planned.app.status == "libtorch has to be installed first."


def test_closing_the_editor_ends_the_installation(planned):
    planned.app.press("ProMemInstallButton")
    installation = planned.installation
    planned.app.editor.end()
    assert installation.closed


def test_an_error_of_the_installation_check_is_shown(make_app):
    app = make_app()

    def fails():
        raise OSError("the folder cannot be read")

    app.python.needs_installation = fails
    app.effect.activate()
    app.events()
    app.python._show()
    assert app.controller is not None


def test_an_extension_without_an_engine_asks_for_its_wheel_and_then_for_libtorch(clinic):
    app = clinic.app
    app.python.needs_engine = lambda: missing[0]
    missing = [True]
    app.effect.deactivate()
    app.python.panel.install.close()
    made_before = len(clinic.made)
    app.effect.activate()
    assert app.status == "The engine has to be installed first."
    assert not app.widget("ProMemInstallButton").isVisibleTo(app.python.panel.install.widget)
    assert "wheel" in app.python.panel.install.about.text and len(clinic.made) == made_before
    stand_in.FileDialog.answers.append("/downloads/promem-0.1.0-py3-none-linux_x86_64.whl")
    app.press("ProMemInstallFromFile")
    made = clinic.made[-1]
    assert made.source.endswith("linux_x86_64.whl") and made.calls == ["start"]
    missing[0] = False
    made.next = {"state": "done"}
    for _ in range(10):
        app.python.timer.timeout.emit()
    assert app.status == "libtorch has to be installed first." and clinic.made[-1].calls == ["look"]
