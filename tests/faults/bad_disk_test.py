#!/usr/bin/python3
"""Real training runs on a disk that fails: one bad save is survived, three end the run, and nothing is lost.

tests/faults/bad_disk.cc plays the disk. Whatever it does, weights end as those of a run on a good one.
"""
import os
import sys

sys.path.insert(0, "tests/support")
from training_run import BUILD, Run, Workshop, fail  # noqa: E402

FLAGS = ["--dp=2", "--steps=200", "--checkpoint_every=40", "--eval_every=0", "--lr=1e-3"]
SHIM = os.path.join(BUILD, "tests", "libbad_disk.so")
ONCE = [  # what, and what the warning says
    ("full@-80/rank-00001", "No space left on device"),
    ("quota@-80/rank-00000", "Disk quota exceeded"),
    ("eio@-80/manifest.json", "cannot write"),
    ("eio-sync@-80/rank-00001", "cannot sync"),
]


def on(disk, **more):
    return {"LD_PRELOAD": SHIM, "BAD_DISK": disk, **more}


def survives_one(workshop, undisturbed):
    for number, (disk, cause) in enumerate(ONCE):
        mode = "--noasync_checkpoints" if number % 2 else "--async_checkpoints"
        run = Run(workshop, f"once-{number}", [*FLAGS, mode])
        run.expect(0, "done", run.launch(env=on(disk)))
        warnings = [line for line in run.said().splitlines() if "save of step 80 failed (1 in a row" in line]
        if len(warnings) != 1 or cause not in warnings[0] or "tries again by step" not in warnings[0]:
            fail(f"{disk}: {warnings} in {run.said()}")
        run.expect_same_weights(undisturbed)
        run.expect_only_whole_checkpoints()


def strict(workshop, undisturbed):
    """The first one ends it, if that is wanted; the save that failed left nothing."""
    run = Run(workshop, "strict", [*FLAGS, "--strict_checkpoints"])
    outcome = run.expect(74, "failed", run.launch(env=on("full@-80/rank-00001")))
    run.expect_one_cause(outcome, "No space left on device")
    if not run.checkpoints() or os.path.basename(run.checkpoints()[-1]) >= "step-00000080":
        fail(f"the save of step 80 failed: {outcome} with {run.checkpoints()}")
    run.expect_only_whole_checkpoints()
    run.expect_goes_on(undisturbed)


def three_end_it(workshop, undisturbed):
    run = Run(workshop, "thrice", FLAGS)
    outcome = run.expect(74, "failed", run.launch(env=on("full@rank-00001")))
    run.expect_one_cause(outcome, "No space left on device")
    if run.said().count("training goes on, and tries again") != 2 or run.checkpoints() or outcome["resumable"]:
        fail(f"three failed saves: {outcome}, {run.checkpoints()}, {run.said()}")
    run.expect_goes_on(undisturbed)


def refused_before_step_one(workshop):
    """A disk that takes no byte is found out before anything is trained."""
    run = Run(workshop, "refused", FLAGS)
    outcome = run.expect(74, "failed", run.launch(env=on("full@/ckpt/")))
    run.expect_one_cause(outcome, "No space left on device")
    if run.steps():
        fail(f"{run.steps()} steps were trained before the disk was tried")


def slow(workshop, undisturbed):
    """While a disk takes nothing, training goes on to the next save that is due; then that one waits."""
    gate = os.path.join(workshop.path, "gate")
    run = Run(workshop, "slow", FLAGS)
    run.start(env=on("stall@-40/rank-00001", BAD_DISK_GATE=gate))
    run.until_step(80)
    run.until("the next save waits", lambda: run.phase() == "saving")
    if run.checkpoints() or run.steps() != 80:
        fail(f"after {run.steps()} steps there are {run.checkpoints()}")
    with open(gate, "w"):
        pass
    run.expect(0, "done", run.wait())
    run.expect_same_weights(undisturbed)


def short(workshop, undisturbed):
    """A write may take less than it is given."""
    run = Run(workshop, "short", FLAGS)
    run.expect(0, "done", run.launch(env=on("short@/ckpt/")))
    if "failed" in run.said():
        fail(run.said())
    run.expect_same_weights(undisturbed)


def main():
    with Workshop() as workshop:
        whole = Run(workshop, "whole", FLAGS)
        whole.expect(0, "done", whole.launch())
        undisturbed = whole.weights()
        survives_one(workshop, undisturbed)
        strict(workshop, undisturbed)
        three_end_it(workshop, undisturbed)
        refused_before_step_one(workshop)
        slow(workshop, undisturbed)
        short(workshop, undisturbed)
    print("ok")


main()
