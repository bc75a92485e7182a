"""The Segment Editor effect, as Slicer calls it.

In: Slicer's calls. Out: calls of the parts: `commands`, `mouse`, `panel`, `shortcuts`. A timer drives the controller.
Nothing here waits, and no exception is raised into Slicer.
"""

import logging
import os

# Slicer runs this file as a module with the name of its folder, instead of that package: it must act as the package.
if __name__ == "SegmentEditorProMemLib":
    __path__ = [os.path.dirname(os.path.abspath(__file__))]

import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect

from SegmentEditorProMemLib import parameters, shortcuts, ui_text
from SegmentEditorProMemLib.commands import Commands
from SegmentEditorProMemLib.editing import EffectEditing
from SegmentEditorProMemLib.i18n import _
from SegmentEditorProMemLib.mouse import SliceViewMouse
from SegmentEditorProMemLib.panel import Panel
from SegmentEditorProMemLib.scene import Scene
from SegmentEditorProMemLib.snapshot import OFF

# Milliseconds between two ticks: during a preview, during other jobs, and without a job.
QUICK, BUSY, IDLE = 5, 15, 100
# During a job the panel is updated after this many ticks.
TICKS_PER_LOOK = 6

ABOUT = _(
    "Segments an object on all slices from a prompt on one slice.<br>"
    "<b>1.</b> Paint it on one slice with any tool, or click into it (Ctrl+click to exclude; drag to draw a box).<br>"
    "<b>2.</b> Press <b>Propagate</b>. Painted slices are not changed; undo, masking and overwrite mode apply.<br>"
    "<b>3.</b> Check the doubtful slices in the strip, correct them, propagate again.<br>"
    'Keys: {keys}. <a href="{page}">More …</a><br>'
    "Not a medical device."
).format(
    keys=", ".join(f"<b>{key}</b> {what}" for key, what in shortcuts.DESCRIPTIONS.items()), page=ui_text.DOCUMENTATION
)


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """One for each Segment Editor. `controller` is for scripts; it is None before the effect is first activated."""

    def __init__(self, scriptedEffect):
        # Not translated: modules find effects by their names.
        scriptedEffect.name = "ProMem"
        scriptedEffect.title = "ProMem"
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        # Slicer creates a prototype that is only cloned: parts are created in setupOptionsFrame.
        self.commands = self.mouse = self.panel = self.shortcuts = self.timer = None
        self.make_engine, self.make_installation = make_engine, make_installation
        self.needs_installation, self.needs_engine = needs_installation, needs_engine
        self.unsupported_system = unsupported_system
        self._is_stale = False
        self._ticks = 0

    @property
    def controller(self):
        """The controller; None before the effect is first activated."""
        return self.commands.controller if self.commands is not None else None

    # Presentation.

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        cloned = effects.qSlicerSegmentEditorScriptedEffect(None)
        cloned.setPythonSource(__file__.replace("\\", "/"))
        return cloned

    def icon(self):
        path = os.path.join(os.path.dirname(__file__), "SegmentEditorEffect.png")
        return qt.QIcon(path) if os.path.exists(path) else qt.QIcon()

    def helpText(self):
        return ABOUT

    def createCursor(self, widget):
        return qt.QCursor(qt.Qt.CrossCursor)

    # Lifecycle.

    def setMRMLDefaults(self):
        parameters.set_defaults(self.scriptedEffect)

    def setupOptionsFrame(self):
        self.commands = Commands(self.scriptedEffect, slicer.mrmlScene)
        self.commands.on_change = self._schedule_update
        self.mouse = SliceViewMouse(self.scriptedEffect, self.commands)
        self.panel = Panel(self.commands, lambda source: self.make_installation(source))
        # After the engine, libtorch may be missing.
        self.panel.install.on_done, self.panel.install.on_engine = self._open, self._start
        self.scriptedEffect.addOptionsWidget(self.panel.widget)
        self.shortcuts = shortcuts.Shortcuts(
            {
                shortcuts.PROPAGATE: self.commands.propagate_both,
                shortcuts.CANCEL: self.commands.cancel,
                shortcuts.UNDO_POINT: self.commands.undo_point,
                shortcuts.CLEAR: self.commands.clear_prompts,
                shortcuts.NEXT_DOUBTFUL: self.commands.next_doubtful,
                shortcuts.TOGGLE: self.commands.toggle_click_mode,
            }
        )
        self.timer = qt.QTimer()
        self.timer.setInterval(IDLE)
        self.timer.connect("timeout()", self._tick)

    def activate(self):
        self.commands.positive = True
        self._attempt(
            self._start, lambda: self.shortcuts.install(slicer.util.mainWindow()), self.timer.start, self._show
        )

    def deactivate(self):
        # A running propagation continues; the timer stops at its end.
        self._attempt(self.shortcuts.remove, self.mouse.cancel, self.commands.deactivate)

    def cleanup(self):
        """Ends the engine's process and the timer, and disconnects every signal."""
        if self.commands is None:
            return
        self.commands.on_change = do_nothing
        # The engine first: whatever fails afterwards, no process is left.
        self._attempt(
            self.commands.close,
            self.panel.install.close,
            self.timer.stop,
            lambda: self.timer.disconnect("timeout()", self._tick),
            self.shortcuts.remove,
            self.mouse.cancel,
            self.panel.disconnect,
        )

    def _attempt(self, *steps):
        """Takes every step, also after one has failed. Errors are shown in the panel and logged, and not raised."""
        for step in steps:
            try:
                step()
            except Exception as error:
                logging.getLogger("ProMem").exception("ProMem: %s", error)
                self.commands.show_error(error)

    def _start(self):
        if self.unsupported_system():
            return
        try:
            is_missing = self.controller is None and self.needs_installation()
        except Exception:
            self._open()
            raise
        if is_missing:
            self.panel.install.open(self.needs_engine())
            self._schedule_update()
        else:
            self._open()

    # Events.

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        try:
            return self.mouse.process(callerInteractor, eventId, viewWidget)
        except Exception as error:
            self.mouse.cancel()
            self.commands.show_error(error)
            self._schedule_update()
            return False

    def processViewNodeEvents(self, callerViewNode, eventId, viewWidget):
        # The displayed slice may have changed.
        self._schedule_update()

    def interactionNodeModified(self, interactionNode):
        """Does nothing: the base class deactivates the effect during markup placement, and prompts are markups."""

    def sourceVolumeNodeChanged(self):
        self._schedule_update()

    def referenceGeometryChanged(self):
        self._schedule_update()

    def layoutChanged(self):
        if self.mouse is not None:
            self.mouse.cancel()

    def updateGUIFromMRML(self):
        if self.commands is not None:
            self._attempt(self.commands.read_options, self._show)

    def updateMRMLFromGUI(self):
        if self.commands is not None:
            self.commands.change_options(self.panel.options.values())

    # The timer.

    def _tick(self):
        """Runs in the GUI thread, so it does as little as possible."""
        self._ticks += 1
        try:
            self.panel.install.tick()
            self.commands.tick()
            is_busy = self.commands.is_busy or self.panel.install.is_running
            if self._is_stale and (not is_busy or self._ticks % TICKS_PER_LOOK == 0):
                self._show()
            if self._ticks % TICKS_PER_LOOK == 0 or not is_busy:
                self.panel.strip.refresh()
            self._set_pace(is_busy)
        except Exception as error:
            self.commands.show_error(error)
            self._is_stale = True

    def _set_pace(self, is_busy):
        if not is_busy and not self.scriptedEffect.active():
            self.timer.stop()
            return
        self._set_interval(self._busy_interval() if is_busy else IDLE)

    def _busy_interval(self):
        return QUICK if self.controller is not None and self.controller.state == "predicting" else BUSY

    def _set_interval(self, interval):
        if self.timer.interval != interval:
            self.timer.setInterval(interval)

    # Parts.

    def _open(self):
        self.commands.open(self.make_engine, lambda: Scene(slicer.mrmlScene, EffectEditing(self.scriptedEffect)))
        self._show()

    def _schedule_update(self):
        """The displayed state has changed, or a job has begun: schedules a tick soon."""
        self._is_stale = True
        if self.timer is None:
            return
        self._set_interval(self._busy_interval())
        # A script may start a job while another effect is active.
        if not self.timer.active and self.commands.is_busy:
            self.timer.start()

    def _show(self):
        self._is_stale = False
        now = self.commands.snapshot()
        unsupported = self.unsupported_system()
        if unsupported:
            now.kind, now.sentence, now.is_usable = OFF, unsupported, False
        if self.panel.install.is_open and not now.sentence:
            what = _("The engine") if self.panel.install.is_for_engine else "libtorch"
            now.sentence = _("{what} has to be installed first.").format(what=what)
        self.panel.show(now)


def make_engine():
    """The engine in a separate process, started with Slicer's Python."""
    from SegmentEditorProMemLib import engine

    return engine.make_engine()


def make_installation(source):
    from SegmentEditorProMemLib import engine

    return engine.make_installation(source)


def unsupported_system():
    from SegmentEditorProMemLib import engine

    return engine.unsupported_system()


def needs_installation():
    from SegmentEditorProMemLib import engine

    return engine.needs_installation()


def needs_engine():
    from SegmentEditorProMemLib import engine

    return engine.needs_engine()


def do_nothing():
    pass
