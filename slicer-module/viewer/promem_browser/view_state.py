"""The state of the page: workspace, controller and views as plain values, and the page's values as options.

In: reports, segments, views. Out: values for the page. Knows the page's names, and neither trame nor Slicer.
"""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Optional

from SegmentEditorProMemLib.grid import Grid
from SegmentEditorProMemLib.options import BadOption, Options, windows_from_text
from SegmentEditorProMemLib.report import DOUBTFUL, Progress, Report, bars
from SegmentEditorProMemLib.ui_text import progress_line, score_line

# The number of bars that are distinguishable in the panel's width.
MAX_BARS = 100
# The predicted IoU from which a slice is good; below it is fair.
GOOD = 0.85
# A bar is high enough to be clicked.
MIN_BAR_HEIGHT = 12

# The initial state, with every name that the page uses.
INITIAL: dict[str, Any] = {
    "scan": {"name": "", "size": ""},
    "segments": [],
    "selected": "",
    "tool": "point",
    "exclude": False,
    "marks": {"points": 0, "box": False, "text": ""},
    "brush": 10,
    "phase": "off",
    "status": "Open a scan to begin.",
    "failed": False,
    "running": False,
    "working": False,
    "progress": None,
    "undoable": False,
    "redoable": False,
    "strip": {"bars": [], "at": -1.0, "count": 0, "axis": "", "doubtful": 0},
    "views": {},
    "alone": "",
    "pointed": {"text": "", "view": "", "at": "", "index": ""},
    "everything": False,
    "limited": False,
    "limits": [1, 1],
    "slices": 1,
    "search": "paper",
    "windows": "1, 6",
    "beams": 2,
    "intensity": "displayed",
    "stop": "automatic",
    "model": "",
    "network": "",
    "surfaces": True,
    "grey": [0, 1],
    "greys": [0, 1, 1],
    "open_shown": False,
    "options_shown": False,
    "path": "",
    # Whether the mouse is over the views: the browser sends no event when it leaves them.
    "over_views": False,
    # The text of the field that is being edited: a redraw of the page must not revert it.
    "typed": {},
    "opening": False,
    "demonstration": False,
}


def segments_shown(segments: Sequence[Any]) -> list[dict[str, Any]]:
    return [{**asdict(segment), "size": _size(segment.voxels, segment.millilitres)} for segment in segments]


def _size(voxels: int, millilitres: float) -> str:
    if not voxels:
        return "empty"
    return f"{millilitres:.0f} ml" if millilitres >= 100 else f"{millilitres:.{1 if millilitres >= 1 else 2}f} ml"


def scan_shown(name: str, grid: Optional[Grid]) -> dict[str, str]:
    if grid is None:
        return INITIAL["scan"]
    sizes = " × ".join(str(size) for size in grid.shape[::-1])
    spacing = " × ".join(f"{length:.3g}" for length in grid.spacing)
    return {"name": name, "size": f"{sizes}, {spacing} mm"}


def progress_shown(progress: Optional[Progress]) -> Optional[dict[str, Any]]:
    if progress is None:
        return None
    return {"percent": 100.0 * progress.done / max(progress.expected, 1), "text": progress_line(progress)}


def doubtful(report: Report, held: frozenset[int]) -> list[int]:
    """Doubtful slices that are still segmented, in ascending order."""
    return sorted(n for n in report.doubtful if n in held)


def strip_shown(report: Optional[Report], held: frozenset[int], at: Optional[int]) -> dict[str, Any]:
    """The strip. held: slices that are still segmented; an undone slice has no bar. at: the displayed slice."""
    if report is None:
        return INITIAL["strip"]
    scores = [score if n in held else None for n, score in enumerate(report.scores)]
    shown = []
    for first, end, score in bars(scores, MAX_BARS):
        # In a bar of several slices, the one with the lowest score.
        slice_ = next((n for n in range(first, end) if score is not None and scores[n] == score), first)
        prompted = any(n in report.prompted for n in range(first, end))
        shown.append({"slice": slice_, **_bar(score, prompted, slice_)})
    count = len(scores)
    place = -1.0 if at is None or not count else 100.0 * (at + 0.5) / count
    return {"bars": shown, "at": place, "count": count, "axis": report.axis, "doubtful": len(doubtful(report, held))}


def _bar(score: Optional[float], prompted: bool, slice_: int) -> dict[str, Any]:
    if score is None:
        kind, height = "prompt" if prompted else "none", 0
    elif prompted:
        kind, height = "prompt", 100
    else:
        kind = "doubtful" if score < DOUBTFUL else "fair" if score < GOOD else "good"
        height = max(MIN_BAR_HEIGHT, round(100 * score))
    return {"kind": kind, "height": height, "title": score_line(slice_, score, prompted and score is not None)}


def marks_shown(points: int, box: bool) -> dict[str, Any]:
    """Points and box of the selected segment."""
    said = [f"{points} point{'s' if points > 1 else ''}"] if points else []
    return {"points": points, "box": box, "text": ", ".join(said + ["1 box"] * box)}


def views_shown(views: Sequence[Any]) -> dict[str, Any]:
    return {shown.name: asdict(shown) for shown in views}


def pointed_shown(pointed: Any) -> dict[str, str]:
    if pointed is None:
        return INITIAL["pointed"]
    voxel = ", ".join(str(round(number)) for number in pointed.index)
    return {
        "text": "" if pointed.value is None else f"({voxel})  {pointed.value:.6g}",
        "view": pointed.view,
        "at": ",".join(map(str, pointed.at)),
        "index": ",".join(f"{number:.2f}" for number in pointed.index),
    }


def network_shown(model: Optional[Mapping[str, Any]]) -> str:
    if not model:
        return ""
    path = str(model.get("path") or "")
    named = pathlib.PurePath(path).name or str(model.get("network") or "")
    return f"{named} on {model.get('device', 'cpu')}, {model.get('precision', 'fp32')}"


def _whole(beams: Any) -> int:
    try:
        return int(beams)
    except (TypeError, ValueError):
        raise BadOption(f"beams: {beams!r}, expected a number") from None


def options_of(chosen: Any, before: Options) -> Options:
    """The options of the page. Raises BadOption."""
    return Options(
        model=str(chosen.model or "").strip() or None,
        device=before.device,
        precision=before.precision,
        threads=before.threads,
        search=chosen.search,
        windows=windows_from_text(str(chosen.windows)) if chosen.search == "custom" else before.windows,
        beams=_whole(chosen.beams),
        intensity=chosen.intensity,
        stop=chosen.stop,
    )
