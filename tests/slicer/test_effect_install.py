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
    """A desk without libtorch."""

    def __init__(self, desk):
        self.desk = desk
        self.made = []
        desk.python.make_installation = self._make
        desk.show_window()
        desk.effect.activate()

    def _make(self, source):
        self.made.append(FakeInstallation(source))
        return self.made[-1]

    @property
    def panel(self):
        return self.desk.python.panel.install

    @property
    def installation(self):
        return self.made[-1]

    def happens(self, **what):
        self.installation.next = what
        self.desk.python.timer.timeout.emit()

    def buttons(self):
        """Names of the buttons that can be pressed."""
        found = ("ProMemInstallButton", "ProMemInstallCancel", "ProMemInstallFromFile")
        widgets = [self.desk.widget(name) for name in found]
        return {
            name.removeprefix("ProMemInstall") for name, w in zip(found, widgets) if not w.isHidden() and w.isEnabled()
        }


@pytest.fixture
def clinic(make_desk):
    return Clinic(make_desk(installed=False))


@pytest.fixture
def planned(clinic):
    clinic.happens(state="planned", plan=PLAN)
    return clinic


def test_it_is_there_only_where_libtorch_is_not(clinic, make_desk):
    assert clinic.panel.is_open and clinic.desk.python.panel._tools.isHidden()
    assert clinic.desk.engine.state == "stopped" and clinic.desk.controller is None
    other = make_desk()
    other.effect.activate()
    assert not other.python.panel.install.is_open and not other.python.panel._tools.isHidden()


def test_it_finds_out_at_once_what_there_is_to_do(clinic):
    assert clinic.installation.calls == ["look"] and clinic.installation.source is None
    assert "Finding out" in clinic.panel.plan.text and clinic.buttons() == set()


def test_it_says_what_where_and_how_large(planned):
    text = planned.panel.plan.text
    for said in ("libtorch 2.11.0", "520 MB to download", "1.3 GB on disk", "40.0 GB free", PLAN.folder, PLAN.source):
        assert said in text
    assert planned.buttons() == {"Button", "FromFile"}


def test_install_installs_and_shows_how_far_it_is(planned):
    planned.desk.press("ProMemInstallButton")
    assert planned.installation.calls == ["look", "start"]
    assert planned.panel.progress.maximum == 0, "until something is known the bar only says that it works"
    planned.happens(phase="downloading", done=130_000_000, total=520_000_000, seconds_left=42.0)
    assert planned.panel.progress.value == 250 and planned.panel.progress.maximum == 1000
    assert planned.panel.progress.format == "Downloading 130 MB of 520 MB, about 45 s left"
    planned.happens(phase="unpacking", done=1_300_000_000, total=1_300_000_000, seconds_left=0.0)
    assert planned.panel.progress.format.startswith("Unpacking 1.3 GB of 1.3 GB")
    assert planned.buttons() == {"Cancel"}


def test_the_timer_is_quick_while_it_installs(planned):
    planned.desk.press("ProMemInstallButton")
    planned.happens(phase="downloading")
    assert planned.desk.python.timer.interval == 15


def test_when_it_is_done_the_effect_begins(planned):
    planned.desk.press("ProMemInstallButton")
    planned.happens(state="done")
    assert not planned.panel.is_open and planned.installation.closed
    planned.desk.run()
    assert planned.desk.kind == "ready" and not planned.desk.python.panel._tools.isHidden()
    planned.desk.click((15, 20, 10))
    planned.desk.run()
    assert "expected overlap" in planned.desk.status


def test_cancel_stops_it_and_install_goes_on(planned):
    planned.desk.press("ProMemInstallButton")
    planned.happens(phase="downloading", done=1, total=10)
    planned.desk.press("ProMemInstallCancel")
    assert planned.installation.calls[-1] == "cancel" and planned.buttons() == set()
    planned.happens(state="cancelled")
    assert "goes on from there" in planned.panel.trouble.text and planned.buttons() == {"Button", "FromFile"}
    planned.desk.press("ProMemInstallButton")
    assert planned.installation.calls[-1] == "start" and len(planned.made) == 1


def test_an_error_is_said_and_it_can_be_tried_again(planned):
    planned.desk.press("ProMemInstallButton")
    planned.happens(state="failed", error="pypi.org cannot be reached: no route to host", kind="network")
    assert planned.panel.trouble.text.startswith("pypi.org cannot be reached") and not planned.panel.trouble.isHidden()
    assert planned.panel.install.text == "Try again" and planned.buttons() == {"Button", "FromFile"}
    planned.desk.press("ProMemInstallButton")
    assert planned.installation.state == "installing" and planned.panel.trouble.isHidden()


def test_an_error_while_looking_leaves_a_way_on(clinic):
    clinic.happens(state="failed", error="no network", kind="network")
    assert clinic.buttons() == {"Button", "FromFile"} and clinic.panel.trouble.text == "no network"


def test_from_a_file_it_installs_without_a_network(clinic):
    clinic.happens(state="failed", error="no network", kind="network")
    stand_in.FileDialog.answers[:] = ["/media/stick/torch-2.11.0.whl"]
    clinic.desk.press("ProMemInstallFromFile")
    assert clinic.installation.source == "/media/stick/torch-2.11.0.whl" and clinic.installation.calls == ["start"]
    assert clinic.made[0].closed
    clinic.happens(state="failed", error="torch-2.11.0.whl: it is damaged", kind="files")
    # Try again means the index, not the file that did not do.
    clinic.desk.press("ProMemInstallButton")
    assert clinic.installation.source is None and clinic.installation.calls == ["start"]


def test_a_dialog_that_is_cancelled_begins_nothing(planned):
    stand_in.FileDialog.answers[:] = [""]
    planned.desk.press("ProMemInstallFromFile")
    assert len(planned.made) == 1 and planned.installation.state == "planned"


def test_it_goes_on_while_another_effect_is_active(planned):
    planned.desk.press("ProMemInstallButton")
    planned.desk.effect.deactivate()
    planned.happens(phase="downloading", done=5, total=10)
    assert planned.installation.done == 5 and planned.desk.python.timer.active
    planned.desk.effect.activate()
    assert len(planned.made) == 1 and planned.buttons() == {"Cancel"}


def test_clicks_and_keys_do_nothing_before(planned):
    assert planned.desk.views["Red"].click((100, 100)) is False
    assert planned.desk.key("P")
    planned.desk.run()
    assert planned.desk.controller is None and planned.desk.status == "One thing has to be installed first."


def test_the_end_of_the_editor_ends_it(planned):
    planned.desk.press("ProMemInstallButton")
    installation = planned.installation
    planned.desk.editor.end()
    assert installation.closed


def test_what_is_wrong_with_the_question_itself_is_shown(make_desk):
    desk = make_desk()

    def fails():
        raise OSError("the folder cannot be read")

    desk.python.needs_installation = fails
    desk.effect.activate()
    desk.events()
    desk.python._show()
    assert desk.controller is not None
