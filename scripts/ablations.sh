#!/usr/bin/env bash
# The ablations of the paper's Tables 2, 3 and 5 on generated anatomy, over several seeds: trains small networks and
# scores them on object classes that were held out from training, and on those that were not. About an hour and a half
# for three seeds on two cores.
# Usage: scripts/ablations.sh [SEED...]        Everything goes to $OUT (target/ablations).
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-target/ablations}
TRAIN=target/release/promem-train
PROMEM=target/release/promem
SEEDS=("${@:-1}")
[ $# -gt 0 ] || SEEDS=(1 2 3)
CASES=${CASES:-120}
mkdir -p "$OUT"
# Each network differs from `with` in one thing.
cp bench/ablations/with.toml "$OUT/with.toml"
sed 's/^held_out/stochastic_propagation = false\n&/' bench/ablations/with.toml >"$OUT/without_propagation.toml"
sed 's/^augment = "sequence".*/augment = "off"/' bench/ablations/with.toml >"$OUT/without_augmentation.toml"
for part in held_out in_domain; do
    [ -f "$OUT/$part/cases.json" ] && continue
    "$TRAIN" cases bench/ablations/with.toml -o "$OUT/$part" --count "$CASES" $([ $part = held_out ] && echo --held-out)
done
evaluate() { # name, model, options of the propagation
    local name=$1 model=$2
    shift 2
    for part in held_out in_domain; do
        [ -f "$OUT/results/$name/$part/summary.json" ] && continue
        "$PROMEM" --quiet evaluate --dataset "pairs:$OUT/$part/cases.json=$OUT/$part" --model "$model" --position 0 --direction up \
            --stop-rule free -o "$OUT/results/$name/$part" "$@"
    done
}
for seed in "${SEEDS[@]}"; do
    for kind in with without_propagation without_augmentation; do
        run="$OUT/$kind-$seed"
        "$TRAIN" run "$OUT/$kind.toml" -o "$run" --seed "$seed" --quiet
        model="$run/model.safetensors"
        # The paper's inference, and SAM 2's: window 6, the prompt attended to, no search.
        evaluate "$kind-search-$seed" "$model" --memory promem
        evaluate "$kind-plain-$seed" "$model" --memory promem --windows 6 --beams 1 --include-prompt
        evaluate "$kind-pinned-$seed" "$model" --memory promem --include-prompt
    done
done
python3 scripts/ablations.py "$OUT/results" "${SEEDS[@]}"
