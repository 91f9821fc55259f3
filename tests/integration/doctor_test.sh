#!/usr/bin/env bash
# moat doctor on this machine, and on one without mpirun and without a place for runs: exit codes, and that what moat-probe
# prints is what doctor reads.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
moat=$PWD/build/bin/moat
fail() { echo "FAILED: $*"; exit 1; }

"$moat" doctor --run_root="$work/runs" --threads=1 --json > "$work/good.json" || fail "a machine that runs these tests can train: $(cat "$work/good.json")"
[ ! -e "$work/runs" ] || fail "doctor leaves a directory behind"
/usr/bin/python3 - "$work/good.json" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["can_train"] is True
states = {check["name"]: check["state"] for check in report["checks"]}
for name in ("cores", "programs", "products", "memory rate", "MPI", "GPU"):
    assert states[name] == "ok" or (name == "GPU" and states[name] == "warn"), (name, states)
rank = report["measured"]["compute"]["ranks"][0]
rates = rank["gemm"]["f32"]
assert rank["threads"] == 1 and len(rates["products"]) == 5
assert rates["best_gflops"] == max(p["gflops"] for p in rates["products"]) > 0
assert min(p["gflops"] for p in rates["products"]) <= rates["whole_gflops"] <= rates["best_gflops"]
assert report["measured"]["ranks"]["collectives"]["ranks"] == 2
PY

: > "$work/file"
mkdir "$work/path"
code=0
PATH=$work/path "$moat" doctor --run_root="$work/file/runs" --threads=1 > "$work/bad.txt" || code=$?
[ $code = 69 ] || fail "a machine that cannot train exits 69, this one $code: $(cat "$work/bad.txt")"
for check in MPI disk; do
  grep -qE "^  fail  $check " "$work/bad.txt" || fail "$check is not said to fail: $(cat "$work/bad.txt")"
done
grep -q '^  ok    products ' "$work/bad.txt" || fail "what works is still said: $(cat "$work/bad.txt")"
echo "ok"
