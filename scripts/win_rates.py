#!/usr/bin/env python3
"""Win rates: on how many objects of each data set the default model has a higher Dice than the non-learning baselines.

Usage: scripts/win_rates.py [objects.csv]
"""

import csv
import sys

OURS, OTHERS = "promem-compact", ("flow", "flow-fit")


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "docs/results/objects.csv"
    dice = {}
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            method, extent = line["row"].split(", ")
            sets = dice.setdefault((line["dataset"], extent), {})
            sets.setdefault((line["case"], line["target"]), {})[method] = float(line["dice_without_prompt"])
    print("| scans | ends | objects | ahead of " + " | ahead of ".join(OTHERS) + " | ahead of both |")
    print("|---" * (4 + len(OTHERS)) + "|")
    for (dataset, extent), objects in dice.items():
        ahead = [sum(found[OURS] > found[other] for found in objects.values()) for other in OTHERS]
        both = sum(all(found[OURS] > found[other] for other in OTHERS) for found in objects.values())
        print(f"| {dataset} | {extent} | {len(objects)} | " + " | ".join(map(str, [*ahead, both])) + " |")


if __name__ == "__main__":
    main()
