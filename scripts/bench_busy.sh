#!/usr/bin/env bash
# Time of the demonstration with the default model while other programs compute, by the spin count of OpenMP's threads
# (GOMP_SPINCOUNT; the default is 300000): medians of three rounds.
# Usage: scripts/bench_busy.sh
set -euo pipefail
cd "$(dirname "$0")/.."
folder=target/bench/busy
mkdir -p "$folder"
target/release/promem --quiet demo "$folder" --force
python3 - "$folder" <<'PY'
import os, statistics, subprocess, sys, time
folder = sys.argv[1]
command = ["target/release/promem", "--quiet", "segment", "--image", f"{folder}/scan.nii.gz", "--prompt-mask", f"{folder}/mask.nii.gz",
           "--force", "--output", f"{folder}/result.nii.gz"]
spins = (300000, 10000, 3000, 1000)
def seconds(count):
    begin = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "GOMP_SPINCOUNT": str(count)})
    return time.perf_counter() - begin
for busy in (0, 1, 2):
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        rounds = [[seconds(count) for count in spins] for _ in range(3)]
    finally:
        for other in others:
            other.kill()
    medians = ", ".join(f"{count}: {statistics.median(row[n] for row in rounds):.1f} s" for n, count in enumerate(spins))
    print(f"{busy} other programs; seconds by spin count: {medians}", flush=True)
PY
