#!/usr/bin/env bash
# Slices a second of the default model's training, and the fraction of time that it waits for clips, over two minutes
# of the second stage of its recipe. Usage: scripts/bench_training.sh [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=target/bench/training
rm -rf "$folder" && mkdir -p "$folder"
cat >"$folder/config.toml" <<'TOML'
preset = "compact"
[[stages]]
steps = 1000
image_size = 128
length = 8
batch = 8
accumulate = 1
teacher_forcing = [0.3, 0.0]
[log]
every = 10
checkpoint = 1000
validate = 0
validation_clips = 0
TOML
target/release/promem-train run "$folder/config.toml" -o "$folder/run" --minutes "${1:-2}" --quiet
python3 - "$folder/run/log.jsonl" <<'PY'
import json, statistics, sys
lines = [json.loads(line) for line in open(sys.argv[1])][1:]  # the first ten steps fill caches
for key, name in [("slices_per_second", "slices a second"), ("data_wait_fraction", "fraction of time waiting for clips")]:
    values = [line[key] for line in lines]
    print(f"{name}: median {statistics.median(values):.4g} of {len(values)} (from {min(values):.4g} to {max(values):.4g})")
PY
