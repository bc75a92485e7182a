#!/usr/bin/env bash
# Calibrates the weight of the intensity model and the object-presence threshold: Dice on held-out generated scans.
# Usage: scripts/calibrate.sh MODEL [CONFIG]
# Then:  promem convert MODEL OUT --intensity-weight W --presence-threshold P
# INTENSITY_WEIGHTS="0 0.5" and PRESENCE_THRESHOLDS="0.7" try other values, or none; thresholds are tried with the
# intensity weight that the model file holds.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$1
OUT=${OUT:-target/calibrate}
COUNT=${COUNT:-80}
cases=$OUT/cases
results=$OUT/$(basename "$model" .safetensors)
[ -f "$cases/cases.json" ] || target/release/promem-train cases "${2:-compact}" -o "$cases" --count "$COUNT" --length 24
try() { # OPTION STOP_RULE VALUE
    target/release/promem --quiet evaluate --dataset "pairs:$cases/cases.json=$cases" --model "$model" --position 0.5 \
        --stop-rule "$2" "--$1" "$3" -o "$results/$1/$3"
}
for weight in ${INTENSITY_WEIGHTS-0 0.25 0.5 0.75 1}; do try intensity-weight range "$weight"; done
for threshold in ${PRESENCE_THRESHOLDS-0.5 0.65 0.75 0.85 0.92}; do try presence-threshold free "$threshold"; done
python3 - "$results" <<'PY'
import csv, json, pathlib, sys
for name in ("intensity-weight", "presence-threshold"):
    if not pathlib.Path(sys.argv[1], name).exists():
        continue
    print(f"\n| {name} | Dice, mean | median | slices too many | too few |\n|---|---|---|---|---|")
    for folder in sorted(pathlib.Path(sys.argv[1], name).glob("*"), key=lambda path: float(path.name)):
        dice = json.loads((folder / "summary.json").read_text())[0]["lines"][0]["dice_without_prompt"]
        rows = list(csv.DictReader(open(folder / "objects.csv")))
        over, under = (sum(int(row[key]) for row in rows) / len(rows) for key in ("over_slices", "under_slices"))
        print(f"| {folder.name} | {dice['mean']:.3f} | {dice['median']:.3f} | {over:.1f} | {under:.1f} |")
PY
