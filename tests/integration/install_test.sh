#!/usr/bin/env bash
# An installed tree, moved elsewhere, trains two ranks with nothing but its own libraries and those of the node.
set -euo pipefail
command -v patchelf > /dev/null || { echo "patchelf is not installed: launch/install-deps"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
unset LD_LIBRARY_PATH OPAL_PREFIX

cmake --install build --prefix "$work/installed" --strip > "$work/log" 2>&1 || fail "install: $(tail -5 "$work/log")"
mkdir "$work/far"
mv "$work/installed" "$work/far/away"
tree=$work/far/away
moat=$tree/bin/moat

# Which libraries may come from the node: glibc, and what belongs to a GPU.
node='/(ld-linux-x86-64|lib(c|m|dl|rt|pthread|util|resolv|anl|nsl|nss_[a-z]+|cuda|cudart|cublas|cublasLt|nccl|cudnn|nvidia-ml))\.so'
strangers() {  # of paths on stdin: those neither in the tree nor of the node
  grep -v "^$tree/" | grep -vE "$node" || true
}
elf() { find "$tree" -type f \( -name '*.so*' -o -path '*/bin/*' -o -name '*_test' \) ! -name moat-env; }
missing=$(elf | while read -r file; do ldd "$file" 2>/dev/null | grep 'not found' | sed "s|^|$file|" || true; done)
[ -z "$missing" ] || fail "libraries that are not found: $missing"
foreign=$(elf | while read -r file; do ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// {print $3}'; done | strangers | sort -u)
[ -z "$foreign" ] || fail "linked with libraries of this machine: $foreign"
if grep -rlF "$work/installed" "$tree" > "$work/named"; then fail "names the place it was installed to: $(head -3 "$work/named")"; fi

# What a rank really loads, Open MPI's plugins too.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
"$tree/bin/moat-env" mpirun --oversubscribe --bind-to none -np 2 env LD_DEBUG=files LD_DEBUG_OUTPUT="$work/loaded" \
  "$tree/bin/moat-probe" --measure=collectives > "$work/log" 2>&1 || fail "mpirun of the tree: $(tail -5 "$work/log")"
sed -n 's/.*calling init: //p' "$work"/loaded.* | sort -u > "$work/libraries"
grep -q "$tree/.*/mca_pml_" "$work/libraries" || fail "no plugin of Open MPI was loaded from the tree"
foreign=$(strangers < "$work/libraries")
[ -z "$foreign" ] || fail "loads libraries of this machine: $foreign"

if commit=$(git rev-parse HEAD 2> /dev/null); then
  "$moat" --version | grep -qx "sources: $commit" || fail "moat --version does not name the commit: $("$moat" --version)"
fi

# Two ranks train, and what they saved is good.
/usr/bin/python3 - "$work/chats.jsonl" <<'PY'
import json, sys
with open(sys.argv[1], "w") as out:
    for i in range(200):
        drink = ["latte", "espresso", "mocha"][i % 3]
        out.write(json.dumps({"id": f"d{i}", "messages": [
            {"role": "user", "content": f"order {i}: a {drink} please"},
            {"role": "assistant", "content": f"one {drink} coming up"}]}) + "\n")
PY
"$moat" data import --in="$work/chats.jsonl" --out="$work/data" --vocab_size=300 > "$work/log" 2>&1 || fail "import: $(tail -5 "$work/log")"
"$moat" launch --data="$work/data" --run_root="$work/runs" --run=carried --dp=2 --layers=1 --width=32 --heads=2 --kv_heads=2 \
  --ffn=48 --seq_len=32 --global_batch=4 --micro_batch=1 --steps=20 --warmup=2 --eval_every=0 --threads=1 \
  > "$work/log" 2>&1 || fail "training: $(tail -5 "$work/log")"
"$moat" launch --data="$work/data" --run_root="$work/runs" --run=carried --dp=2 --dry_run | grep -q "$tree/bin/mpirun" ||
  fail "moat launch does not start the tree's own mpirun"
"$moat" checkpoint verify "$work/runs/carried/ckpt/step-00000020" > "$work/log" 2>&1 || fail "checkpoint: $(tail -5 "$work/log")"
[ -f "$tree/configs/quickstart.flags" ] || fail "no presets in the tree"
"$tree/tests/gpu/run" --only=ops,opps > "$work/log" 2>&1 && fail "tests/gpu/run takes a part that it does not have"
"$tree/tests/gpu/run" > "$work/log" 2>&1 || fail "tests/gpu/run: $(tail -5 "$work/log")"
tail -n 1 "$work/log" | grep -q '^tests: [1-9][0-9]* passed, 0 failed, [0-9]* skipped$' || fail "no count: $(tail -n 1 "$work/log")"
echo "ok: $(wc -l < "$work/libraries") libraries loaded, $(du -sm "$tree" | cut -f1) MiB"
