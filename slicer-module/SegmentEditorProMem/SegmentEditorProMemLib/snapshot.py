"""The displayed state of the panel, as a value."""

from dataclasses import dataclass, field
from typing import Callable, Optional

from .report import Progress, Report

# The kinds of a status: ready, working, nothing loaded yet, error.
READY, WORKING, OFF, ERROR = "ready", "working", "off", "error"

# The kind of each state of the controller.
STATUS_KINDS = {
    "off": OFF,
    "starting": WORKING,
    "loading model": WORKING,
    "sending scan": WORKING,
    "ready": READY,
    "predicting": WORKING,
    "propagating": WORKING,
    "failed": ERROR,
}


@dataclass
class Snapshot:
    """kind, sentence: the status. details: text for a bug report; empty if there is none.

    is_usable: whether this system has an engine. segments: their number. slices: the number of slices across `axis`. planes: the axes to choose from
    and the names of their planes. range: the first and the
    last slice of "In range", counted from 1; range_places: where they are, in mm. directions: those of higher and of
    lower slice numbers. with_prompts, without_prompts: names of segments that "All segments" takes, and of the others.
    can_discard: whether the last propagation can be undone here. current: the displayed slice. place: where a slice of
    the report is. options: parameters as text.
    """

    kind: str = OFF
    sentence: str = ""
    details: str = ""
    is_usable: bool = True
    offers_rotation: bool = False
    is_propagating: bool = False
    progress: Optional[Progress] = None
    has_points: bool = False
    has_prompts: bool = False
    has_selection: bool = False
    segments: int = 0
    positive: bool = True
    slices: int = 0
    axis: str = "k"
    planes: tuple[tuple[str, str], ...] = ()
    range: tuple[int, int] = (1, 1)
    range_places: tuple[str, str] = ("", "")
    directions: tuple[str, str] = ("Superior", "Inferior")
    with_prompts: tuple[str, ...] = ()
    without_prompts: tuple[str, ...] = ()
    can_discard: bool = False
    report: Optional[Report] = None
    current: Optional[int] = None
    place: Callable[[int], str] = lambda slice_: ""
    engine: str = ""
    options: dict[str, str] = field(default_factory=dict)
