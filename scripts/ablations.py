#!/usr/bin/env python3
"""Prints the results of scripts/ablations.sh: Dice beside the prompt slice, in points, for each seed, and the
differences that the paper reports.
"""

import json
import pathlib
import statistics
import sys

PARTS = {"held_out": "held out", "in_domain": "trained on"}
ROWS = [
    ("with-search", "both: stochastic propagation, augmentation, search"),
    ("with-plain", "both, without search (window 6, prompt attended to)"),
    ("with-pinned", "both, search with the prompt attended to"),
    ("without_propagation-search", "no stochastic propagation"),
    ("without_augmentation-search", "no memory augmentation, search"),
    ("without_augmentation-plain", "no memory augmentation, no search"),
]
# (what, part, first, second, what the paper says of first - second)
DIFFERENCES = [
    ("Table 2: stochastic propagation", "held_out", "with-search", "without_propagation-search", "at least 5 points"),
    ("Table 2: stochastic propagation", "in_domain", "with-search", "without_propagation-search", "no less than -1"),
    ("Table 5: search, on top of augmentation", "held_out", "with-search", "with-plain", "above 0"),
    ("Table 5: augmentation, under search", "held_out", "with-search", "without_augmentation-search", "above 0"),
    ("Table 5: both against neither", "held_out", "with-search", "without_augmentation-plain", "above 0"),
    ("Table 3: prompt's memory excluded", "held_out", "with-search", "with-pinned", "not below 0"),
]


def main():
    folder, seeds = pathlib.Path(sys.argv[1]), sys.argv[2:]

    def points(row, part):
        found = []
        for seed in seeds:
            summary = json.loads((folder / f"{row}-{seed}" / part / "summary.json").read_text())
            found.append(100 * summary[0]["lines"][0]["dice_without_prompt"]["mean"])
        return found

    def shown(values):
        return f"{statistics.mean(values):.1f} ({', '.join(f'{v:.1f}' for v in values)})"

    print(f"Dice beside the prompt slice in points, mean and each of the seeds {', '.join(seeds)}.\n")
    print("| | " + " | ".join(PARTS.values()) + " |\n|---|" + "---|" * len(PARTS))
    for row, name in ROWS:
        print(f"| {name} | " + " | ".join(shown(points(row, part)) for part in PARTS) + " |")
    print("\n| difference | kinds | found | the paper's direction |\n|---|---|---|---|")
    for what, part, first, second, expected in DIFFERENCES:
        apart = [a - b for a, b in zip(points(first, part), points(second, part))]
        print(f"| {what} | {PARTS[part]} | {shown(apart)} | {expected} |")


if __name__ == "__main__":
    main()
