#!/usr/bin/python3
"""moat plan: exit codes that scripts act on, and figures that are those of a run and its checkpoint."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import MOAT, Run, Workshop, fail  # noqa: E402


def plan(*flags, code=0, command="plan"):
    done = subprocess.run([MOAT, command, *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if done.returncode != code:
        fail(f"moat {command} {flags}: expected {code}, found {done.returncode}: {done.stdout}{done.stderr}")
    return done


def memory_line(text):
    found = re.search(r"memory per rank: (.*?together [\d.]+ \w+)", text)
    if not found:
        fail(f"no memory per rank in {text}")
    return found.group(1)


preset = ["--flagfile=configs/gpt2_350m.flags", "--vocab_size=50257", "--dp=8"]
fits = json.loads(plan(*preset, "--hardware=h100", "--json").stdout)
if not fits["hardware"]["fits"] or fits["model"]["parameters"] != 354823168 or fits["time"]["measured"]:
    fail(f"a model of 350M on h100: {fits}")
small = plan(*preset, "--hardware=h100", "--device_memory=8", code=71)
if "it does not fit" not in small.stdout or "--micro_batch=4 would make it" not in small.stderr:
    fail(f"what does not fit is not said, or what helps: {small}")
if json.loads(plan(*preset, "--hardware=h100", "--device_memory=8", "--json", code=71).stdout)["hardware"]["fits"]:
    fail("JSON says that it fits")
for flags, words in {("--hardware=h10",): "did you mean h", ("--dp=3", "--hardware=h100"): "is not whole",
                     ("--data=/nowhere",): "there is no /nowhere/index.json", ("--hardwar=h100",): "--hardware"}.items():
    if words not in plan(*preset, *flags, code=2).stderr:
        fail(f"{flags} is not answered with '{words}'")
# A flagfile of a cluster is a part of the command line.
plan("--flagfile=configs/coffee.flags", "--flagfile=configs/clusters/example.flags", "--vocab_size=4096")

with Workshop() as shop:
    run = Run(shop, "planned", ["--dp=2", "--steps=4", "--eval_every=0", "--checkpoint_every=0"])
    planned = plan(*run.flags)
    if "vocabulary 300," not in planned.stdout:
        fail(f"the vocabulary is not the data set's: {planned.stdout}")
    dry = plan(*run.flags, "--dry_run", command="launch")
    if memory_line(dry.stderr) != memory_line(planned.stdout) or "memory" in dry.stdout:
        fail(f"a dry run says on stderr what it takes: {dry}")
    run.expect(0, "done", run.launch())
    if memory_line(run.said()) != memory_line(planned.stdout):
        fail(f"planned {memory_line(planned.stdout)}, the run says {memory_line(run.said())}")
    figures = json.loads(plan(*run.flags, "--json").stdout)
    with open(os.path.join(run.path, "ckpt", "step-00000004", "manifest.json")) as file:
        tensors = json.load(file)["tensors"]
    saved = sum(piece["bytes"] for tensor in tensors.values() for piece in tensor["pieces"])
    if figures["checkpoints"] != {"bytes": saved, "kept_at_most": 1}:
        fail(f"planned {figures['checkpoints']}, saved {saved}")
print("ok")
