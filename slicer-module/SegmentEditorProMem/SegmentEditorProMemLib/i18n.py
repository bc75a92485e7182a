"""Translation of texts: Slicer's own function, or none outside Slicer.

Slicer takes the context of a text from the file that calls `_`: the function itself is passed on. It is given literal
texts alone, and values are put in afterwards: _("Slice {number}").format(number=3).
"""

try:
    from slicer.i18n import tr as _
except ImportError:

    def _(text: str) -> str:
        return text


__all__ = ["_"]
