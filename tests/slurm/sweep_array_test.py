#!/usr/bin/python3
"""A sweep as an array of a real Slurm, a private one: a driver that is killed before it submits and again half-way, a task that is
preempted and one that is cancelled end in every run done once, with the weights of the same run trained here."""
import contextlib
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, "tests/support")
from private_slurm import Cluster, Job, slurm  # noqa: E402
from training_run import MODEL, MOAT, STEPS, Run, Workshop, eventually, fail  # noqa: E402

SLOW = {"MOAT_FAULT": "trainer.step:slow:0"}  # a tenth of a second each, so that steps take time and no processor
RUNS = [f"cell-{cell:03}-seed-{seed}" for cell in range(4) for seed in (5, 6)]
OF_RUNS = [*MODEL, *STEPS, "--dp=1", "--steps=30", "--eval_every=0"]
PREEMPTED, CANCELLED = 0, 7


class Sweep:
    def __init__(self, workshop, name, *more):
        self.name, self.root, self.path = name, workshop.runs, os.path.join(workshop.runs, name)
        self.script = os.path.join(self.path, "launch", "job.sbatch")
        self.flags = [f"--data={workshop.data}", f"--run_root={self.root}", f"--run={name}", *OF_RUNS, "--seed=5", "--seeds=2",
                      "--vary=lr=1e-3,1e-2", "--vary=clip=0,1", "--parallel=2", "--on=slurm", "--starter=mpirun", *more]
        self.runs = [Job(workshop, run, [], root=self.path) for run in RUNS]

    def start(self, *more, env=None):
        return subprocess.Popen([MOAT, "sweep", *self.flags, *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env={**os.environ, **SLOW, **(env or {})})

    def ask(self, *more, env=None):
        return subprocess.run([MOAT, "sweep", *self.flags, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, **SLOW, **(env or {})})

    def said(self, *more):
        done = self.ask("--json", *more)
        if done.returncode != 0:
            fail(f"{self.name} is not submitted: {done.stderr}")
        return json.loads(done.stdout)

    def state(self, number):
        try:
            return self.runs[number].outcome()["state"]
        except OSError:
            return "absent"

    def numbers(self, *states):
        return [number for number in range(len(RUNS)) if self.state(number) in states]

    def plan(self):
        with open(os.path.join(self.path, "sweep.tsv")) as file:
            return file.read()

    def queue(self):
        """State of each task in the queue, by its id."""
        lines = slurm("squeue", "--array", "--noheader", "--format=%i|%T|%o").splitlines()
        return {id: state for id, state, script in (line.split("|", 2) for line in lines) if script == self.script}


def refused(sweep):
    """What Slurm would never start is refused at once, and nothing is made."""
    cases = [(["--partition=wrk"], "did you mean work?"), (["--nodes=9", "--dp=9", "--global_batch=9", "--reduction=fast"], "partition work has 3"),
             (["--vary=dp=1,2"], "cell 1 (lr=0.001 clip=0 dp=2) asks for 1 node x 2 ranks"),
             (["--seeds=251"], "the last task that this cluster's arrays may have is 1000"), (["--time=soon"], "--time=soon: expected minutes")]
    for flags, text in cases:
        done = sweep.ask(*flags)
        if done.returncode != 2 or text not in done.stderr or os.path.exists(sweep.path):
            fail(f"{flags}: exit code {done.returncode}, {done.stderr}")
    done = sweep.ask("--sbatch=--begin=never")
    if done.returncode != 2 or "sbatch refuses" not in done.stderr or sweep.numbers("absent") != list(range(8)):
        fail(f"sbatch refuses: exit code {done.returncode}, {done.stderr}, {sweep.numbers('absent')}")


def killed_before_it_submits(workshop, sweep):
    """sbatch that never answers: the plan and the outcomes are written, and there is no job."""
    fake, called = os.path.join(workshop.path, "fake"), os.path.join(workshop.path, "called")
    os.mkdir(fake)
    with open(os.path.join(fake, "sbatch"), "w") as file:
        file.write(f"#!/bin/sh\ntouch '{called}'\nexec sleep 600\n")
    os.chmod(os.path.join(fake, "sbatch"), 0o755)
    driver = sweep.start(env={"PATH": f"{fake}:{os.environ['PATH']}"})
    eventually(30, "sbatch is called", lambda: os.path.exists(called))
    driver.kill()
    driver.wait()
    if sweep.numbers("queued") != list(range(8)) or sweep.queue():
        fail(f"killed before it submitted: {sweep.numbers('queued')}, {sweep.queue()}")
    return sweep.plan()


def killed_half_way(sweep, plan):
    dry = sweep.ask("--dry_run").stdout
    driver = sweep.start("--wait")
    eventually(30, "the array is in the queue", lambda: len(sweep.queue()) == 8)
    with open(sweep.script) as file:
        if file.read() != dry or "#SBATCH --array=0-7%2\n" not in dry:
            fail(f"the dry run said\n{dry}")
    array = next(iter(sweep.queue())).split("_")[0]
    slurm("scancel", f"{array}_{CANCELLED}")
    sweep.runs[PREEMPTED].until_attempt_steps(0)
    with contextlib.suppress(subprocess.TimeoutExpired):  # as preemption does, once: scancel repeats it while others are pending
        subprocess.run(["scancel", "--batch", "--signal=USR1", f"{array}_{PREEMPTED}"], timeout=2)
    here = sweep.ask("--on=local")
    if here.returncode != 2 or "go on with --on=slurm" not in here.stderr:
        fail(f"it is on Slurm, and may start here: {here.returncode}, {here.stderr}")

    def half_way():
        states = list(sweep.queue().values())
        if states.count("RUNNING") > 2:
            fail(f"more than two run at a time: {sweep.queue()}")
        return len(sweep.numbers("done")) >= 2 and "RUNNING" in states and "PENDING" in states
    eventually(60, "two runs are done, others run, others are pending", half_way)
    driver.kill()
    driver.wait()
    if sweep.plan() != plan:
        fail(f"sweep.tsv was\n{plan}and is\n{sweep.plan()}")
    other = sweep.ask("--steps=31")
    if other.returncode != 2 or "- --steps=30\n+ --steps=31" not in other.stderr:
        fail(f"another sweep of that name: {other.returncode}, {other.stderr}")
    return array


def continued(sweep, plan, array):
    said = sweep.said()
    if said["submitted"] != [CANCELLED] or said["job"] == array:
        fail(f"only run {CANCELLED} is missing: {said}")
    with open(sweep.script) as file:
        if f"#SBATCH --array={CANCELLED}%2\n" not in file.read():
            fail("the script has another array")
    driver = sweep.start("--wait", "--json")
    try:
        output = driver.communicate(timeout=90)[0]
    except subprocess.TimeoutExpired:
        driver.kill()
        fail(f"the sweep has not ended: {sweep.queue()}, done are {sweep.numbers('done')}: {driver.communicate()[0]}")
    if driver.returncode != 0 or '"submitted": []' not in output or sweep.numbers("done") != list(range(8)) or sweep.plan() != plan:
        fail(f"{driver.returncode}, done are {sweep.numbers('done')}: {output}")
    for number, run in enumerate(sweep.runs):
        job = f"{said['job'] if number == CANCELLED else array}_{number}"
        codes = [75, 0] if number == PREEMPTED else [0]
        legs = run.legs_once(len(codes))
        if [(leg["job"], leg["exit_code"]) for leg in legs] != [(job, code) for code in codes] or run.outcome()["attempts"] != len(codes):
            fail(f"{run.name} was to be trained once, by {job}: {legs}, {run.outcome()}")
    if (said := sweep.said())["submitted"] or said["done"] != 8 or said["job"]:
        fail(f"all is done: {said}")


def equal_to_local(workshop, sweep):
    """The run that was preempted has the weights of the same flags launched here."""
    run = Run(workshop, "here", [*OF_RUNS, "--lr=1e-3", "--clip=0", "--seed=5"])
    run.expect(0, "done", run.launch())
    sweep.runs[PREEMPTED].expect_same_weights(run.weights())


def looked_at(sweep):
    ask = lambda *words: json.loads(subprocess.run([MOAT, *words, "--json"], check=True, capture_output=True, text=True).stdout)  # noqa: E731
    cells = ask("compare", sweep.name, f"--run_root={sweep.root}")["cells"]
    if [(cell["n"], cell["missing"]) for cell in cells] != [(2, [])] * 4:
        fail(f"every cell has two runs: {cells}")
    if (status := ask("status", RUNS[3], f"--run_root={sweep.path}"))["state"] != "done":
        fail(f"{RUNS[3]} is done: {status}")


def stopped(workshop):
    """moat stop: what is pending leaves the queue and never starts, what runs saves."""
    sweep = Sweep(workshop, "stopped", "--parallel=1", "--steps=1000000")
    array = sweep.said()["job"]
    sweep.runs[0].until_attempt_steps(0)
    if (status := sweep.runs[1].status())["state"] != "queued" or status["job"]["id"] != f"{array}_1":
        fail(f"the second run is pending: {status}")
    done = subprocess.run([MOAT, "stop", "stopped", f"--run_root={sweep.root}", "--json"], capture_output=True, text=True)
    if done.returncode != 0 or "told 8 jobs" not in done.stderr:
        fail(f"moat stop: {done.returncode}, {done.stderr}")
    runs = {run["run"]: run for run in json.loads(done.stdout)}
    if [(runs[run]["state"], runs[run]["exit_code"], runs[run]["attempts"]) for run in RUNS] != [("stopped", 78, 1)] + [("stopped", 78, 0)] * 7:
        fail(f"stopped: {runs}")
    if not runs[RUNS[0]]["resumable"]:
        fail(f"it ended without a checkpoint: {runs[RUNS[0]]}")


def main():
    with Workshop() as workshop, Cluster(os.path.join(workshop.path, "slurm")):
        sweep = Sweep(workshop, "s")
        refused(sweep)
        plan = killed_before_it_submits(workshop, sweep)
        array = killed_half_way(sweep, plan)
        continued(sweep, plan, array)
        equal_to_local(workshop, sweep)
        looked_at(sweep)
        stopped(workshop)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
