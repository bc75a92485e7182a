"""The random walker of scikit-image under a simulated user who clicks: a baseline that learns nothing.

    promem evaluate --dataset ... --export-tasks TASKS --output anywhere
    random_walker.py --tasks TASKS --clicks 5 --output steps.csv

The user is that of `promem evaluate --interaction clicks=5`: each click lies in the middle of the largest error on the
prompt slice. Pixels around a click are seeds, the slice's border is background. Columns are those of `steps.csv` of a
report. Needs the packages of requirements.txt in this folder.
"""

import argparse
import csv
import json
import pathlib
import sys
import time

import nibabel as nib
import numpy as np
from scipy import ndimage
from skimage.segmentation import random_walker

#: Pixels that touch at a corner are connected.
EIGHT = np.ones((3, 3), bool)
#: Rows and columns around a click that are seeds.
REACH = 2
#: Penalty of intensity differences, scikit-image's default; intensities between these percentiles become 0 to 1.
BETA, BLACK_WHITE = 130, (0.5, 99.5)
COLUMNS = ["dataset", "method", "case", "object", "number", "slice", "slice_dice", "seconds"]
OBJECT, BACKGROUND = 1, 2


def next_click(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, bool] | None:
    """Row, column, and whether the object was missed there; `None` without an error."""
    best = None
    for missed in (True, False):
        wrong = (truth & ~found) if missed else (found & ~truth)
        labels, count = ndimage.label(wrong, EIGHT)
        for label in range(1, count + 1):
            error = labels == label
            key = (-error.sum(), int(np.flatnonzero(error)[0]))
            if best is None or key < best[0]:
                best = key, error, missed
    if best is None:
        return None
    _, error, missed = best
    distance = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(np.round(distance**2)), error.shape)  # the first at a tie
    return int(row), int(column), missed


def segment(pixels: np.ndarray, clicks: list[tuple[int, int, bool]]) -> np.ndarray:
    low, high = np.percentile(pixels, BLACK_WHITE)
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1)
    seeds = np.zeros(pixels.shape, np.uint8)
    seeds[[0, -1], :] = seeds[:, [0, -1]] = BACKGROUND
    for row, column, missed in clicks:
        around = np.s_[max(0, row - REACH) : row + REACH + 1, max(0, column - REACH) : column + REACH + 1]
        seeds[around] = OBJECT if missed else BACKGROUND
    if not (seeds == OBJECT).any():
        return np.zeros(pixels.shape, bool)
    return random_walker(grey, seeds, beta=BETA, mode="cg_j") == OBJECT


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def steps(pixels: np.ndarray, truth: np.ndarray, count: int) -> list[tuple[int, float, float | None]]:
    """Number, Dice and seconds of each step; no seconds where nothing was left to do."""
    found, clicks, done = np.zeros(truth.shape, bool), [], []
    for number in range(1, count + 1):
        click = next_click(truth, found)
        seconds = None
        if click is not None:
            clicks.append(click)
            begin = time.perf_counter()
            found = segment(pixels, clicks)
            seconds = time.perf_counter() - begin
        done.append((number, dice(truth, found), seconds))
    return done


def run(arguments: argparse.Namespace) -> int:
    lists = sorted(arguments.tasks.glob("*/tasks.json"))
    if not lists:
        print(f"there is no DATASET/tasks.json in {arguments.tasks}", file=sys.stderr)
        return 2
    with arguments.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for path in lists:
            tasks, by_number = json.loads(path.read_text()), {}
            for case in tasks["cases"]:
                image = np.asarray(nib.load(path.parent / case["image"]).dataobj, np.float32)
                axis = "ijk".index(case["axis"])
                for target in case["targets"]:
                    mask = np.asarray(nib.load(path.parent / target["prompt"]).dataobj) > 0
                    index = target["prompt_slice"]
                    # Rows are the later axis, as in Rust: the order of ties depends on it.
                    pixels, truth = (np.moveaxis(volume, axis, 0)[index].T for volume in (image, mask))
                    for number, value, seconds in steps(pixels, truth, arguments.clicks):
                        by_number.setdefault(number, []).append(value)
                        clock = "" if seconds is None else f"{seconds:.4f}"
                        identity = [tasks["dataset"], "random walker", case["name"], target["name"]]
                        writer.writerow([*identity, number, "" if seconds is None else index, f"{value:.4f}", clock])
            means = "  ".join(f"{np.mean(values):.3f}" for values in by_number.values())
            print(f"{tasks['dataset']}: mean Dice of the prompt slice after each click: {means}")
    return 0


def self_test() -> int:
    """A bright disc beside another one; the user excludes the other, and the disc remains."""
    j, i = np.indices((80, 96))
    truth, other = np.hypot(j - 40, i - 30) < 16, np.hypot(j - 40, i - 62) < 16
    noise = np.random.default_rng(1).normal(0, 5, truth.shape)
    assert next_click(truth, np.zeros_like(truth)) == (40, 30, True)
    assert next_click(truth, truth | other) == (40, 62, False)
    assert next_click(truth, truth) is None
    values = [value for _, value, _ in steps(60 + 90 * (truth | other) + noise, truth, 3)]
    print("Dice after each click:", *(f"{value:.3f}" for value in values))
    return 0 if values[-1] > 0.95 else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=pathlib.Path, help="folder that `promem evaluate --export-tasks` wrote")
    parser.add_argument("--output", type=pathlib.Path, help="CSV file to write")
    parser.add_argument("--clicks", type=int, default=5, help="clicks for each object (default: 5)")
    parser.add_argument("--self-test", action="store_true", help="a generated slice with a known mask")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.tasks is None or arguments.output is None:
        parser.error("--tasks and --output are needed")
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
