#!/usr/bin/python3
"""Runs submitted to a real Slurm, a private one: what is submitted, refused and cancelled; and, under tests/run --all,
what is preempted, out of time and queued again, all by itself, and ends with the state of a run that nobody disturbed."""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import MOAT, Run, Workshop, eventually, fail  # noqa: E402

FLAGS = ["--dp=2", "--checkpoint_every=500", "--eval_every=0", "--lr=1e-3"]
TWO_NODES = ["--on=slurm", "--nodes=2"]
SECONDS = 42  # of training, in the run that is out of time: Slurm looks at limits every 30 s, 10 s after the start at the earliest


class Cluster:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        up = subprocess.run(["tests/slurm/cluster", "up", self.path], capture_output=True, text=True)
        if up.returncode == 77:
            print(up.stdout)
            sys.exit(77)
        if up.returncode != 0:
            fail(f"no cluster: {up.stdout}{up.stderr}")
        os.environ["SLURM_CONF"] = os.path.join(self.path, "slurm.conf")
        return self

    def __exit__(self, *_):
        subprocess.run(["tests/slurm/cluster", "down", self.path], check=True)


def slurm(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class Job(Run):
    """A run that is a job."""

    def ask(self, *more, flags=TWO_NODES, env=None):
        return subprocess.run([MOAT, "launch", *self.flags, *flags, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env={**os.environ, **(env or {})})

    def submit(self, *more):
        done = self.ask("--parsable", *more)
        if done.returncode != 0:
            fail(f"{self.name} is not submitted: {done.stderr}")
        self.job = done.stdout.strip()
        return self

    def status(self):
        done = subprocess.run([MOAT, "status", self.name, f"--run_root={self.root}", "--json"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def log_of_job(self):
        with open(os.path.join(self.path, "launch", f"job-{self.job}.out")) as file:
            return file.read()

    def legs(self):
        try:
            with open(os.path.join(self.path, "launch", "legs.jsonl")) as file:
                return [json.loads(line) for line in file]
        except OSError:
            return []

    def until_attempt_steps(self, attempt):
        def steps():
            try:
                with open(os.path.join(self.path, "metrics.jsonl")) as file:
                    return any(f'"attempt":{attempt},' in line and '"loss"' in line for line in file)
            except OSError:
                return False
        eventually(60, f"{self.name} trains in attempt {attempt}", steps)

    def until_state(self, state, seconds=90):
        eventually(seconds, f"{self.name} is {state}", lambda: self.status()["state"] == state)

    def until_gone(self):
        eventually(60, f"job {self.job} is gone", lambda: "job" not in self.status())
        return self.outcome()


def state_hash(text):
    found = re.findall(r"state hash (\w+): of all weights and moments at step (\d+)", text)
    return found[-1] if found else fail(f"there is no state hash in {text[-2000:]}")


def refusals(workshop):
    """What Slurm would never start is refused at once, with both numbers, and leaves no run behind."""
    cases = [(["--partition=wrk"], "did you mean work?"), (["--nodes=9", "--dp=9", "--global_batch=9", "--reduction=fast"], "partition work has 2"),
             (["--partition=short", "--time=30"], "partition short allows 1:00"), (["--sbatch=--qos=gold", "--sbatch=--begin=never"], "sbatch refuses"),
             (["--time=soon"], "--time=soon: expected minutes"), (["--dp=3", "--global_batch=3"], "must hold in whole numbers")]
    job = Job(workshop, "refused", [*FLAGS, "--steps=10"])
    for flags, text in cases:
        done = job.ask(*flags)
        if done.returncode != 2 or text not in done.stderr:
            fail(f"{flags}: exit code {done.returncode}, {done.stderr}")
    done = job.ask(env={"PATH": "/nowhere"})
    if done.returncode != 2 or "there is no sinfo here" not in done.stderr:
        fail(f"without Slurm: exit code {done.returncode}, {done.stderr}")
    done = job.ask(env={"SLURM_CONF": "/nowhere"})
    if done.returncode != 2 or "Slurm does not answer" not in done.stderr:
        fail(f"without a controller: exit code {done.returncode}, {done.stderr}")
    if os.path.exists(os.path.join(job.path, "outcome.json")):
        fail("a refused run has an outcome")


def submitted_once(workshop):
    """The dry run is what is submitted; a second launch finds the first; a queued job that is cancelled is lost."""
    job = Job(workshop, "held", [*FLAGS, "--steps=10", "--sbatch=--hold", "--sbatch=--comment=\"it's $HOME\""])
    dry = job.ask("--dry_run").stdout
    if os.path.exists(job.path):
        fail("a dry run makes a run directory")
    job.submit()
    with open(os.path.join(job.path, "launch", "job.sbatch")) as file:
        if (kept := file.read()) != dry:
            fail(f"the dry run says\n{dry}\nand kept is\n{kept}")
    if slurm("scontrol", "write", "batch_script", job.job, "-") != dry.strip():
        fail("Slurm has another script than the dry run showed")
    if "Comment=it's $HOME" not in slurm("scontrol", "show", "job", job.job):
        fail("a quoted value did not arrive as it was given")
    again = json.loads(job.ask("--json").stdout)
    if again["submitted"] or again["job"] != job.job or len(slurm("squeue", "--noheader", "--format=%i").split()) != 1:
        fail(f"submitted twice: {again}")
    status = job.status()
    if status["state"] != "queued" or status["job"]["state"] != "PENDING":
        fail(f"queued, but its status is {status}")
    slurm("scancel", job.job)
    if (state := job.status()["state"]) != "lost":
        fail(f"its job is gone, but it is {state}")
    job.submit()  # and may be submitted again
    slurm("scancel", job.job)


def cancelled(workshop):
    """scancel: saved, stopped on purpose, and not queued again."""
    job = Job(workshop, "cancelled", [*FLAGS, "--steps=1000000"]).submit()
    job.until_attempt_steps(0)
    slurm("scancel", job.job)
    job.until_state("stopped")
    outcome = job.until_gone()
    if outcome["exit_code"] != 78 or not outcome["resumable"] or len(job.legs()) != 1:
        fail(f"cancelled: {outcome}, {job.legs()}: {job.log_of_job()[-2000:]}")


def until_done_by_itself(workshop, steps, undisturbed):
    """Two preemptions and a time limit; then the end, of the same bits as the run that nobody disturbed."""
    # The signal comes grace + 10 s before the end of the only minute.
    job = Job(workshop, "disturbed", [*FLAGS, f"--steps={steps}", "--time=1", "--grace=40"]).submit()
    waiter = subprocess.Popen([MOAT, "launch", *job.flags, *TWO_NODES, "--time=1", "--grace=40", "--wait"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    job.until_attempt_steps(0)
    slurm("scancel", "--batch", "--signal=USR1", job.job)  # as preemption does
    eventually(30, "the first leg is over", lambda: len(job.legs()) == 1)
    queued = job.status()
    if queued["state"] != "preempted" or queued["job"]["id"] != job.job:
        fail(f"preempted and requeued, but its status is {queued}")
    job.until_attempt_steps(1)
    slurm("scontrol", "requeue", job.job)  # as an administrator does
    job.until_attempt_steps(2)
    try:
        code = waiter.wait(240)
    except subprocess.TimeoutExpired:
        waiter.kill()
        fail(f"it has not ended: {job.legs()}: {job.log_of_job()[-2000:]}")
    outcome, legs = job.until_gone(), job.legs()
    if code != 0 or outcome["state"] != "done":
        fail(f"disturbed: exit code {code}, {outcome}")
    if [leg["exit_code"] for leg in legs[:3]] != [75, 75, 75] or legs[-1]["exit_code"] != 0:
        fail(f"expected two preemptions, a time limit and an end: {legs}")
    if state_hash(job.log_of_job()) != undisturbed:
        fail(f"state {state_hash(job.log_of_job())} is not that of the undisturbed run, {undisturbed}")


def steps_of_seconds(workshop, seconds):
    """How many steps this machine trains in so many seconds."""
    run = Run(workshop, "speed", [*FLAGS, "--steps=300"])
    run.expect(0, "done", run.launch())
    with open(os.path.join(run.path, "metrics.jsonl")) as file:
        walls = sorted(line["ms"] for line in map(json.loads, file) if "ms" in line)
    return int(seconds * 1000 / walls[len(walls) // 2]) if walls else fail("no step says how long it took")


def come_back():
    """Minutes, most of them waiting for Slurm: tests/integration/long/slurm_comes_back.py."""
    with Workshop() as workshop, Cluster(os.path.join(workshop.path, "slurm")):
        steps = steps_of_seconds(workshop, SECONDS)
        run = Run(workshop, "undisturbed", [*FLAGS, f"--steps={steps}"])
        run.expect(0, "done", run.start().wait(240))
        until_done_by_itself(workshop, steps, state_hash(run.said()))


def main():
    with Workshop() as workshop, Cluster(os.path.join(workshop.path, "slurm")):
        refusals(workshop)
        submitted_once(workshop)
        cancelled(workshop)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
