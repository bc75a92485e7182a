#!/usr/bin/env bash
# The default model from scratch: five runs, each begun with the averaged weights of the one before (models/README.md). About three and a half
# hours on two CPU cores with AVX-512 bf16. A run that was stopped goes on when the command is given again.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-target/default}
init=()
for run in 1 2 3 4 5; do
    target/release/promem-train run "models/training/$run.toml" -o "$OUT/$run" "${init[@]}"
    init=(--init "$OUT/$run/model.safetensors")
done
scripts/calibrate.sh "$OUT/5/model.safetensors"
echo "then: target/release/promem convert $OUT/5/model.safetensors promem-compact.safetensors --licence Apache-2.0 --appearance W --presence P"
