#!/usr/bin/python3
"""Jobs of a real Slurm, a private one, that are preempted, out of time, without a node or without a controller come back by
themselves and end with the state of a run that nobody disturbed."""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, "tests/support")
from private_slurm import FLAGS, TWO_NODES, Cluster, Job, slurm, state_hash  # noqa: E402
from training_run import MOAT, Run, Workshop, eventually, fail  # noqa: E402

SLOW = {"MOAT_FAULT": "trainer.step:slow:0"}  # a tenth of a second each, so that steps take time and no processor
# Of the run that is out of time: Slurm looks at limits every 30 s, 10 s after the start at the earliest.
STEPS_OUT_OF_TIME = 430
STEPS_WITHOUT_NODE = 120


def undisturbed(workshop, steps):
    run = Run(workshop, f"undisturbed-{steps}", [*FLAGS, f"--steps={steps}"])
    run.expect(0, "done", run.launch())
    return state_hash(run.said())


def expect_end(job, code, state):
    outcome = job.until_gone()
    if code != 0 or outcome["state"] != "done":
        fail(f"{job.name}: exit code {code}, {outcome}, {job.legs()}: {job.log_of_job()[-2000:]}")
    if state_hash(job.log_of_job()) != state:
        fail(f"{job.name}: state {state_hash(job.log_of_job())} is not that of the undisturbed run, {state}")


class Waiter:
    """moat launch --wait of a job that is submitted already."""

    def __init__(self, job, *more):
        self.job = job
        self.process = subprocess.Popen([MOAT, "launch", *job.flags, *TWO_NODES, *more, "--wait"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def code(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            fail(f"{self.job.name} has not ended: {self.job.legs()}: {self.job.log_of_job()[-2000:]}")


def preempted_twice_and_out_of_time(workshop):
    # The signal comes grace + 10 s before the end of the only minute.
    told = os.path.join(workshop.path, "told")
    limits = ["--time=1", "--grace=40", f"--on_event=echo $MOAT_EVENT >> '{told}'"]
    job = Job(workshop, "disturbed", [*FLAGS, f"--steps={STEPS_OUT_OF_TIME}", *limits]).submit(env=SLOW)
    waiter = Waiter(job)
    job.until_attempt_steps(0)
    slurm("scancel", "--batch", "--signal=USR1", job.job)  # as preemption does
    eventually(30, "the first leg is over", lambda: len(job.legs()) == 1)
    queued = job.status()
    if queued["state"] != "preempted" or queued["job"]["id"] != job.job:
        fail(f"preempted and requeued, but its status is {queued}")
    job.until_attempt_steps(1)
    slurm("scontrol", "requeue", job.job)  # as an administrator does
    job.until_attempt_steps(2)
    code = waiter.code(240)
    eventually(30, "the last leg is over", lambda: job.legs()[-1]["exit_code"] == 0)
    legs = job.legs()
    expect_end(job, code, undisturbed(workshop, STEPS_OUT_OF_TIME))
    if [leg["exit_code"] for leg in legs[:3]] != [75, 75, 75] or legs[-1]["exit_code"] != 0:
        fail(f"expected two preemptions, a time limit and an end: {legs}")
    with open(told) as file:
        events = file.read().split()
    if events != ["queued", *["running", "preempted"] * (len(legs) - 1), "running", "done"]:
        fail(f"--on_event was told {events}")


def without_node_and_controller(workshop, cluster):
    job = Job(workshop, "bereft", [*FLAGS, f"--steps={STEPS_WITHOUT_NODE}", "--checkpoint_every=10"]).submit(env=SLOW)
    waiter = Waiter(job)
    eventually(60, "a checkpoint", job.checkpoints)
    slurm("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    job.until_attempt_steps(1)  # on n1 and n3
    cluster.controller("down")
    steps = job.steps()
    eventually(60, "the job trains without a controller", lambda: job.steps() > steps)
    if (status := job.status())["state"] != "running":
        fail(f"without a controller its status is {status}")
    cluster.controller("up")
    expect_end(job, waiter.code(120), undisturbed(workshop, STEPS_WITHOUT_NODE))


def on_the_node_that_is_left(workshop):
    """With --min_nodes the job outlives a node, and goes on without it at once."""
    job = Job(workshop, "fewer", [*FLAGS, f"--steps={STEPS_WITHOUT_NODE}", "--checkpoint_every=10", "--min_nodes=1"]).submit(env=SLOW)
    waiter = Waiter(job)
    eventually(60, "a checkpoint", job.checkpoints)
    slurm("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    expect_end(job, waiter.code(120), undisturbed(workshop, STEPS_WITHOUT_NODE))
    if len(job.legs_once(1)) != 1 or "node n2 is left out from now on: 1 node, dp 1 x tp 1" not in job.log_of_job():
        fail(f"{job.name}: {job.legs()}: {job.log_of_job()[-2000:]}")


def with_unfit_node(workshop):
    """What preflight finds slow is named, and the next leg keeps away from it."""
    job = Job(workshop, "picky", [*FLAGS, "--steps=10", "--preflight"]).submit(env={"MOAT_FAULT": "probe.disk:slow:1"})
    job.until_state("failed")
    next_leg = eventually(30, "another job is submitted", lambda: next((id for id in slurm("squeue", "--noheader", "--format=%i").split()
                                                                       if id != job.job), None))
    second = slurm("scontrol", "show", "hostnames", re.search(r"\bNodeList=(\S+)", slurm("scontrol", "show", "job", job.job))[1]).split()[1]
    excluded = f"ExcNodeList={second}\n" in slurm("scontrol", "show", "job", next_leg)
    slurm("scancel", next_leg)
    said = job.log_of_job()
    if job.outcome()["exit_code"] != 69 or not excluded or "is unfit: rank 1 has disk" not in said:
        fail(f"a slow disk on {second}: {job.outcome()}, excluded: {excluded}: {said[-2000:]}")
    if job.outcome()["attempts"] != 0:
        fail(f"it trained on an unfit node: {job.outcome()}")


def main():
    with Workshop() as workshop, Cluster(os.path.join(workshop.path, "slurm")) as cluster:
        preempted_twice_and_out_of_time(workshop)
        without_node_and_controller(workshop, cluster)
        on_the_node_that_is_left(workshop)
        with_unfit_node(workshop)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
