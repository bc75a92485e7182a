"""Texts of the panel.

In: numbers and states. Out: short sentences. Slices are counted from 1. Knows no widget.
"""

import math
import pathlib
from typing import Optional

from .grid import Grid
from .i18n import _
from .report import Progress, Report

# A page on this computer, so that it needs no network.
DOCUMENTATION = pathlib.Path(__file__).resolve().with_name("help.html").as_uri()

HINT = _("Click into the object to include it; Ctrl+click to exclude; drag to draw a box.")

# A plane that is rotated by more degrees than this from the anatomical planes is oblique.
MAX_TILT_DEGREES = 30.0

# As Slicer's slice views write them.
LETTERS = ("RL", "AP", "SI")
# Along R, A and S: the positive and the negative direction.
DIRECTIONS = ((_("Right"), _("Left")), (_("Anterior"), _("Posterior")), (_("Superior"), _("Inferior")))

PLANES = (_("sagittal"), _("coronal"), _("axial"))


def time_left(seconds: Optional[float]) -> str:
    """The remaining time, rounded; empty if it is unknown."""
    if seconds is None:
        return ""
    if seconds < 1.5:
        return _("a moment left")
    if seconds < 10:
        return _("{count} s left").format(count=math.ceil(seconds))
    if seconds < 90:
        return _("about {count} s left").format(count=5 * math.ceil(seconds / 5))
    if seconds < 90 * 60:
        return _("about {count} min left").format(count=math.ceil(seconds / 60))
    return _("about {seconds:.1f} h left").format(seconds=seconds / 3600)


def size(count: int) -> str:
    """Bytes as text: 537 MB, 1.2 GB."""
    return (
        _("{count:.1f} GB").format(count=count / 1e9)
        if count >= 10**9
        else _("{count} MB").format(count=round(count / 1e6))
    )


def progress_line(progress: Progress) -> str:
    """For a progress bar."""
    left = time_left(progress.seconds_left) if progress.done < progress.expected else ""
    return _("{done} of {expected} slices").format(done=progress.done, expected=progress.expected) + (
        f", {left}" if left else ""
    )


def plane_of(grid: Grid, axis: str) -> str:
    """The name of the plane across an axis: axial, coronal, sagittal, or oblique."""
    first, second = (column for column, name in enumerate("ijk") if name != axis)
    a, b = grid.ijk_to_ras[:3, first], grid.ijk_to_ras[:3, second]
    normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    length = math.sqrt(sum(part * part for part in normal))
    cosines = [abs(part) / length for part in normal]
    largest = max(range(3), key=lambda direction: cosines[direction])
    return PLANES[largest] if cosines[largest] >= math.cos(math.radians(MAX_TILT_DEGREES)) else _("oblique")


def directions_of(grid: Grid, axis: str) -> tuple[str, str]:
    """The anatomical directions towards higher and towards lower slice numbers."""
    along = grid.ijk_to_ras[:3, "ijk".index(axis)]
    largest = max(range(3), key=lambda direction: abs(along[direction]))
    positive, negative = DIRECTIONS[largest]
    return (positive, negative) if along[largest] > 0 else (negative, positive)


def position_of(grid: Grid, axis: str, slice_: int) -> str:
    """Where a slice is, as Slicer's slice views show it: S: 25.0 mm."""
    column = "ijk".index(axis)
    center = [(size - 1) / 2 for size in grid.shape[::-1]]
    center[column] = slice_
    along = grid.ijk_to_ras[:3, column]
    largest = max(range(3), key=lambda direction: abs(along[direction]))
    offset = float(sum(a * b for a, b in zip(along, grid.ras(center))) / math.sqrt(sum(a * a for a in along)))
    offset = offset if along[largest] > 0 else -offset
    return f"{LETTERS[largest][offset < 0]}: {abs(offset):.1f} mm"


def slice_line(report: Report, slice_: int, place: str = "") -> str:
    """The result of one slice of a report. place: of the slice, as `position_of` gives it."""
    return score_line(slice_, report.scores[slice_], slice_ in report.prompted, place)


def score_line(slice_: int, score: Optional[float], is_prompt: bool, place: str = "") -> str:
    """One slice and its predicted IoU; None: it was not segmented."""
    name = _("Slice {number}").format(number=slice_ + 1) + (f" ({place})" if place else "")
    if is_prompt:
        return _("{name}: prompt slice").format(name=name)
    return (
        _("{name}: not segmented").format(name=name)
        if score is None
        else _("{name}: predicted IoU {score:.2f}").format(name=name, score=score)
    )


def engine_line(model: Optional[dict]) -> str:
    """Network, device, precision and licence of the loaded model."""
    if not model:
        return _("The model is not loaded yet.")
    words = [str(model[key]) for key in ("network", "device", "precision") if model.get(key)]
    licence = model.get("licence")
    return ", ".join(words) + (_(". Licence of the weights: {licence}").format(licence=licence) if licence else "")


def all_segments_tip(with_prompts: tuple[str, ...], without: tuple[str, ...]) -> str:
    """What "All segments" will do."""
    if not with_prompts:
        return _(
            "Propagates every segment that has a prompt. None has one: paint at least one on a slice, or click into it."
        )
    lines = [
        _("Propagates {names}, each from its own prompt slices, as one undo step.").format(names=_listed(with_prompts))
    ]
    if without:
        lines.append(_("Without a prompt, and left as they are: {names}.").format(names=_listed(without)))
    lines.append(_("Where two segments overlap, the one with the higher predicted IoU wins."))
    return "\n".join(lines)


def _listed(names: tuple[str, ...], most: int = 8) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (_(" and {rest} more").format(rest=rest) if rest > 0 else "")
