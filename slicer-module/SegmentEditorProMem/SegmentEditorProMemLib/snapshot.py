"""What the panel shows, at one moment. A value: whoever draws it needs nothing else."""

from dataclasses import dataclass, field
from typing import Optional

from .report import Progress, Report

# What the dot beside the status says: all is well, wait, nothing is loaded yet, something went wrong.
READY, WORKING, OFF, ERROR = "ready", "working", "off", "error"

# The controller's states, as kinds.
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
    """kind, sentence: the status. details: for whoever helps; empty where there is no more to know.

    segments: how many there are. slices: how many there are across the axis, which lie in `plane`; range: the first and the last of them that
    "in range" goes to, counted from 1. current: the slice that is looked at. options: parameters as text.
    """

    kind: str = OFF
    sentence: str = ""
    details: str = ""
    is_propagating: bool = False
    progress: Optional[Progress] = None
    has_points: bool = False
    has_prompts: bool = False
    has_selection: bool = False
    segments: int = 0
    positive: bool = True
    slices: int = 0
    plane: str = ""
    range: tuple[int, int] = (1, 1)
    report: Optional[Report] = None
    current: Optional[int] = None
    engine: str = ""
    options: dict[str, str] = field(default_factory=dict)
