#!/usr/bin/env bash
# Real processes: the ablation preset over two tensor ranks, and over four with sequence parallelism, gives the losses of one, through
# moat launch. A vocabulary of 301 is cut unevenly; four ranks share two kv heads.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
moat=$PWD/build/bin/moat
fail() { echo "FAILED: $*"; exit 1; }

mkdir "$work/files"
cp core/*.cc core/*.h "$work/files"
"$moat" data import --in="$work/files" --out="$work/data" --vocab_size=301 > /dev/null 2>&1
train() {
  local run=$1 tp=$2
  shift 2
  "$moat" launch --flagfile=configs/ablation.flags --data="$work/data" --run_root="$work/runs" --run="$run" --dp=1 --tp=$tp \
    --threads=1 --global_batch=4 --micro_batch=1 --steps=12 --warmup=4 --eval_every=0 --seq_len=64 "$@" \
    > "$work/log" 2>&1 || fail "$run: $(tail -5 "$work/log")"
}
train whole 1
train split 2
train cut 4 --sequence_parallel
grep -q "tp=4 with sequence parallelism" "$work/log" || fail "no sequence parallelism: $(cat "$work/log")"
/usr/bin/python3 - "$work/runs" <<'PY' || fail "the losses differ"
import json, sys
def losses(run):
    lines = [json.loads(line) for line in open(f"{sys.argv[1]}/{run}/metrics.jsonl")]
    return [line["loss"] for line in lines if "loss" in line]
whole = losses("whole")
fine = len(whole) == 12 and whole[-1] < 0.9 * whole[0]
for run in "split", "cut":
    other = losses(run)
    worst = max(abs(b / a - 1) for a, b in zip(whole, other))
    print(f"{run}: {len(other)} steps, from {other[0]:.3f} to {other[-1]:.3f}; largest difference {worst:.1e}")
    fine = fine and len(other) == 12 and worst <= 1e-5
sys.exit(0 if fine else 1)
PY
