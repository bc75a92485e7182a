"""The options as parameters of the Segment Editor's node: they are saved with the scene, and scripts can set them.

In: a `scriptedEffect`, which prefixes each name with "ProMem.". Out: `Options`, a range of slices. Knows no widget.
What the user has chosen last is remembered and is the default of a new node. The model's path is remembered only: it
would be wrong in a scene on another computer.

Device, Precision, Threads (0: all but one), Search, Windows, Beams, Intensity, Stop are `Options`; RangeFirst
and RangeLast are slices counted from 1 (0: the first, the last there is). MODEL is a path; empty: the default model.
"""

from typing import Any, Optional

from . import remembered
from .i18n import _
from .options import BadOption, Options, windows_from_text

MODEL = "Model"
DEFAULTS = {
    "Device": "auto",
    "Precision": "auto",
    "Threads": "0",
    "Search": "paper",
    "Windows": "1, 6",
    "Beams": "2",
    "Intensity": "displayed",
    "Stop": "automatic",
    "RangeFirst": "0",
    "RangeLast": "0",
}


# They belong to a scan.
NOT_REMEMBERED = ("RangeFirst", "RangeLast")


def set_defaults(effect: Any) -> None:
    """Sets unset parameters to what the user has chosen last."""
    chosen = {name: remembered.value(name, value) for name, value in DEFAULTS.items() if name not in NOT_REMEMBERED}
    try:
        _options({**DEFAULTS, **chosen, MODEL: ""})
    except BadOption:
        chosen = {}  # of another version
    for name, value in {**DEFAULTS, **chosen}.items():
        effect.setParameterDefault(name, value)


def values(effect: Any) -> dict[str, str]:
    """Every option as text."""
    return {MODEL: remembered.value(MODEL, ""), **{name: effect.parameter(name) for name in DEFAULTS}}


def read(effect: Any) -> Options:
    """The options. Raises BadOption, which names the parameter."""
    return _options({name: text.strip() for name, text in values(effect).items()})


def _options(text: dict[str, str]) -> Options:
    return Options(
        model=text[MODEL] or None,
        device=text["Device"],
        precision=text["Precision"],
        threads=_whole(text["Threads"], "Threads") or None,
        search=text["Search"],
        windows=windows_from_text(text["Windows"]),
        beams=_whole(text["Beams"], "Beams"),
        intensity=text["Intensity"],
        stop=text["Stop"],
    )


def read_range(effect: Any, count: int) -> tuple[int, int]:
    """First and last slice, counted from 1, of `count`. An unset or invalid end is the end of the scan."""
    first, last = (_whole(effect.parameter(name).strip(), name) for name in ("RangeFirst", "RangeLast"))
    first = first if 1 <= first <= count else 1
    last = last if 1 <= last <= count else count
    return min(first, last), max(first, last)


def write(effect: Any, values: dict[str, Any]) -> None:
    """Sets parameters with one event of the node, and remembers them."""
    node = effect.parameterSetNode()
    modified = node.StartModify()
    try:
        for name, value in values.items():
            text = "" if value is None else str(value)
            if name not in NOT_REMEMBERED:
                remembered.keep(name, text)
            if name != MODEL:
                effect.setParameter(name, text)
    finally:
        node.EndModify(modified)


def _whole(text: str, name: str) -> int:
    number: Optional[int] = int(text) if text.isascii() and text.isdigit() else None
    if number is None:
        raise BadOption(_("{name}: {text!r}, expected a whole number").format(name=name, text=text))
    return number
