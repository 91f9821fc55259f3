#!/usr/bin/python3
"""kill -9 of each rank of a 2 x 2 grid at each point of a save, beside training and not: the run starts itself again
and ends with the weights of an undisturbed one."""
import os
import sys

sys.path.insert(0, "tests/support")
from training_run import Run, Workshop, fail  # noqa: E402

FLAGS = ["--dp=2", "--tp=2", "--steps=9", "--checkpoint_every=2", "--eval_every=0", "--lr=1e-3"]
EVERY_RANK = ["prepared", "before_file_sync", "file_written"]
RANK_ZERO = ["before_manifest", "before_rename", "after_rename", "removing"]


def strike(workshop, point, rank, mode, undisturbed):
    name = f"{point}-{rank}{mode}"
    marker = os.path.join(workshop.path, f"{name}.struck")
    run = Run(workshop, name, [*FLAGS, mode])
    code = run.launch("--restarts=3", env={"MOAT_FAULT": f"checkpoint.{point}:kill:{rank}:{marker}"})
    outcome = run.expect(0, "done", code)
    if not os.path.exists(marker) or outcome["attempts"] != 2:
        fail(f"{name}: the point was not reached, or not once: {outcome}")
    run.expect_same_weights(undisturbed)
    run.expect_only_whole_checkpoints()


def main():
    with Workshop() as workshop:
        whole = Run(workshop, "whole", FLAGS)
        whole.expect(0, "done", whole.launch())
        for rank in range(4):
            for point in EVERY_RANK + (RANK_ZERO if rank == 0 else []):
                strike(workshop, point, rank, "--async_checkpoints", whole.weights())
        for point in EVERY_RANK + RANK_ZERO:
            strike(workshop, point, 0, "--noasync_checkpoints", whole.weights())
    print("ok")


main()
