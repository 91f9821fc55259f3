#!/usr/bin/python3
"""A sweep whose driver is killed half-way goes on with what is missing, and its comparison says what the runs' metrics say."""
import csv
import io
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import MODEL, MOAT, STEPS, Workshop, eventually, fail  # noqa: E402

RUNS = [f"cell-{cell:03}-seed-{seed}" for cell in range(4) for seed in (5, 6)]


class Sweep:
    def __init__(self, workshop):
        self.runs, self.path, self.log = workshop.runs, os.path.join(workshop.runs, "s"), os.path.join(workshop.path, "sweep.log")
        self.flags = [f"--data={workshop.data}", f"--run_root={self.runs}", "--run=s", *MODEL, *STEPS, "--steps=40", "--seed=5", "--seeds=2",
                      "--vary=lr=1e-3,1e-2", "--vary=clip=0,1", "--parallel=2", "--eval_every=0"]

    def start(self, *more):
        with open(self.log, "a") as log:
            return subprocess.Popen([MOAT, "sweep", *self.flags, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(self, *more):
        return subprocess.run([MOAT, "sweep", *self.flags, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def outcome(self, run):
        try:
            with open(os.path.join(self.path, run, "outcome.json")) as file:
                return json.load(file)
        except OSError:
            return {"state": "absent", "attempts": 0}

    def done(self):
        return [run for run in RUNS if self.outcome(run)["state"] == "done"]

    def plan(self):
        with open(os.path.join(self.path, "sweep.tsv")) as file:
            return file.read()

    def lines(self, run):
        with open(os.path.join(self.path, run, "metrics.jsonl")) as file:
            return [json.loads(line) for line in file]


def refused(sweep):
    for flags, text in [(["--vary=heads=4,5"], "cell 1 (lr=0.001 clip=0 heads=5)"), (["--vary=hedas=4"], "did you mean --heads"),
                        (["--data=no-such-set"], "no-such-set")]:
        done = sweep.ask(*flags)
        if done.returncode != 2 or text not in done.stderr or os.path.exists(sweep.path):
            fail(f"{flags}: {done.returncode}, {done.stderr}")
    plan = sweep.ask("--dry_run").stdout
    if [line.split("\t")[-1] for line in plan.splitlines()[1:]] != RUNS or os.path.exists(sweep.path):
        fail(f"the dry run says\n{plan}")
    return plan


def killed_and_continued(sweep, plan):
    driver = sweep.start()
    eventually(60, "three runs are done", lambda: len(sweep.done()) >= 3)
    driver.kill()
    driver.wait()
    before = {run: os.stat(os.path.join(sweep.path, run, "outcome.json")).st_mtime_ns for run in sweep.done()}
    if len(before) >= len(RUNS):
        fail("the driver was killed when all was done")
    if sweep.plan() != plan:
        fail(f"sweep.tsv is\n{sweep.plan()}\nand the dry run said\n{plan}")
    other = sweep.ask("--steps=41")
    if other.returncode != 2 or "- --steps=40\n+ --steps=41" not in other.stderr:
        fail(f"another sweep of that name: {other.returncode}, {other.stderr}")
    if (code := sweep.start().wait(120)) != 0:
        with open(sweep.log) as log:
            fail(f"the sweep went on and ended with {code}: {log.read()[-3000:]}")
    if sweep.done() != RUNS or sweep.plan() != plan:
        fail(f"done are {sweep.done()}, planned\n{sweep.plan()}")
    for run, when in before.items():
        if os.stat(os.path.join(sweep.path, run, "outcome.json")).st_mtime_ns != when or sweep.outcome(run)["attempts"] != 1:
            fail(f"{run} was done and ran again")


def paired(sweep):
    """The same seed means the same initial weights and data: the first loss, before any update, is equal in all cells."""
    firsts = {run: next(line["loss"] for line in sweep.lines(run) if line.get("step") == 1 and "loss" in line) for run in RUNS}
    for seed in ("5", "6"):
        if len({loss for run, loss in firsts.items() if run.endswith(seed)}) != 1:
            fail(f"seed {seed} is not the same in all cells: {firsts}")
    if firsts[RUNS[0]] == firsts[RUNS[1]]:
        fail(f"two seeds are the same: {firsts}")


def compared(sweep):
    ask = lambda *words: subprocess.run([MOAT, "compare", *words], check=True, capture_output=True, text=True).stdout  # noqa: E731
    cells = json.loads(ask("s", f"--run_root={sweep.runs}", "--json"))["cells"]
    rows = list(csv.DictReader(io.StringIO(ask("s", f"--run_root={sweep.runs}", "--csv"))))
    losses = [[line["val_loss"] for line in sweep.lines(run) if "val_loss" in line][-1] for run in RUNS]
    first = losses[:2]
    means = []
    for i, (cell, row) in enumerate(zip(cells, rows, strict=True)):
        mine = losses[2 * i:2 * i + 2]
        means.append(statistics.mean(mine))
        differences = [a - b for a, b in zip(mine, first)]
        for found, wanted in [(cell["mean"], means[-1]), (float(row["mean"]), means[-1]), (cell["sd"], statistics.stdev(mine)),
                              (cell["difference"], statistics.mean(differences)), (cell["difference_sd"], statistics.stdev(differences))]:
            if abs(found - wanted) > 1e-12:
                fail(f"cell {i}: {found} instead of {wanted}: {cell}, {row}")
        if cell["n"] != 2 or cell["missing"]:
            fail(f"cell {i} misses runs: {cell}")
    if [cell["best"] for cell in cells] != [mean == min(means) for mean in means]:
        fail(f"the best of {means}: {cells}")
    os.rename(os.path.join(sweep.path, RUNS[3], "outcome.json"), os.path.join(sweep.path, RUNS[3], "hidden"))
    cell = json.loads(ask("s", f"--run_root={sweep.runs}", "--json"))["cells"][1]
    if cell["n"] != 1 or cell["missing"] != [RUNS[3]] or cell["sd"] is not None:
        fail(f"a run is gone: {cell}")
    if "cell-000-seed-5" not in ask("cell-000-seed-5", "cell-001-seed-5", f"--run_root={sweep.path}"):
        fail("two runs are not compared")


def told_to_stop(sweep):
    """moat stop reaches the driver, as Ctrl-C does, and through it the runs, which save; the sweep says 78."""
    driver = sweep.start("--run=stopped", "--steps=100000")
    run = os.path.join(sweep.runs, "stopped", RUNS[0])
    eventually(60, "the first run trains", lambda: os.path.exists(os.path.join(run, "metrics.jsonl")))
    stop = subprocess.run([MOAT, "stop", "stopped", f"--run_root={sweep.runs}"], capture_output=True, text=True)
    if stop.returncode != 0 or f"told process {driver.pid}" not in stop.stderr or RUNS[0] not in stop.stdout:
        fail(f"moat stop: {stop.returncode}, {stop.stderr}, {stop.stdout}")
    code = driver.wait(60)
    with open(os.path.join(run, "outcome.json")) as file:
        outcome = json.load(file)
    if code != 78 or outcome["state"] != "stopped":
        fail(f"told to stop: {code}, {outcome}")


def main():
    with Workshop() as workshop:
        sweep = Sweep(workshop)
        killed_and_continued(sweep, refused(sweep))
        paired(sweep)
        compared(sweep)
        told_to_stop(sweep)


if __name__ == "__main__":
    main()
