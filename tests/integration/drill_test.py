#!/usr/bin/python3
"""Drills: a killed rank and a preemption recover to equal bits; a planted difference is found."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import MODEL, MOAT, STEPS, Workshop, fail  # noqa: E402


def drill(workshop, name, *more):
    flags = [f"--data={workshop.data}", f"--run_root={workshop.runs}", f"--run={name}", *MODEL, *STEPS, "--steps=200", "--dp=2",
             "--checkpoint_every=20", "--eval_every=0", "--json"]
    return subprocess.run([MOAT, "drill", *flags, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def equal(workshop, name, *more):
    done = drill(workshop, name, "--kill_at=30", *more)
    if done.returncode != 0:
        fail(f"{name}: {done.returncode}, {done.stdout}, {done.stderr}")
    report = json.loads(done.stdout)
    if not report["equal"] or report["steps"] != 200 or report["attempts"] != 2 or len(report["hash_drilled"]) < 8:
        fail(f"{name}: {report}")
    return done.stderr


def planted(workshop, name):
    """The runs are done, so the same drill only compares them: once with another loss, once with another state."""
    metrics, log = (os.path.join(workshop.runs, name, part) for part in ("drilled/metrics.jsonl", "drilled.log"))
    for path, old, new, text in [(metrics, r'("step":150,"loss":)[0-9.]+', r"\g<1>1.5", '"differs_at": 150'),
                                 (log, r"state hash \w{4}", "state hash 0000", '"differs_at": null')]:
        with open(path) as file:
            kept = file.read()
        changed = re.sub(old, new, kept)
        if changed == kept:
            fail(f"nothing to change in {path}: {kept[:500]}")
        with open(path, "w") as file:
            file.write(changed)
        done = drill(workshop, name, "--kill_at=30")
        if done.returncode != 1 or text not in done.stdout or json.loads(done.stdout)["equal"]:
            fail(f"planted in {path}: {done.returncode}, {done.stdout}, {done.stderr}")
        with open(path, "w") as file:
            file.write(kept)


def main():
    with Workshop() as workshop:
        if "killed rank 1 at step" not in (said := equal(workshop, "killed", "--kill_rank=1")):
            fail(f"no rank was killed: {said}")
        if "preempted the run at step" not in (said := equal(workshop, "preempted", "--how=preempt")):
            fail(f"the run was not preempted: {said}")
        planted(workshop, "killed")
        if (done := drill(workshop, "late", "--kill_at=200")).returncode != 2 or "expected a step from 1 to 199" not in done.stderr:
            fail(f"a kill at the end: {done.returncode}, {done.stderr}")


if __name__ == "__main__":
    main()
