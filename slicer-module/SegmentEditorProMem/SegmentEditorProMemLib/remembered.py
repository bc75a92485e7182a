"""The options that a user has chosen, kept by Slicer from one session to the next (QSettings).

In: names and texts. Out: the same. Paths are kept here alone: a scene that goes to another computer names none.
"""

import qt

GROUP = "ProMem"


def value(name: str, default: str) -> str:
    """A remembered text; the default where there is none."""
    found = qt.QSettings().value(f"{GROUP}/{name}", default)
    return found if isinstance(found, str) else default


def keep(name: str, text: str) -> None:
    qt.QSettings().setValue(f"{GROUP}/{name}", text)
