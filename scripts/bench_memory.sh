#!/usr/bin/env bash
# Peak memory and time per slice of a 512x512x400 CT with a SAM 2.1 tiny network (pseudo-random weights, default cache).
# Usage: scripts/bench_memory.sh [SLICES_TO_SEGMENT]
set -euo pipefail
cd "$(dirname "$0")/.."
slices=${1:-40}
folder=target/bench
mkdir -p "$folder"
target/release/promem --quiet demo "$folder" --network sam2.1_hiera_tiny --force
python3 - "$folder" <<'PY'
import gzip, pathlib, struct, sys
sys.path.insert(0, "bench")
from nifti_header import header
# A NIfTI of 512x512x400 int16: a bright block that drifts through noise-free tissue.
folder = pathlib.Path(sys.argv[1])
with gzip.open(folder / "ct.nii.gz", "wb", compresslevel=1) as out:
    out.write(header((512, 512, 400), (0.8, 0.8, 1.0)))
    for k in range(400):
        rows = bytearray()
        for j in range(512):
            row = [40 + (i * j + k) % 17 for i in range(512)] if j % 8 == 0 else row
            rows += struct.pack("<512h", *row)
        out.write(rows)
PY
first=$((200 - slices / 2)); last=$((first + slices - 1))
python3 - "$folder" "$first" "$last" "$slices" <<'PY'
import json, resource, subprocess, sys
folder, first, last, slices = sys.argv[1:]
command = ["target/release/promem", "--json", "segment", "--image", f"{folder}/ct.nii.gz",
           "--model", f"{folder}/sam2.1_hiera_tiny.safetensors", "--point", "256,256,200", "--range", f"{first},{last}",
           "--no-stop", "--window", "soft", "--force", "--output", f"{folder}/ct_mask.nii.gz"]
report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
print(f"512x512x400 CT, {slices} slices segmented: peak memory {peak:.2f} GB, {report['seconds'] / int(slices):.2f} s per slice in total")
PY
