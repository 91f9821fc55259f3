#!/usr/bin/python3
"""Real training runs that end badly or are asked to end: the documented code, one cause, and the run goes on.

A full file system, directories that cannot be written, a rank that hangs, `moat stop`, and
SIGTERM in every phase. What goes on afterwards ends with the weights of a run that nobody disturbed.
"""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, "tests/support")
from training_run import Run, Workshop, eventually, fail  # noqa: E402

FLAGS = ["--dp=2", "--steps=600", "--checkpoint_every=60", "--eval_every=30", "--lr=1e-3"]


def mounted(*words):
    """Mounts; False on machines where this is not allowed."""
    return subprocess.run(["mount", *words], stderr=subprocess.DEVNULL).returncode == 0


def unmount(path):
    """Whoever worked there may be gone a moment later only."""
    eventually(10, f"nobody works in {path}",
               lambda: subprocess.run(["umount", path], stderr=subprocess.DEVNULL).returncode == 0)


def fill(path):
    """Takes what is left of a file system."""
    with open(os.path.join(path, "filler"), "wb", buffering=0) as filler:
        try:
            while filler.write(b"." * 4096):
                pass
        except OSError:
            pass


def full_file_system(workshop, undisturbed, checkpoint_bytes):
    """The whole run directory on a file system with room for two checkpoints and a half."""
    run = Run(workshop, "small", FLAGS)
    os.makedirs(run.path)
    if not mounted("-t", "tmpfs", "-o", f"size={checkpoint_bytes * 5 // 2 + (256 << 10)}", "tmpfs", run.path):
        return print("note: mount is not allowed here; the full disk was tried with the library only")
    try:
        outcome = run.expect(74, "failed", run.launch())
        run.expect_one_cause(outcome, "No space left on device")
        run.expect_only_whole_checkpoints()
        # Somebody else fills what is left: the next attempt says so at once, and changes nothing.
        fill(run.path)
        before = run.checkpoints(), run.steps()
        code = run.launch()
        if code != 74 or "No space left on device" not in run.said() or (run.checkpoints(), run.steps()) != before:
            fail(f"on a full disk: {code}, {run.said()}")
        os.remove(os.path.join(run.path, "filler"))
        subprocess.run(["mount", "-o", "remount,size=64m", run.path], check=True)
        run.expect_goes_on(undisturbed)
    finally:
        unmount(run.path)


def the_last_word_on_a_full_disk(workshop):
    """Another program fills the disk while the run trains: outcome.json still tells."""
    run = Run(workshop, "filled", [*FLAGS, "--steps=100000", "--checkpoint_every=0", "--eval_every=0"])
    os.makedirs(run.path)
    if not mounted("-t", "tmpfs", "-o", "size=4m", "tmpfs", run.path):
        return
    try:
        run.start().until_step(5)
        fill(run.path)
        outcome = run.expect(74, "failed", run.wait())
        if "No space left on device" not in outcome["first_failure"]["what"]:
            fail(f"outcome is {outcome}")
    finally:
        unmount(run.path)


def not_writable(workshop):
    in_the_way = os.path.join(workshop.path, "file")
    with open(in_the_way, "w"):
        pass
    run = Run(workshop, "a", FLAGS, root=in_the_way)
    code = run.launch()
    if code != 74 or f"cannot create the directory {run.path}: Not a directory" not in run.said():
        fail(f"a run root that is a file: {code}, {run.said()}")
    run = Run(workshop, "blocked", FLAGS)
    os.makedirs(run.path)
    with open(os.path.join(run.path, "ckpt"), "w"):
        pass
    code = run.launch()
    if code != 74 or f"{run.path}/ckpt: Not a directory" not in run.said() or run.steps():
        fail(f"a file where checkpoints go: {code}, {run.said()}")
    read_only = os.path.join(workshop.path, "read-only")
    os.makedirs(read_only)
    if not mounted("--bind", read_only, read_only):
        return
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", read_only], check=True)
        run = Run(workshop, "a", FLAGS, root=read_only)
        code = run.launch()
        if code != 74 or "Read-only file system: check the permissions" not in run.said():
            fail(f"a read-only run root: {code}, {run.said()}")
    finally:
        unmount(read_only)


def hanging_rank(workshop, undisturbed):
    """A rank that stops responding, as SIGSTOP makes it, is named within the deadline, and nobody is left."""
    run = Run(workshop, "hung", [*FLAGS, "--collective_timeout=2"])
    run.start().until_step(30)
    ranks = run.ranks()
    os.kill(ranks[1], signal.SIGSTOP)
    outcome = run.expect(76, "failed", run.wait(20))
    if outcome["first_failure"]["rank"] != 1 or "missing: rank 1" not in outcome["first_failure"]["what"]:
        fail(f"rank 1 hung, and outcome.json says {outcome}")
    eventually(5, "all ranks are gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in ranks.values()))
    run.expect_goes_on(undisturbed)


def learned_deadline(workshop, undisturbed):
    """Nobody set a deadline: the run's own steps did. The hung rank is named, and the run goes on by itself."""
    run = Run(workshop, "learned", FLAGS)
    run.start("--restarts=1").until_step(70)  # after the first evaluation and save
    begin = time.monotonic()
    ranks = run.ranks()
    os.kill(ranks[1], signal.SIGSTOP)
    run.until("another attempt", lambda: len(run.attempts()) == 2)
    seconds = time.monotonic() - begin
    if not 10 <= seconds <= 40 or any(os.path.exists(f"/proc/{pid}") for pid in ranks.values()):
        fail(f"after {seconds} s the ranks {ranks} of the hang are still there, or were not given ten")
    with open(os.path.join(run.attempts()[0], "hang.txt")) as file:
        report = file.read()
    if not report.startswith("rank 1 on ") or "is stopped by a signal" not in report or "rank 0 on" not in report:
        fail(f"the report of the hang says {report}")
    run.expect(0, "done", run.wait())
    run.expect_same_weights(undisturbed)


def endless_loops(workshop, undisturbed):
    """A rank that computes for ever."""
    for phase in "step", "saving":
        run = Run(workshop, f"loops-{phase}", FLAGS)
        outcome = run.expect(76, "failed", run.launch("--hang_timeout=3", env={"MOAT_FAULT": f"trainer.{phase}:loop:1"}))
        what = outcome["first_failure"]
        if outcome["class"] != "hang" or what["rank"] != 1 or f"phase '{phase}'" not in what["what"] or "runs" not in what["what"]:
            fail(f"rank 1 loops in {phase}: {outcome}")
    run.expect_goes_on(undisturbed)


def stopped(workshop, undisturbed):
    run = Run(workshop, "stopped", FLAGS)
    run.start().until_step(30)
    workshop.moat("stop", f"--run_root={run.root}", run.name)
    outcome = run.expect(78, "stopped", run.wait())
    if not outcome["resumable"] or not run.checkpoints()[-1].endswith(f"step-{outcome['step']:08}"):
        fail(f"moat stop: {outcome} with {run.checkpoints()}")
    run.expect_goes_on(undisturbed)


def terminated_in_every_phase(workshop, undisturbed):
    run = Run(workshop, "terminated", FLAGS)
    moments = {
        "the launcher is there": lambda: os.path.exists(os.path.join(run.path, "outcome.json")),
        "a rank is there": lambda: run.ranks(),
        "rank 0 listens": lambda: run.phase(),
        "rank 1 loads": lambda: run.phase(1) == "loading",
        "the first step": lambda: run.phase() == "step",
        "the middle of training": lambda: run.steps() >= seen + 5,
        "an evaluation": lambda: run.phase() == "evaluating",
        "a save": lambda: run.phase() == "saving",
    }
    attempts = 0
    for moment, reached in moments.items():
        seen = run.steps()
        run.start()
        eventually(30, "a new attempt", lambda: len(run.attempts()) > attempts or run.process.poll() is not None)
        run.until(moment, reached)
        run.signal(signal.SIGTERM)
        outcome = run.expect(75, "preempted", run.wait())
        attempts = len(run.attempts())
        if outcome["first_failure"] or (run.checkpoints() and not outcome["resumable"]):
            fail(f"TERM in {moment}: {outcome}")
    # Again, while the ranks save at the supervisor's request: at once, and what was committed stays.
    before = run.checkpoints()
    run.start().until_step(run.steps() + 1)
    os.kill(run.ranks()[1], signal.SIGSTOP)  # so that the first request cannot be answered before the second
    run.signal(signal.SIGTERM)
    run.until("the first request is heard", lambda: "again to kill at once" in run.said())
    run.signal(signal.SIGTERM)
    outcome = run.expect(128 + signal.SIGTERM, "preempted", run.wait(10))
    if not outcome["resumable"] or run.checkpoints()[:len(before)] != before:
        fail(f"a second TERM: {outcome} with {run.checkpoints()}")
    run.expect_goes_on(undisturbed)


def main():
    with Workshop() as workshop:
        whole = Run(workshop, "whole", FLAGS)
        whole.expect(0, "done", whole.launch())
        undisturbed = whole.weights()
        newest = whole.checkpoints()[-1]
        checkpoint_bytes = sum(os.path.getsize(os.path.join(newest, name)) for name in os.listdir(newest))
        full_file_system(workshop, undisturbed, checkpoint_bytes)
        the_last_word_on_a_full_disk(workshop)
        not_writable(workshop)
        hanging_rank(workshop, undisturbed)
        learned_deadline(workshop, undisturbed)
        endless_loops(workshop, undisturbed)
        stopped(workshop, undisturbed)
        terminated_in_every_phase(workshop, undisturbed)
    print("ok")


main()
