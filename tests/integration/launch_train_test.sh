#!/usr/bin/env bash
# Real processes: import, train with two workers over MPI, kill and preempt, resume on another grid, generate.
# A run that was killed and one that was preempted both end with the weights of one that was not, bit for bit.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
moat=$PWD/${MOAT_BUILD:-build}/bin/moat
fail() { echo "FAILED: $*"; exit 1; }

/usr/bin/python3 - "$work/chats.jsonl" <<'PY'
import json, sys
drinks = ["latte", "espresso", "green tea", "flat white", "mocha", "cold brew"]
with open(sys.argv[1], "w") as out:
    for i in range(300):
        drink = drinks[i * 7 % 6]
        out.write(json.dumps({"id": f"d{i}", "messages": [
            {"role": "user", "content": f"order {i}: a {drink} please"},
            {"role": "assistant", "content": f"one {drink} coming up"}]}) + "\n")
PY
"$moat" data import --in="$work/chats.jsonl" --out="$work/data" --vocab_size=300 > /dev/null 2>&1
"$moat" data verify "$work/data" > /dev/null

flags=(--run_root="$work/runs" --layers=2 --width=32 --heads=4 --kv_heads=2 --ffn=48 --seq_len=48
       --global_batch=8 --micro_batch=1 --steps=400 --lr=1e-2 --warmup=5 --dropout=0.1 --eval_every=0 --checkpoint_every=20
       --threads=1)
launch() { "$moat" launch --data="$work/data" "${flags[@]}" "$@" > "$work/log" 2>&1; }
state() { /usr/bin/python3 -c 'import json,sys; o=json.load(open(sys.argv[1])); print(o["state"], o["exit_code"])' "$work/runs/$1/outcome.json"; }
# The slices of all tensors of the newest checkpoint, put together: a digest that does not depend on the grid that wrote it.
weights() { /usr/bin/python3 - "$work/runs/$1/ckpt" <<'PY'
import glob, hashlib, json, math, os, sys
newest = sorted(glob.glob(sys.argv[1] + "/step-*"))[-1]
manifest = json.load(open(newest + "/manifest.json"))
whole = hashlib.sha256()
for name, tensor in sorted(manifest["tensors"].items()):
    pieces = sorted(tensor["pieces"], key=lambda p: [int(d.split(":")[0]) for d in p["slice"].split(",")])
    # pieces of a flat range tile in order of memory once sorted by where they begin
    whole.update(name.encode())
    for piece in pieces:
        with open(os.path.join(newest, piece["file"]), "rb") as file:
            file.seek(piece["offset"])
            whole.update(file.read(piece["bytes"]))
print(os.path.basename(newest), whole.hexdigest())
PY
}
wait_for_step() {  # run, step, pid
  local deadline=$((SECONDS + 60))
  until [ -f "$work/runs/$1/metrics.jsonl" ] && [ "$(wc -l < "$work/runs/$1/metrics.jsonl")" -ge "$2" ]; do
    kill -0 "$3" 2>/dev/null || fail "$1 ended before step $2: $(tail -5 "$work/log")"
    [ $SECONDS -lt $deadline ] || fail "$1 did not reach step $2 in 60 s"
    read -rt 0.02 <> <(:) || true
  done
}

launch --dp=2 --run=whole || fail "the undisturbed run: $(tail -5 "$work/log")"
[ "$(state whole)" = "done 0" ] || fail "outcome of the undisturbed run is $(state whole)"
want=$(weights whole)
/usr/bin/python3 - "$work/runs/whole/capsule.json" "$work/data/index.json" <<'PY' || fail "the capsule is not complete"
import json, sys
capsule, index = [json.load(open(path)) for path in sys.argv[1:]]
assert len(capsule) == 1, capsule
libraries, data = capsule[0]["libraries"], capsule[0]["data"]
assert "Open MPI" in libraries["MPI"], libraries
assert all(libraries[name][0].isdigit() for name in ("HDF5", "oneDNN", "SentencePiece")), libraries
assert capsule[0]["compiler"] and capsule[0]["cpu"] and "sse4_2" in capsule[0]["instruction_set"], capsule
assert data["content"] == index["content_digest"] and data["tokenizer"] == index["tokenizer_digest"], data
PY

"$moat" launch --data="$work/data" "${flags[@]}" --dp=2 --run=preempted > "$work/log" 2>&1 &
pid=$!
wait_for_step preempted 60 $pid
kill -TERM $pid
code=0; wait $pid || code=$?
[ $code = 75 ] || fail "a preempted run exits 75, this one $code: $(tail -5 "$work/log")"
[ "$(state preempted)" = "preempted 75" ] || fail "outcome after TERM is $(state preempted)"
launch --dp=1 --run=preempted || fail "resuming with dp=1: $(tail -5 "$work/log")"
[ "$(weights preempted)" = "$want" ] || fail "preempted and resumed on dp=1: weights differ from the undisturbed run's"

"$moat" launch --data="$work/data" "${flags[@]}" --dp=2 --run=recovers > "$work/log" 2>&1 &
pid=$!
wait_for_step recovers 60 $pid
rank=$(pgrep -f "moat-train.*$work/runs/recovers" | tail -n 1)
kill -KILL "$rank"
wait $pid || fail "a run that lost a rank starts again by itself and ends well: $(tail -5 "$work/log")"
[ "$(ls -d "$work"/runs/recovers/logs/attempt-* | wc -l)" = 2 ] || fail "two attempts: $(ls "$work"/runs/recovers/logs)"
[ "$(weights recovers)" = "$want" ] || fail "started again by itself: weights differ from the undisturbed run's"

"$moat" launch --data="$work/data" "${flags[@]}" --restarts=0 --dp=2 --run=killed > "$work/log" 2>&1 &
pid=$!
wait_for_step killed 60 $pid
rank=$(pgrep -f "moat-train.*$work/runs/killed" | tail -n 1)
kill -KILL "$rank"
code=0; wait $pid || code=$?
[ $code = 76 ] || fail "a run that lost a rank exits 76, this one $code: $(tail -5 "$work/log")"
launch --dp=4 --run=killed || fail "resuming with dp=4: $(tail -5 "$work/log")"
[ "$(weights killed)" = "$want" ] || fail "killed and resumed on dp=4: weights differ from the undisturbed run's"

# Mistakes: documented exit codes, and nothing is lost.
code=0; launch --dp=2 --run=whole --lr=1e-3 || code=$?
[ $code = 2 ] || fail "another configuration in the same run exits 2, not $code"
grep -q 'lr was' "$work/log" || fail "the message names the flag and both values: $(cat "$work/log")"
code=0; launch --dp=3 --run=three || code=$?
[ $code = 2 ] || fail "a dp that does not divide the ways exits 2, not $code: $(tail -3 "$work/log")"
code=0; launch --dp=1 --run=vocab --vocab_size=77 || code=$?
[ $code = 2 ] || fail "a vocabulary that is not the data set's exits 2, not $code: $(tail -3 "$work/log")"
cp -r "$work/data" "$work/other"
printf 'x' | dd of="$work/other/tokenizer.model" bs=1 seek=2000 conv=notrunc 2>/dev/null
code=0; "$moat" launch --data="$work/other" "${flags[@]}" --dp=1 --run=tokenizer > "$work/log" 2>&1 || code=$?
[ $code = 65 ] || fail "a tokenizer that does not match the shards exits 65, not $code: $(tail -3 "$work/log")"

echo '{"messages": [{"role": "user", "content": "order 7: a mocha please"}]}' > "$work/dialog.json"
said=$("$moat" generate --run_root="$work/runs" --run=whole --chat="$work/dialog.json" --temperature=0 2>/dev/null)
[ -n "$said" ] || fail "generate said nothing"
again=$("$moat" generate --run_root="$work/runs" --run=whole --chat="$work/dialog.json" --temperature=0 2>/dev/null)
[ "$said" = "$again" ] || fail "generate is not deterministic"
newest=$(ls -d "$work"/runs/whole/ckpt/step-* | tail -n 1)
"$moat" checkpoint verify "$newest" > /dev/null || fail "the checkpoint does not verify"

# The trainer's own numbers, from a checkpoint; another tokenizer's data is refused.
"$moat" eval --run_root="$work/runs" --run=whole --checkpoint=newest --json > "$work/eval.json" || fail "eval"
/usr/bin/python3 - "$work/eval.json" "$work/runs/whole/metrics.jsonl" <<'PY' || fail "eval is not what the trainer measured"
import json, sys
found = json.load(open(sys.argv[1]))
trained = [line for line in map(json.loads, open(sys.argv[2])) if "val_loss" in line][-1]
assert found["step"] == trained["step"] == 400, (found, trained)
assert found["loss"] == trained["val_loss"] and found["bits_per_byte"] == trained["val_bits_per_byte"], (found, trained)
assert found["tokens"] > 0 and found["bytes"] > 0, found
PY
"$moat" data import --in="$work/chats.jsonl" --out="$work/foreign" --vocab_size=320 > "$work/log" 2>&1 || fail "$(cat "$work/log")"
code=0; "$moat" eval --run_root="$work/runs" --run=whole --data="$work/foreign" > "$work/log" 2>&1 || code=$?
[ $code = 65 ] || fail "eval on data of another tokenizer exits 65, not $code: $(cat "$work/log")"
"$moat" data import --in="$work/chats.jsonl" --out="$work/same" --tokenizer="$work/data/tokenizer.model" --seed=7 > "$work/log" 2>&1 || fail "$(cat "$work/log")"
"$moat" eval --run_root="$work/runs" --run=whole --data="$work/same" | grep -q 'bits per byte over' || fail "eval on other data"

# Two data sets: launched on two ranks, gone on with on one, measured each by itself and together.
mixed=(--data="$work/same" --data_weights=0.7,0.3 --run=mixed --checkpoint_every=0)
launch "${mixed[@]}" --dp=2 --steps=8 || fail "a run over two data sets: $(tail -5 "$work/log")"
launch "${mixed[@]}" --dp=1 --steps=12 || fail "going on with it: $(tail -5 "$work/log")"
code=0; launch "${mixed[@]}" --data_weights=1,2 --dp=1 --steps=16 || code=$?
[ $code = 2 ] || fail "four weights for two data sets exit 2, not $code: $(tail -3 "$work/log")"
code=0; launch --data="$work/same" --run=mixed --steps=16 --dp=1 || code=$?
[ $code = 2 ] && grep -q 'data_weights was 0.7,0.3' "$work/log" || fail "other weights exit 2, not $code: $(tail -3 "$work/log")"
"$moat" eval --run_root="$work/runs" --run=mixed --checkpoint=newest --json > "$work/eval.json" || fail "eval of two data sets"
/usr/bin/python3 - "$work/eval.json" "$work/runs/mixed" <<'PY' || fail "the records of the mixture are not complete"
import json, sys
found, run = json.load(open(sys.argv[1])), sys.argv[2]
trained = [line for line in map(json.loads, open(run + "/metrics.jsonl")) if "val_loss" in line][-1]
assert found["loss"] == trained["val_loss"], (found, trained)
assert {own["data"].split("/")[-1]: own["loss"] for own in found["by_data"]} == {
    name: own["val_loss"] for name, own in trained["val_by_data"].items()}, (found, trained)
data = json.load(open(run + "/capsule.json"))[-1]["data"]
assert data["weights"] == "0.7,0.3" and data["version"] == "1,1" and len(data["content"].split(",")) == 2, data
PY
echo "ok: $said"
