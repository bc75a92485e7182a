"""The displayed state of the panel, as a value."""

from dataclasses import dataclass, field
from typing import Optional

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
    last slice of "In range", counted from 1. current: the displayed slice. options: parameters as text.
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
    report: Optional[Report] = None
    current: Optional[int] = None
    engine: str = ""
    options: dict[str, str] = field(default_factory=dict)
