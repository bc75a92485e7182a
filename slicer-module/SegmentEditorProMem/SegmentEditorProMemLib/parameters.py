"""The options as parameters of the Segment Editor's node: they are saved with the scene, and scripts can set them.

In: a `scriptedEffect`, which prefixes each name with "ProMem.". Out: `Options`, a range of slices. Knows no widget.

Model, Device, Precision, Threads (0: all but one), Search, Windows, Beams, Intensity, Stop are `Options`; RangeFirst
and RangeLast are slices counted from 1 (0: the first, the last there is).
"""

from typing import Any, Optional

from .options import BadOption, Options, windows_from_text

DEFAULTS = {
    "Model": "",
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


def set_defaults(effect: Any) -> None:
    """Sets the defaults of unset parameters."""
    for name, value in DEFAULTS.items():
        effect.setParameterDefault(name, value)


def read(effect: Any) -> Options:
    """The options on the node. Raises BadOption, which names the parameter."""
    text = {name: effect.parameter(name).strip() for name in DEFAULTS}
    return Options(
        model=text["Model"] or None,
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
    """Sets parameters with one event of the node."""
    node = effect.parameterSetNode()
    modified = node.StartModify()
    try:
        for name, value in values.items():
            effect.setParameter(name, "" if value is None else str(value))
    finally:
        node.EndModify(modified)


def _whole(text: str, name: str) -> int:
    number: Optional[int] = int(text) if text.isascii() and text.isdigit() else None
    if number is None:
        raise BadOption(f"{name}: {text!r}, expected a whole number")
    return number
