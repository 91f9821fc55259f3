#!/usr/bin/python3
"""Runs submitted to a real Slurm, a private one: what is submitted, refused and cancelled."""
import json
import os
import signal
import sys

sys.path.insert(0, "tests/support")
from private_slurm import FLAGS, Cluster, Job, slurm  # noqa: E402
from training_run import Workshop, fail  # noqa: E402


def refusals(workshop):
    """What Slurm would never start is refused at once, with both numbers, and leaves no run behind."""
    cases = [(["--partition=wrk"], "did you mean work?"), (["--nodes=9", "--dp=9", "--global_batch=9", "--reduction=fast"], "partition work has 3"),
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


def main():
    with Workshop() as workshop, Cluster(os.path.join(workshop.path, "slurm")):
        refusals(workshop)
        submitted_once(workshop)
        cancelled(workshop)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
