#!/usr/bin/python3
"""What launch/quickstart says at its end, of a small run that saved, was preempted and resumed."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import Run, Workshop, fail  # noqa: E402


def main():
    with Workshop() as workshop:
        run = Run(workshop, "quick", ["--dp=2", "--steps=200", "--eval_every=50", "--checkpoint_every=50", "--lr=1e-3"])
        run.start().until_step(60)
        run.signal(signal.SIGUSR1)
        run.expect(75, "preempted", run.wait())
        run.expect(0, "done", run.launch())
        baselines = os.path.join(workshop.path, "baselines.json")
        with open(baselines, "w") as file:
            file.write(workshop.moat("data", "stat", workshop.data, "--baselines", "--json"))
        done = subprocess.run(["/usr/bin/python3", "launch/quickstart_report.py", os.path.join(run.path, "metrics.jsonl"), baselines],
                              capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if done.returncode != 0 or len(lines) < 4 or not lines[0].endswith("at step 200") or not lines[1].startswith("resumed: ") or \
                not lines[2].startswith("validation bits per byte: model ") or "below the bigram model" not in lines[3]:
            fail(f"the report is {done.stdout}{done.stderr}")
    print("ok")


main()
