#!/usr/bin/python3
"""Over MPI: one to eight data ranks, sharded or not, overlapped or not, end with the same bits; and a rank takes the
memory that was written down before the run."""
import os
import re
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import BUILD, Run, Workshop, fail  # noqa: E402

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def said(run, pattern):
    found = re.search(pattern, run.said())
    if not found:
        fail(f"{run.name} does not say {pattern}: {run.said()[-3000:]}")
    return found.groups()


def trained(workshop, name, *flags):
    run = Run(workshop, name, ["--steps=12", "--eval_every=0", "--checkpoint_every=0", *flags])
    run.expect(0, "done", run.launch())
    return run


def refused(argv, environment, code, words):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                               **environment})
    if done.returncode != code or words not in done.stderr:
        fail(f"{argv}: expected {code} and '{words}', found {done.returncode}: {done.stderr[-2000:]}")


with Workshop() as shop:
    hashes = {}
    for name, flags in {
            "one": ["--dp=1"],
            "two, all state on each": ["--dp=2", "--zero=0"],
            "two, beside the backward pass": ["--dp=2", "--zero=1", "--overlap=on"],
            "eight, activations again": ["--dp=8", "--zero=1", "--recompute=block"]}.items():
        run = trained(shop, re.sub(r"\W+", "-", name), *flags)
        hashes[name] = said(run, r"state hash (\w+):")[0]
    if len(set(hashes.values())) != 1:
        fail(f"grids end with other bits: {hashes}")
    if said(trained(shop, "other", "--dp=1", "--seed=2"), r"state hash (\w+):")[0] in hashes.values():
        fail("another seed ends with the same bits: the hash says nothing")

    large = trained(shop, "large", "--dp=2", "--steps=2", "--layers=6", "--width=768", "--heads=12", "--kv_heads=12",
                    "--ffn=3072", "--eval_batches=1")
    peak, unit, planned, planned_unit = said(large, r"took the most, ([\d.]+) (\w+); planned ([\d.]+) (\w+)")
    peak, planned = float(peak) * UNITS[unit], float(planned) * UNITS[planned_unit]
    if not 0.95 < planned / peak < 1.05:
        fail(f"planned {planned}, took {peak}: {large.said()[-2000:]}")
    # Started by hand, as a launcher of another MPI would: each alone; or with different flags.
    train = [os.path.join(BUILD, "bin", "moat-train"), *large.flags, "--dp=2", "--run=by-hand"]
    refused(train, {"PMI_SIZE": "2", "PMI_RANK": "1"}, 2, "PMI_SIZE=2")
    refused(["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "1", *train, "--lr=0.5", ":", "-np", "1", *train],
            {}, 2, "rank 1 was started with --lr=0.01, rank 0 with --lr=0.5")
print("ok")
