#!/usr/bin/env bash
# Real processes: the ablation preset over two tensor ranks gives the losses of one, through moat launch.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
moat=$PWD/build/bin/moat
fail() { echo "FAILED: $*"; exit 1; }

mkdir "$work/files"
cp core/*.cc core/*.h "$work/files"
"$moat" data import --in="$work/files" --out="$work/data" --vocab_size=300 > /dev/null 2>&1
for tp in 1 2; do
  "$moat" launch --flagfile=configs/ablation.flags --data="$work/data" --run_root="$work/runs" --run=tp$tp --dp=1 --tp=$tp \
    --threads=1 --global_batch=4 --micro_batch=1 --steps=12 --warmup=4 --eval_every=0 --seq_len=64 \
    > "$work/log" 2>&1 || fail "tp=$tp: $(tail -5 "$work/log")"
done
/usr/bin/python3 - "$work/runs" <<'PY' || fail "the losses differ"
import json, sys
def losses(run):
    lines = [json.loads(line) for line in open(f"{sys.argv[1]}/{run}/metrics.jsonl")]
    return [line["loss"] for line in lines if "loss" in line]
one, two = losses("tp1"), losses("tp2")
worst = max(abs(b / a - 1) for a, b in zip(one, two))
print(f"{len(one)} steps, from {one[0]:.3f} to {one[-1]:.3f}; largest difference {worst:.1e}")
sys.exit(0 if len(one) == len(two) == 12 and one[-1] < 0.9 * one[0] and worst <= 1e-5 else 1)
PY
