#!/usr/bin/python3
"""Runs that copy every step to their nodes and save nothing else lose a step at most when a rank is killed, and end with the bits of an
undisturbed run; without the copies, or with damaged ones, they go on from the last checkpoint."""
import glob
import json
import os
import random
import shutil
import signal
import sys

sys.path.insert(0, "tests/faults")
sys.path.insert(0, "tests/support")
from punisher import kill_one  # noqa: E402
from training_run import Run, Workshop, eventually, fail  # noqa: E402

GRID = ["--dp=2", "--tp=2", "--zero=1", "--eval_every=0", "--lr=1e-3"]
KILLS = 4


class Copying(Run):
    """A run with a folder for its copies; what punisher needs of one, besides."""

    def __init__(self, workshop, name, flags):
        self.copies = os.path.join(workshop.path, "node of " + name)
        os.makedirs(self.copies)
        super().__init__(workshop, name, [*flags, f"--local_checkpoint_dir={self.copies}"])

    def lines(self):
        with open(os.path.join(self.path, "metrics.jsonl")) as file:
            return [json.loads(line) for line in file if '"loss"' in line and line.endswith("\n")]


def killed_again_and_again(workshop, undisturbed, steps):
    run = Copying(workshop, "copying", [*GRID, f"--steps={steps}", "--checkpoint_every=100000"])
    chance = random.Random(11)
    run.start(f"--restarts={KILLS}")
    for number in range(KILLS):
        reached = run.steps() + chance.randint(5, 30)
        run.until_step(reached)
        trial = kill_one(run, chance, number)
        if trial["lost_steps"] > 1:
            fail(f"a kill cost more than a step: {trial}: {run.said()[-2000:]}")
    run.expect(0, "done", run.wait(120))
    run.expect_same_weights(undisturbed)
    if os.listdir(run.copies):
        fail(f"a run that is over leaves {os.listdir(run.copies)} on its node")


def without_copies_or_with_damaged_ones(workshop, undisturbed, steps):
    """The shared tier stays the truth."""
    for name, what in [("lost", lambda run: shutil.rmtree(run.copies)), ("damaged", damage)]:
        run = Copying(workshop, name, [*GRID, f"--steps={steps}", "--checkpoint_every=10"])
        run.start()
        run.until_step(24)
        eventually(30, "step 20 is saved", lambda: any(path.endswith("20") for path in run.checkpoints()))
        os.kill(run.ranks()[1], signal.SIGKILL)
        run.expect(76, "failed", run.wait())
        what(run)
        run.start()
        run.expect(0, "done", run.wait())
        run.expect_same_weights(undisturbed)
        if name == "damaged" and "the bytes of tensor" not in run.said():
            fail(f"nothing is said of a damaged copy: {run.said()}")


def rolled_back_without_copies(workshop, undisturbed, steps):
    """What an attempt without copies does is the line of the run: copies of before do not count any more."""
    run = Copying(workshop, "rolled_back", [*GRID, f"--steps={steps}", "--checkpoint_every=10", "--keep_every=10"])
    for steps_done, more in [(60, []), (4, ["--resume=10", "--local_checkpoint_dir=", "--checkpoint_every=100000"])]:
        before = run.steps()
        run.start(*more)
        run.until_step(before + steps_done)
        os.kill(run.ranks()[1], signal.SIGKILL)
        run.expect(76, "failed", run.wait())
    if not glob.glob(os.path.join(glob.escape(run.copies), "*", "*", "*", "rank-00001.part")):
        fail("there are no copies that must not count")
    run.start("--resume=auto")
    run.expect(0, "done", run.wait())
    if "place-" in run.said():
        fail(f"a copy of before the roll-back was taken: {run.said()}")
    run.expect_same_weights(undisturbed)
    workshop.moat("checkpoint", "verify", os.path.join(run.path, "ckpt"))


def damage(run):
    for path in glob.glob(os.path.join(glob.escape(run.copies), "*", "*", "*", "rank-00002.safetensors")):
        with open(path, "r+b") as file:
            file.seek(-64, os.SEEK_END)
            byte = file.read(1)
            file.seek(-64, os.SEEK_END)
            file.write(bytes([byte[0] ^ 1]))


def main():
    with Workshop() as workshop:
        steps = 200
        twin = Run(workshop, "undisturbed", [*GRID, f"--steps={steps}", "--checkpoint_every=100000"])
        twin.expect(0, "done", twin.launch())
        killed_again_and_again(workshop, twin.weights(), steps)
        without_copies_or_with_damaged_ones(workshop, twin.weights(), steps)
        rolled_back_without_copies(workshop, twin.weights(), steps)


if __name__ == "__main__":
    main()
