"""Writes metrics.json: overlap and surface metrics from MONAI, statistics from scipy, for tests/metrics.rs.

Masks are unions of balls given by their centres and radii, so that both sides can paint them from the same few numbers.
"""

import json
import pathlib

import monai
import numpy as np
import scipy
import torch
from monai.metrics import (
    DiceMetric,
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy.stats import wilcoxon

SHAPE = (18, 22, 26)
TOLERANCES = (0.0, 1.0, 2.5, 4.0)


def paint(balls):
    """Voxels [k, j, i] whose centre lies in one of the balls (k, j, i, radius), in voxels."""
    k, j, i = np.indices(SHAPE)
    return np.any([(k - c[0]) ** 2 + (j - c[1]) ** 2 + (i - c[2]) ** 2 <= c[3] ** 2 for c in balls], axis=0)


def masks(random):
    """A handful of balls, and the same balls moved a little; some touch the volume's edge."""
    truth = [[int(random.integers(0, n)) for n in SHAPE] + [float(random.integers(2, 7))] for _ in range(3)]
    moved = [
        [c + int(random.integers(-2, 3)) for c in ball[:3]] + [ball[3] + float(random.integers(-1, 2))]
        for ball in truth
    ]
    return truth, moved


def case(random):
    truth, prediction = masks(random)
    spacing = [round(float(random.uniform(0.5, 4.0)), 2) for _ in range(3)]
    a, b = (torch.from_numpy(paint(balls))[None, None].float() for balls in (truth, prediction))

    def number(x):
        return float(torch.as_tensor(x).reshape(-1)[0])

    one_way = [
        number(compute_average_surface_distance(x, y, include_background=True, spacing=spacing))
        for x, y in ((a, b), (b, a))
    ]
    return {
        "truth": truth,
        "prediction": prediction,
        "spacing_kji": spacing,
        "dice": number(DiceMetric(include_background=True)(b, a)),
        "hausdorff_95": number(
            compute_hausdorff_distance(b, a, include_background=True, percentile=95, spacing=spacing)
        ),
        "surface_dice": [
            number(compute_surface_dice(b, a, [t], include_background=True, spacing=spacing)) for t in TOLERANCES
        ],
        "mean_truth_to_prediction": one_way[0],
        "mean_prediction_to_truth": one_way[1],
    }


def tests(random):
    """Differences with and without ties and zeros, few and many."""
    lists = [
        random.normal(0.3, 1.0, 9).tolist(),
        random.normal(0.1, 1.0, 40).tolist(),
        random.normal(0.2, 1.0, 120).tolist(),
        [0.5, -0.5, 1.0, 2.0, 0.0, 3.0, 1.0, -0.25, 0.75, 1.5],
        np.round(random.normal(0.02, 0.05, 60), 2).tolist(),
        random.normal(3.0, 0.5, 200).tolist(),
    ]
    return [{"differences": d, "p": float(wilcoxon(d).pvalue)} for d in lists]


def main():
    random = np.random.default_rng(20)
    values = random.uniform(0, 1, 13).tolist()
    golden = {
        "made_with": f"monai {monai.__version__}, scipy {scipy.__version__}, numpy {np.__version__}",
        "shape": SHAPE,
        "tolerances": TOLERANCES,
        "cases": [case(random) for _ in range(12)],
        "wilcoxon": tests(random),
        "quantiles": {
            "values": values,
            "at": [[p, float(np.quantile(values, p))] for p in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)],
        },
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"wrote {path}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
