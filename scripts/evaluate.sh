#!/usr/bin/env bash
# Scores the default model, or $MODEL, and the non-learning baselines on the verification scans.
# All output goes to $OUT (target/evaluate); the report without images of patients goes to docs/results/.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${PROMEM_DATA:-../shared/data}
OUT=${OUT:-target/evaluate}
MODEL=${MODEL:-models/promem-compact.safetensors}
if [ ! -d "$DATA" ]; then
    echo "skipped: there is no folder $DATA with real scans (set PROMEM_DATA)"
    exit 0
fi
PROMEM=target/release/promem
SETS=()
for set in chaos_t2 hippocampus ct_spleen_msd spinalcord tumour ct_totalseg_torso; do
    SETS+=(--dataset "pairs:bench/datasets/$set.json=$DATA")
done
PYTHON=.deps/baselines/bin/python
if [ ! -e .deps/baselines/.done ]; then
    python3 -m venv .deps/baselines
    .deps/baselines/bin/pip install -q -r bench/requirements.txt
    touch .deps/baselines/.done
fi
"$PROMEM" evaluate "${SETS[@]}" --export-tasks "$OUT/tasks" -o "$OUT/none"
ROWS=(--copy)
for method in flow flow-fit; do
    "$PYTHON" bench/baselines.py --method $method --tasks "$OUT/tasks" --output "$OUT/$method"
    "$PYTHON" bench/baselines.py --method $method --tasks "$OUT/tasks" --output "$OUT/$method-given" --given
    ROWS+=(--predictions "$method=$OUT/$method" --predictions "$method:given=$OUT/$method-given")
done
if [ -f "$MODEL" ]; then
    ROWS+=(--model "$MODEL")
else
    echo "there is no model $MODEL: the report has no row for it"
fi
# shellcheck disable=SC2086  # ARGUMENTS are several
"$PROMEM" evaluate "${SETS[@]}" "${ROWS[@]}" --stop-rule both --title "Verification scans" -o "$OUT/report" ${ARGUMENTS:-}
mkdir -p docs/results
cp "$OUT/report/report.md" "$OUT/report/objects.csv" docs/results/
rm -f docs/results/*.png
cp "$OUT"/report/*.png docs/results/
echo "the report with images of patients is $OUT/report/report.html; the one without is in docs/results/"
