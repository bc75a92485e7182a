#!/usr/bin/env bash
# Trains the default model from scratch: seven runs, each initialised with the averaged weights of the previous one
# (models/README.md). The first five take about three and a half hours on two CPU cores with AVX-512 bf16, the sixth
# eight minutes on a GPU, the seventh fifteen (ours reached its time limit after nine). A run that was stopped is resumed
# when the command is given again.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-target/default}
init=()
for run in 1 2 3 4 5 6 7; do
    target/release/promem-train run "models/training/$run.toml" -o "$OUT/$run" "${init[@]}"
    init=(--init "$OUT/$run/model.safetensors")
done
PRESENCE_THRESHOLDS="" scripts/calibrate.sh "$OUT/7/model.safetensors"
echo "then, with the best weight W:
  target/release/promem convert $OUT/7/model.safetensors $OUT/promem-compact.safetensors --licence Apache-2.0 --intensity-weight W
and for the threshold: INTENSITY_WEIGHTS= scripts/calibrate.sh $OUT/promem-compact.safetensors; convert that with --presence-threshold P"
