"""Keys of the effect, while it is active. None of them is one of the Segment Editor's own.

In: what each key does. Out: shortcuts of the main window, which can be taken away again. The Segment Editor's are 0 to 9, Shift with them, Escape,
Space, Z, Y, Ctrl+Z, Ctrl+Y, I, Q, W, slash, asterisk, comma, period, greater and less.
"""

from typing import Any, Callable

import qt

PROPAGATE, CANCEL, UNDO_POINT, CLEAR, NEXT_DOUBTFUL = "P", "C", "U", "X", "N"

DESCRIPTIONS = {
    PROPAGATE: "propagate",
    CANCEL: "cancel",
    UNDO_POINT: "undo point",
    CLEAR: "clear prompts",
    NEXT_DOUBTFUL: "next doubtful",
}


def with_key(text: str, key: str) -> str:
    """A tooltip that names its key."""
    return f"{text}\n\nKey: {key}"


class Shortcuts:
    def __init__(self, calls: dict[str, Callable[[], None]]) -> None:
        """calls: key -> what it does."""
        self._calls = calls
        self._installed: list[tuple[Any, Callable[[], None]]] = []

    def install(self, parent: Any) -> None:
        """Makes them keys of a window; twice is once."""
        if self._installed or parent is None:
            return
        for key, call in self._calls.items():
            shortcut = qt.QShortcut(parent)
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.connect("activated()", call)
            self._installed.append((shortcut, call))

    def remove(self) -> None:
        for shortcut, call in self._installed:
            shortcut.disconnect("activated()", call)
            # Without a parent it is no longer a key of any window, whenever Qt deletes it.
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed.clear()
