#!/usr/bin/env bash
# Checks this code on one GPU in under ten minutes, without a hub: networks of the sizes of `base` with random weights.
#
#   tests/benchmarks/gpu.sh [OUT]
#
# OUT (default: runs/gpu) gets gpu.md, which is to be pasted into RESULTS.md. Where a stage fails, the others still run,
# and the script ends with 1.
# Needs `pip install -r requirements-dev.txt` with a torch for the card, 4 GB of disk for the networks, a card of 16 GB.
# Variables: DEVICE=cpu SIZE=tiny (to see that it runs), NETWORKS (a folder that keeps networks), PYTHON, BUDGET (s).
set -euo pipefail
DEVICE=${DEVICE:-cuda} SIZE=${SIZE:-full} PYTHON=${PYTHON:-python} BUDGET=${BUDGET:-570}
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/runs/gpu}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root"
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1

work=$(mktemp -d)
networks=${NETWORKS:-$work/networks}
config=$networks/base-random.yaml
running="" failed=""
finish() {
    [[ -z $running ]] || echo "stopped in the stage $running after $SECONDS s" >&2
    [[ ! -f $work/stages ]] || echo "to be pasted into tests/benchmarks/RESULTS.md: $out/gpu.md"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# stage NAME LINES COMMAND...: runs it in what is left of the budget; the last LINES of what it prints go to gpu.md
stage() {
    running=$1
    local lines=$2 begin=$SECONDS left=$((BUDGET > SECONDS ? BUDGET - SECONDS : 1)) code=0 ended=well
    shift 2
    echo "== $running"
    timeout --foreground --kill-after=10 "$left" "$@" | tee "$work/printed" || code=$?
    case $code in
        0) ;;
        124 | 137) ended="out of time, $BUDGET s in all" failed="$failed; $running" ;;
        *) ended="failed ($code)" failed="$failed; $running" ;;
    esac
    echo "== $running: $((SECONDS - begin)) s, $ended"
    echo "| $running | $((SECONDS - begin)) | $ended |" >>"$work/stages"
    ((lines == 0)) || { printf '\n%s:\n\n' "$running" && tail -n "$lines" "$work/printed"; } >>"$work/found"
    {
        printf '## On a GPU: %s networks of base with random weights, %s\n\n' "$SIZE" "$(date +%F)"
        printf '| stage | seconds | ended |\n|---|---|---|\n'
        cat "$work/stages" "$work/found"
    } >"$out/gpu.md"  # after every stage: whoever kills this keeps what is done
    running=""
}

case $SIZE in
    full) tiny=() items=8 samples=25 ;;
    tiny) tiny=(--tiny) items=2 samples=10 ;;
    *) echo "expected SIZE to be full or tiny, found $SIZE" >&2 && exit 2 ;;
esac
precision=("$PYTHON" -m tests.benchmarks.precision --device "$DEVICE" --items "$items")

driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 || true)
stage card 1 "$PYTHON" -c '
import sys, torch, transformers
from tests.benchmarks.measure import where
device, driver = sys.argv[1:]
memory = ""
if device == "cuda":
    if not torch.cuda.is_available():
        sys.exit(f"expected a GPU for torch {torch.__version__}, found none; DEVICE=cpu SIZE=tiny tries the script")
    memory = f", {torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB, driver {driver}"
print(f"{where(device)}{memory}, torch {torch.__version__}, transformers {transformers.__version__}")
' "$DEVICE" "${driver:-unknown}"
[[ -z $failed ]] || exit 1
stage networks 0 "$PYTHON" -m tests.checkpoints --config base "${tiny[@]}" --out "$networks"
[[ -z $failed ]] || exit 1
stage "precision of pocket" 99 "${precision[@]}" --config pocket
stage "precision of base" 99 "${precision[@]}" --config "$config" --most 1
stage "memory halving" 99 "$PYTHON" -m tests.benchmarks.halving --device "$DEVICE" --config "$config"
stage tests 1 "$PYTHON" -m pytest -m cuda
stage speed 99 "$PYTHON" -m tests.benchmarks.evaluation --device "$DEVICE" --config "$config" --samples "$samples" \
    --methods cross_modal classify caption

echo "$SECONDS s in all${failed:+; failed: ${failed#; }}"
[[ -z $failed ]]
