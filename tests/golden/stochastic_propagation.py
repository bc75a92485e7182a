"""Writes stochastic_propagation.json: tracks of random sequences, from the specification's rules in numpy and scipy."""

import json
import pathlib

import numpy as np
from scipy import ndimage

EIGHT = np.ones((3, 3), bool)
CASES, LENGTH, ROWS, COLUMNS = 24, 5, 10, 14


def components(mask):
    labels, count = ndimage.label(mask, EIGHT)
    return [labels == n for n in range(1, count + 1)]


def touching(pieces, previous):
    reach = ndimage.binary_dilation(previous, EIGHT) if previous.any() else previous
    kept = [piece for piece in pieces if (piece & reach).any()]
    return np.any(kept, axis=0) if kept else np.zeros_like(previous)


def follow(seed, later):
    track = [seed]
    for pieces in later:
        track.append(touching(pieces, track[-1]))
    return track


def tracks(masks):
    pieces = [components(mask) for mask in masks]
    found = [(0, follow(seed, pieces[1:])) for seed in pieces[0]]
    for t in range(1, len(masks)):
        reach = ndimage.binary_dilation(masks[t - 1], EIGHT) if masks[t - 1].any() else masks[t - 1]
        for seed in pieces[t]:
            if not (seed & reach).any():
                empty = [np.zeros_like(seed)] * t
                found.append((t, empty + follow(seed, pieces[t + 1 :])))
    return found


def bits(mask):
    return "".join("1" if inside else "0" for inside in mask.flatten())


def main():
    random = np.random.default_rng(11)
    cases = []
    for _ in range(CASES):
        smooth = ndimage.gaussian_filter(random.normal(size=(LENGTH, ROWS, COLUMNS)), (0.7, 1, 1))
        masks = smooth > np.quantile(smooth, random.uniform(0.6, 0.9))
        found = sorted((first, "".join(bits(mask) for mask in track)) for first, track in tracks(masks))
        cases.append({"masks": "".join(bits(mask) for mask in masks), "tracks": found})
    golden = {"length": LENGTH, "rows": ROWS, "columns": COLUMNS, "cases": cases}
    pathlib.Path(__file__).with_name("stochastic_propagation.json").write_text(json.dumps(golden))


main()
