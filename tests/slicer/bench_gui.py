"""How quick the effect is in a window: `python bench_gui.py [--slices N] [--size N] [--threads N]` prints one line of
JSON.

click_to_preview_ms: median of 20 clicks on a slice whose embedding is ready, from the click to the preview in the
scene. longest_gap_ms: the longest time between two events of a timer of 5 ms while the scan is propagated;
longest_gap_computing_ms: what of a gap the window's own thread has computed, at most. The engine is the real one, with
the default model; the window is an offscreen one.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import promem_phantom as phantom  # noqa: E402
from pythonqt import slicer_app, timer_gaps  # noqa: E402
from SegmentEditorProMemLib import engine  # noqa: E402

CLICKS = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="rows and columns")
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    voxels, truth = phantom.ellipsoid((options.slices, options.size, options.size))
    app = slicer_app.SlicerApp(voxels=voxels, names=("Liver",), engine=engine.make_engine(options.threads))
    phantom.show(app)
    app.effect.setParameter("Threads", str(options.threads))
    app.show_window()
    app.effect.activate()
    timer_gaps.gaps_of(app)
    measured = {
        "scan": list(voxels.shape),
        "threads": options.threads,
        **clicks(app, options),
        **propagation(app, truth),
        "engine": app.controller.connection.model,
    }
    app.close()
    print(json.dumps(measured))


def clicks(app, options):
    middle, size = options.slices // 2, options.size
    app.click((size // 2, size // 2, middle))
    timer_gaps.gaps_of(app)
    times = []
    for n in range(CLICKS):
        app.python.commands.clear_prompts()
        timer_gaps.gaps_of(app)
        began = time.perf_counter()
        app.click((size // 2 - 2 * n, size // 2 + n, middle))
        timer_gaps.gaps_of(app, shown=False)
        times.append(time.perf_counter() - began)
        assert app.controller.error is None and app.scene.points(app.segments[0]), app.controller.error
    app.python.commands.clear_prompts()
    return {
        "click_to_preview_ms": round(statistics.median(times) * 1e3, 1),
        "click_to_preview_most_ms": round(max(times) * 1e3, 1),
    }


def propagation(app, truth):
    phantom.paint(app, truth, len(truth) // 2)
    app.press("ProMemPropagate")
    began = time.perf_counter()
    found = timer_gaps.gaps_of(app)
    assert app.controller.error is None, app.controller.error
    mask = app.mask()
    return {
        "propagation_s": round(time.perf_counter() - began, 1),
        "longest_gap_ms": round(max(gap for gap, _ in found) * 1e3, 1),
        "longest_gap_computing_ms": round(max(computed for _, computed in found) * 1e3, 1),
        "dice": round(float(2 * (mask & truth).sum() / (mask.sum() + truth.sum())), 4),
    }


if __name__ == "__main__":
    main()
