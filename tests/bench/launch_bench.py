#!/usr/bin/python3
"""What `moat launch` costs beside mpirun, and how long failures take: medians, as docs/results/launch.md has them.

  tests/bench/launch_bench.py [--rounds=9]

Every round measures all of them, one after the other, with two ranks of the quickstart model's size on a tiny data set.
"""
import argparse
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, "tests/support")
from training_run import Run, Workshop, eventually, fail  # noqa: E402

FLAGS = ["--dp=2", "--checkpoint_every=5", "--eval_every=0", "--lr=1e-3", "--layers=4", "--width=128", "--heads=4", "--kv_heads=2", "--ffn=344"]


def alone(pids):
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def beside_mpirun(workshop, number):
    """Seconds of `moat launch` over those of the same mpirun by itself, both of the whole run of two steps."""
    run = Run(workshop, f"whole-{number}", [*FLAGS, "--steps=2"])
    begin = time.monotonic()
    run.expect(0, "done", run.launch())
    launched = time.monotonic() - begin
    bare = Run(workshop, f"bare-{number}", [*FLAGS, "--steps=2"])
    line = workshop.moat("launch", *bare.flags, "--dry_run").strip().splitlines()[-1]
    os.makedirs(bare.path)
    with open(os.path.join(run.path, "run.flags")) as theirs, open(os.path.join(bare.path, "run.flags"), "w") as ours:
        ours.write(theirs.read().replace(run.name, bare.name))
    os.makedirs(os.path.join(bare.path, "logs", "attempt-00"))
    begin = time.monotonic()
    done = subprocess.run(["sh", "-c", f"env {line}"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"mpirun by itself: {done.stderr[-2000:]}")
    return launched - (time.monotonic() - begin)


def until_gone(run, number):
    """Seconds from a signal to rank 1 until all processes of the attempt are gone and the launcher has exited."""
    run.start().until_step(20)
    ranks = list(run.ranks().values())
    begin = time.monotonic()
    os.kill(ranks[1], number)
    run.expect(76, "failed", run.wait())
    eventually(10, "the ranks are gone", lambda: alone(ranks))
    return time.monotonic() - begin


def dead_rank(workshop, number):
    return until_gone(Run(workshop, f"dead-{number}", [*FLAGS, "--steps=100000"]), signal.SIGKILL)


def hung_rank(workshop, number):
    """Its deadline is learned from the run's own steps."""
    return until_gone(Run(workshop, f"hung-{number}", [*FLAGS, "--steps=100000"]), signal.SIGSTOP)


def next_step(workshop, number):
    """Seconds from kill -9 of a rank until the next attempt has done a step."""
    run = Run(workshop, f"again-{number}", [*FLAGS, "--steps=100000"])
    run.start("--restarts=1").until_step(20)
    begin = time.monotonic()
    os.kill(run.ranks()[1], signal.SIGKILL)

    def trains():
        with open(os.path.join(run.path, "metrics.jsonl")) as file:
            return any('"attempt":1,' in line and '"loss"' in line for line in file)
    run.until("a step of the next attempt", trains)
    seconds = time.monotonic() - begin
    run.signal(signal.SIGINT)
    run.wait()
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    measures = {"moat launch over mpirun": beside_mpirun, "dead rank to all exited": dead_rank, "failure to next step": next_step,
                "hung rank to named and gone": hung_rank}
    seconds = {what: [] for what in measures}
    with Workshop() as workshop:
        for number in range(rounds):
            for what, measure in measures.items():
                seconds[what].append(measure(workshop, number))
            print(f"round {number + 1}/{rounds}: " + ", ".join(f"{values[-1]:.2f}" for values in seconds.values()), flush=True)
    print(f"{'':28}  median     min     max  (s; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores)")
    for what, values in seconds.items():
        print(f"{what:28} {statistics.median(values):7.2f} {min(values):7.2f} {max(values):7.2f}")


main()
