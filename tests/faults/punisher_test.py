#!/usr/bin/python3
"""A run on 2 x 2 ranks that is killed at random a few times ends by itself with the bits of one that nobody disturbed."""
import json
import os
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import MODEL, STEPS, Workshop, fail  # noqa: E402


def main():
    with Workshop() as workshop:
        log = os.path.join(workshop.path, "log")
        flags = [f"--data={workshop.data}", *MODEL, *STEPS, "--dp=2", "--tp=2", "--lr=1e-3", "--steps=400", "--checkpoint_every=10",
                 "--eval_every=0"]
        subprocess.run([sys.executable, "tests/faults/punisher.py", "--kills=4", "--shortest=0.05", "--longest=0.5", "--seed=7",
                        f"--log={log}", "--", *flags], check=True)
        with open(log) as file:
            *kills, summary = [json.loads(line) for line in file]
        if len(kills) < 2 or not summary["same_bits"] or any(kill["lost_steps"] < 0 for kill in kills):
            fail(f"{kills}, {summary}")
    print("ok")


main()
