#!/usr/bin/env bash
# At which probability of presence a model's runs end best: Dice on generated scans that it has not seen, for each.
# Usage: scripts/calibrate_stop.sh MODEL [CONFIG]        Then: promem convert MODEL OUT --presence P
set -euo pipefail
cd "$(dirname "$0")/.."
model=$1
OUT=${OUT:-target/calibrate}
COUNT=${COUNT:-80}
cases=$OUT/cases
[ -f "$cases/cases.json" ] || target/release/promem-train cases "${2:-compact}" -o "$cases" --count "$COUNT" --length 24
for presence in 0.5 0.65 0.75 0.85 0.92; do
    target/release/promem --quiet evaluate --dataset "pairs:$cases/cases.json=$cases" --model "$model" --position 0.5 \
        --extent free --presence "$presence" -o "$OUT/$(basename "$model" .safetensors)/$presence"
done
python3 - "$OUT/$(basename "$model" .safetensors)" <<'PY'
import csv, json, pathlib, sys
print("| presence | Dice, mean | median | slices too many | too few |\n|---|---|---|---|---|")
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir(), key=lambda path: float(path.name)):
    dice = json.loads((folder / "summary.json").read_text())[0]["lines"][0]["dice_without_prompt"]
    rows = list(csv.DictReader(open(folder / "objects.csv")))
    over, under = (sum(int(row[name]) for row in rows) / len(rows) for name in ("over_slices", "under_slices"))
    print(f"| {folder.name} | {dice['mean']:.3f} | {dice['median']:.3f} | {over:.1f} | {under:.1f} |")
PY
