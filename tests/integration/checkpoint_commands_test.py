#!/usr/bin/python3
"""moat checkpoint list, inspect, verify, diff, prune and copy, on what real runs have saved."""
import json
import os
import struct
import subprocess
import sys
import time

sys.path.insert(0, "tests/support")
from training_run import MOAT, Run, Workshop, fail  # noqa: E402


def checkpoint(*words, code=0, env=None):
    """What `moat checkpoint WORDS` prints, and what it says; ends the test unless it exits with `code`."""
    done = subprocess.run([MOAT, "checkpoint", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, env={**os.environ, **(env or {})})
    if done.returncode != code:
        fail(f"{words}: expected {code}, found {done.returncode}: {done.stdout[-1000:]} {done.stderr[-2000:]}")
    return done.stdout, done.stderr


def parsed(*words, code=0):
    return json.loads(checkpoint(*words, "--json", code=code)[0])


def expect(what, found, expected):
    if found != expected:
        fail(f"{what}: expected {expected}, found {found}")


def trained(shop, name, *flags):
    run = Run(shop, name, ["--steps=12", "--checkpoint_every=2", "--eval_every=6", *flags])
    run.expect(0, "done", run.launch())
    return run


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def check_list(shop, run):
    listed = parsed("list", run.name, f"--run_root={shop.runs}")
    steps = [one["step"] for one in listed["checkpoints"]]
    expect("steps of one run, newest first", steps, [12, 10, 8, 6, 4, 2])
    expect("newest", [one["step"] for one in listed["checkpoints"] if one["newest"]], [12])
    expect("best", len([one for one in listed["checkpoints"] if one["best"]]), 1)
    expect("complete", {one["complete"] for one in listed["checkpoints"]}, {True})
    for place in [run.path, os.path.join(run.path, "ckpt")]:
        expect(place, parsed("list", place)["checkpoints"][0]["name"], "step-00000012")
    table = checkpoint("list", run.path)[0]
    if "step-00000012" not in table or "newest" not in table:
        fail(f"the table says nothing: {table}")
    checkpoint("list", "no-such-run", f"--run_root={shop.runs}", code=2)
    root = f"--run_root={shop.runs}"
    expect("the run as a flag", parsed("list", f"--run={run.name}", root)["checkpoints"], listed["checkpoints"])
    expect("the newest of a run", parsed("inspect", f"--run={run.name}", root)["step"], 12)
    mistyped = run.name[:-1] + "_" + run.name[-1]
    for words in [["checkpoint", "list", mistyped], ["checkpoint", "prune", mistyped], ["generate", f"--run={mistyped}", "--prompt=a"]]:
        done = subprocess.run([MOAT, *words, root], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 2 or f"did you mean {run.name}?" not in done.stderr:
            fail(f"{words}: {done.returncode}, {done.stderr}")


def check_inspect(run):
    newest = run.checkpoints()[-1]
    seen = parsed("inspect", newest)
    expect("step", seen["step"], 12)
    expect("lineage", seen["lineage"][-1], "step-00000010")
    for value, key in [("identity", "layers"), ("identity", "data version"), ("progress", "sample_hash")]:
        if key not in seen["values"][value]:
            fail(f"{value} without {key}: {seen['values']}")
        if key not in checkpoint("inspect", newest)[0]:
            fail(f"inspect without {key}")
    tensor = max(seen["tensors"], key=lambda one: (one["dtype"] == "f32", len(one["pieces"])))
    values = []
    for piece in tensor["pieces"]:
        with open(os.path.join(newest, piece["file"]), "rb") as file:
            file.seek(piece["offset"])
            values += struct.unpack(f"<{piece['bytes'] // 4}f", file.read(piece["bytes"]))
    found = parsed("inspect", newest, f"--tensor={tensor['name']}")["statistics"]
    expect("elements", found["elements"], len(values))
    expect("least and greatest", (found["min"], found["max"]), (min(values), max(values)))
    expect("mean", abs(found["mean"] - sum(values) / len(values)) < 1e-9, True)
    _, said = checkpoint("inspect", newest, "--tensor=model.token_embeddin", code=65)
    if "has no tensor" not in said:
        fail(said)


def check_verify(shop, run):
    good = parsed("verify", run.name, f"--run_root={shop.runs}")
    expect("verified", (good["ok"], len(good["checkpoints"])), (True, 6))
    newest = run.checkpoints()[-1]
    pieces = [(one["name"], one["pieces"][0]) for one in parsed("inspect", newest)["tensors"] if one["pieces"]]
    struck = [pieces[0], pieces[len(pieces) // 2], pieces[-1]]
    for _, piece in struck:
        flip(os.path.join(newest, piece["file"]), piece["offset"])
    bad = parsed("verify", newest, code=65)
    named = [(one["tensor"], one["file"]) for one in bad["checkpoints"][0]["damages"]]
    expect("damages", sorted(named), sorted((name, piece["file"]) for name, piece in struck))
    expect("of a run", parsed("verify", run.name, f"--run_root={shop.runs}", code=65)["ok"], False)
    words = checkpoint("verify", newest, code=65)[0]
    if not all(name in words for name, _ in struck):
        fail(f"not all damage is told: {words}")
    checkpoint("diff", newest, run.checkpoints()[-2], code=65)
    for _, piece in struck:
        flip(os.path.join(newest, piece["file"]), piece["offset"])
    expect("mended", parsed("verify", newest)["ok"], True)


def check_diff(one, two, other):
    """Two data ranks write other slices than one; canonical bits are the same. Another seed's are not."""
    same = parsed("diff", one.checkpoints()[-1], two.checkpoints()[-1])
    expect("two grids", (same["same"], same["tensors"], "run_id" in same["position"]), (True, [], True))
    differs = parsed("diff", one.checkpoints()[-1], other.checkpoints()[-1], code=1)
    if not differs["tensors"] or not all(t["max_absolute"] > 0 and t["differing"] > 0 for t in differs["tensors"]):
        fail(f"another seed differs by nothing: {differs}")
    if " elements differ, by at most " not in checkpoint("diff", one.checkpoints()[-1], one.checkpoints()[0],
                                                         code=1)[0]:
        fail("no words for what differs")
    checkpoint("diff", one.path, one.checkpoints()[0], code=65)


def check_copy(shop, run):
    newest, archive = run.checkpoints()[-1], os.path.join(shop.path, "archive")
    checkpoint("copy", newest, archive, code=-9, env={"MOAT_FAULT": "checkpoint.copying:kill"})
    left = parsed("list", archive)
    expect("after a kill", (left["checkpoints"], len(left["leftovers"])), ([], 1))
    copied = parsed("copy", newest, archive)
    expect("copy", copied["directory"], os.path.join(archive, "step-00000012"))
    expect("left behind", sorted(os.listdir(archive)), ["step-00000012"])
    expect("copied bits", parsed("diff", newest, copied["directory"])["position"], {})
    if "exists already" not in checkpoint("copy", newest, archive, code=2)[1]:
        fail("a second copy is not refused in words")
    loss = [json.loads(shop.moat("eval", f"--run={run.name}", f"--run_root={shop.runs}", "--json",
                                 f"--checkpoint={place}"))["loss"] for place in (newest, copied["directory"])]
    expect("loss of a copy", loss[1], loss[0])


def check_prune(shop, run):
    """By the rules of training; refused while somebody runs there; a kill in between loses nothing that stays."""
    prune = ["prune", run.name, f"--run_root={shop.runs}"]
    best = next(one["step"] for one in parsed("list", run.path)["checkpoints"] if one["best"])
    lease = os.path.join(run.path, "lease.json")
    with open(lease, "w") as file:
        json.dump({"host": "elsewhere", "boot": "b", "pid": 1, "process_start": 1,
                   "renewed_us": int(time.time() * 1e6)}, file)
    if "in use by" not in checkpoint(*prune, code=2)[1]:
        fail("pruning a run in use is not refused in words")
    os.remove(lease)
    if "--keep=1" not in checkpoint(*prune, "--keep=1", code=2)[1]:
        fail("fewer than two are not refused")
    before = run.checkpoints()
    steps = {12, 10, 8, 4, best}
    would = parsed(*prune, "--keep=2", "--keep_every=4", "--dry_run")
    expect("would stay", would["kept"], len(steps))
    expect("after a dry run", run.checkpoints(), before)
    checkpoint(*prune, "--keep_every=4", code=-9, env={"MOAT_FAULT": "checkpoint.removing:kill"})
    expect("ok after a kill", parsed("verify", run.path)["ok"], True)
    parsed(*prune, "--keep_every=4")
    left = parsed("list", run.path)
    expect("steps that stay", {one["step"] for one in left["checkpoints"]}, steps)
    expect("leftovers", left["leftovers"], [])


with Workshop() as shop:
    one = trained(shop, "one", "--dp=1", "--keep_checkpoints=9")
    two = trained(shop, "two", "--dp=2", "--keep_checkpoints=9")
    other = trained(shop, "other", "--dp=1", "--seed=5", "--keep_every=4", "--eval_every=0")
    expect("milestones of training", [os.path.basename(path) for path in other.checkpoints()],
           [f"step-{step:08}" for step in (4, 8, 10, 12)])
    check_list(shop, two)
    check_inspect(two)
    check_diff(one, two, other)
    check_verify(shop, two)
    check_copy(shop, two)
    check_prune(shop, two)
    checkpoint("lst", code=2)
    for command in ["list", "inspect", "verify", "diff", "prune", "copy"]:
        checkpoint(command, "--help")
print("ok: every command says what is there")
