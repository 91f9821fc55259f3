#!/usr/bin/python3
"""Kills a training run again and again at random, lets it restart itself, and proves that nothing was lost.

  tests/faults/punisher.py --seconds=1800 --longest=60 -- --flagfile=configs/coffee.flags --data=datasets/coffee --dp=2 --tp=2

launches a run and an undisturbed twin of it, kills a random rank of the first (kill -9) at random moments until --seconds or --kills
are over, and lets it end. moat gives a run up when three attempts in a row end without a new checkpoint: the third waits for one
before it is killed. It succeeds when both end with the same state hash and every kill was answered by a new attempt. Each kill
is a JSON line in --log: when, whom, in which phase and step, where the run went on and how long the next step took to come. The last
line sums up; "effective" is the time of the steps that count, each once, over the wall time less what `mpirun -n RANKS true` takes a
restart.
"""
import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from training_run import Run, fail  # noqa: E402


class Punished(Run):
    """A run by flags of one's own."""

    def __init__(self, folder, name, flags):
        self.name, self.root = name, folder
        self.path = os.path.join(folder, name)
        self.log = os.path.join(folder, f"{name}.log")
        self.flags = [f"--run_root={folder}", f"--run={name}", *flags]
        self.process = None
        self.read, self.entries = 0, []

    def lines(self):
        """What metrics.jsonl says of steps, in order. Each byte is read once: whoever waits asks often, on the cores of the run."""
        try:
            with open(os.path.join(self.path, "metrics.jsonl"), "rb") as file:
                file.seek(self.read)
                text = file.read()
        except OSError:
            return self.entries
        whole = text[:text.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn by a kill
            if "loss" in entry:
                self.entries.append(entry)
        return self.entries

    def hash(self):
        found = re.findall(r"state hash ([0-9a-f]{16})", self.said())
        return found[-1] if found else None


class Ended(Exception):
    pass


def wait_for_step(run, attempt, seconds=120):
    """The first step of an attempt that is newer, and when its line was there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if run.process.poll() is not None:
            raise Ended()
        lines = run.lines()
        if lines and lines[-1]["attempt"] > attempt:
            return next(line for line in lines if line["attempt"] == lines[-1]["attempt"]), time.monotonic()
        time.sleep(0.01)
    fail(f"no step within {seconds} s of a kill: {run.said()[-3000:]}")


def kill_one(run, chance, number):
    """Kills a random rank; raises Ended when the run ended first."""
    ranks = run.ranks()
    before = run.lines()
    if not ranks or not before:
        raise Ended()
    rank = chance.choice(sorted(ranks))
    trial = {"kill": number, "rank": rank, "phase": run.phase(rank), "step": before[-1]["step"],
             "attempt": before[-1]["attempt"]}
    killed = time.monotonic()
    try:
        os.kill(ranks[rank], signal.SIGKILL)
    except ProcessLookupError:
        raise Ended() from None
    try:
        first, there = wait_for_step(run, before[-1]["attempt"])
    except Ended:  # nothing was left to do but to end
        return {**trial, "resumed_at": before[-1]["step"], "lost_steps": 0, "seconds_to_next_step": None}
    return {**trial, "resumed_at": first["step"] - 1, "lost_steps": before[-1]["step"] - (first["step"] - 1),
            "seconds_to_next_step": round(there - killed, 3)}


def wait_for_checkpoint(run, newest, seconds=120):
    """Until there is another than `newest`."""
    deadline = time.monotonic() + seconds
    while run.checkpoints()[-1:] == newest:
        if run.process.poll() is not None:
            raise Ended()
        if time.monotonic() > deadline:
            fail(f"no checkpoint within {seconds} s: {run.said()[-3000:]}")
        time.sleep(0.01)


def punish(run, options, seed, log):
    chance = random.Random(seed)
    begun, trials = time.monotonic(), []
    newest, barren = [], 0  # the checkpoint of the last kill, and kills since it appeared
    try:
        first, _ = wait_for_step(run, -1)
        while len(trials) < options.kills and time.monotonic() - begun < options.seconds:
            pause = chance.uniform(options.shortest, options.longest)
            try:
                run.process.wait(pause)
                raise Ended()
            except subprocess.TimeoutExpired:
                pass
            if barren >= 2:
                wait_for_checkpoint(run, newest)
            barren = barren + 1 if run.checkpoints()[-1:] == newest else 1
            newest = run.checkpoints()[-1:]
            trials.append(kill_one(run, chance, len(trials) + 1))
            print(json.dumps({"seed": seed, "after": round(time.monotonic() - begun, 1), **trials[-1]}), file=log, flush=True)
    except Ended:
        pass
    code = run.wait(options.seconds + 3600)
    return trials, code, time.monotonic() - begun


def seconds_of_mpirun(ranks):
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), "true"]
    env = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        subprocess.run(command, check=True, env=env)
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


def sum_up(run, twin, seed, trials, code, wall, mpirun):
    useful = sum({line["step"]: line["ms"] for line in run.lines()}.values()) / 1e3
    restarts = run.outcome()["attempts"] - 1
    return {"seed": seed, "kills": len(trials), "restarts": restarts, "exit_code": code, "wall_seconds": round(wall, 1),
            "seconds_of_counted_steps": round(useful, 1), "seconds_of_mpirun": round(mpirun, 3),
            "effective": round(useful / (wall - restarts * mpirun), 4),
            "median_seconds_to_next_step": round(statistics.median([t["seconds_to_next_step"] for t in trials if t["seconds_to_next_step"]] or [0]), 3),
            "hash": run.hash(), "twin_hash": twin.hash(), "same_bits": run.hash() is not None and run.hash() == twin.hash()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800, help="kill for so long")
    parser.add_argument("--kills", type=int, default=10**9, help="or so often")
    parser.add_argument("--shortest", type=float, default=5, help="seconds between kills, at least")
    parser.add_argument("--longest", type=float, default=60, help="and at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1, help="so many, one after the other, each with the next seed and the same twin")
    parser.add_argument("--beside", action="store_true", help="the twin runs beside the first, not before it")
    parser.add_argument("--log", help="file of JSON lines; default: stdout")
    parser.add_argument("flags", nargs="+", help="of moat launch, after --")
    options = parser.parse_args()
    log = open(options.log, "a") if options.log else sys.stdout
    with tempfile.TemporaryDirectory(prefix="moat-punished-") as folder:
        twin = Punished(folder, "twin", options.flags)
        twin.start()
        if not options.beside:
            twin.wait(options.seconds * 2 + 3600)
        for seed in range(options.seed, options.seed + options.runs):
            run = Punished(folder, f"punished-{seed}", options.flags)
            run.start("--restarts=1000000")
            trials, code, wall = punish(run, options, seed, log)
            mpirun = seconds_of_mpirun(1 + max([line["rank"] for line in trials] or [0]))
            twin_code = twin.process.wait(options.seconds * 2 + 3600)
            summary = sum_up(run, twin, seed, trials, code, wall, mpirun)
            print(json.dumps(summary), file=log, flush=True)
            if code != 0 or twin_code != 0 or not summary["same_bits"] or summary["restarts"] != len(trials) or not trials:
                fail(f"{summary}: {run.said()[-3000:]}")
            shutil.rmtree(run.path)


if __name__ == "__main__":
    main()
