"""Keys of the effect, while it is active. None of them is used by the Segment Editor.

In: a command for each key. Out: shortcuts of the main window, which can be removed. The Segment Editor uses 0 to 9,
also with Shift, Escape, Space, Z, Y, Ctrl+Z, Ctrl+Y, I, Q, W, slash, asterisk, comma, period, greater and less.
"""

from typing import Any, Callable

import qt

from .i18n import _

# With two equal shortcuts in a window, another module's and this one, Qt emits the second signal, of each in turn.
SIGNALS = ("activated()", "activatedAmbiguously()")

PROPAGATE, CANCEL, UNDO_POINT, CLEAR, NEXT_DOUBTFUL, TOGGLE = "P", "C", "U", "X", "N", "T"

DESCRIPTIONS = {
    PROPAGATE: _("propagate"),
    CANCEL: _("cancel"),
    UNDO_POINT: _("undo point"),
    CLEAR: _("clear prompts"),
    NEXT_DOUBTFUL: _("next doubtful"),
    TOGGLE: _("include or exclude"),
}


def with_key(text: str, key: str) -> str:
    """A tooltip with its key."""
    return f"{text}\n\n" + _("Key: {key}").format(key=key)


class Shortcuts:
    def __init__(self, calls: dict[str, Callable[[], None]]) -> None:
        """calls: key -> command."""
        self._calls = calls
        self._installed: list[tuple[Any, Callable[[], None]]] = []

    def install(self, parent: Any) -> None:
        """Installs the shortcuts in a window; a second call does nothing."""
        if self._installed or parent is None:
            return
        for key, call in self._calls.items():
            shortcut = qt.QShortcut(parent)
            shortcut.setKey(qt.QKeySequence(key))
            for signal in SIGNALS:
                shortcut.connect(signal, call)
            self._installed.append((shortcut, call))

    def remove(self) -> None:
        for shortcut, call in self._installed:
            for signal in SIGNALS:
                shortcut.disconnect(signal, call)
            # Without a parent the shortcut is inactive at once, whenever Qt deletes it.
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed.clear()
