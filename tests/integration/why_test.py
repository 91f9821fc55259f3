#!/usr/bin/python3
"""Runs that end in ten ways, really: moat why names class and rank, and moat status, runs, logs and stop tell the rest."""
import concurrent.futures
import glob
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import BUILD, MOAT, Run, Workshop, eventually, fail  # noqa: E402

FLAGS = ["--dp=2", "--steps=100000", "--checkpoint_every=40", "--eval_every=0", "--lr=1e-3"]
SHIM = os.path.join(BUILD, "tests", "libbad_disk.so")


def expect_why(workshop, run, cause, rank, command):
    why = json.loads(workshop.moat("why", f"--run_root={run.root}", run.name, "--json"))
    if why["class"] != cause or why["rank"] != rank or command not in why["command"] or not why["evidence"]:
        fail(f"{run.name}: expected {cause} of rank {rank} and '{command}', found {json.dumps(why, indent=2)}")
    if cause not in workshop.moat("why", f"--run_root={run.root}", run.name):
        fail(f"{run.name}: the text does not name {cause}")


def by_signal(workshop, name, number, cause):
    for attempt in range(4):
        run = Run(workshop, f"{name}-{attempt}", FLAGS)
        run.start().until_step(50)
        os.kill(run.ranks()[1], number)
        if run.wait() == 0:
            fail(f"{name} ended well")
        if run.outcome()["first_failure"]["rank"] >= 0:
            break  # mpirun does not always say who was killed, and may end the others before they hear of it
    expect_why(workshop, run, cause, 1, "moat launch" if cause == "node" else "--rank=1")


def asked(workshop, name, number, cause):
    run = Run(workshop, name, FLAGS)
    run.start().until_step(50)
    run.signal(number)
    run.wait()
    expect_why(workshop, run, cause, -1, f"moat launch --flagfile={run.path}/run.flags")


def without_a_launcher(workshop):
    run = Run(workshop, "lost", FLAGS)
    run.start().until_step(50)
    ranks = run.ranks()
    run.signal(signal.SIGKILL)
    run.wait()
    eventually(10, "all ranks are gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in ranks.values()))
    expect_why(workshop, run, "node", -1, "moat launch")


def bad_numbers(workshop):
    run = Run(workshop, "nan", [*FLAGS, "--lr=1e30", "--clip=0"])
    run.launch()
    rank = run.outcome()["first_failure"]["rank"]  # all have the same numbers
    expect_why(workshop, run, "nan", rank, "--run=nan-lower-lr --lr=5e+29")


def damaged_data(workshop):
    data = os.path.join(workshop.path, "damaged")
    shutil.copytree(workshop.data, data)
    for shard in glob.glob(os.path.join(data, "*.h5")):
        with open(shard, "r+b") as file:
            file.seek(os.path.getsize(shard) // 2)
            file.write(b"damaged by a test" * 100)
    run = Run(workshop, "data", [*FLAGS, f"--data={data}"])
    run.launch()
    rank = run.outcome()["first_failure"]["rank"]
    if rank not in (0, 1):
        fail(f"no rank found the damage: {run.outcome()}")
    expect_why(workshop, run, "data", rank, "moat data verify")


def full_disk(workshop):
    run = Run(workshop, "storage", [*FLAGS, "--strict_checkpoints"])
    run.launch(env={"LD_PRELOAD": SHIM, "BAD_DISK": "full@-40/rank-00001"})
    expect_why(workshop, run, "storage", run.outcome()["first_failure"]["rank"], f"df -h {run.path}")


def little_memory(workshop):
    run = Run(workshop, "memory", [*FLAGS, "--width=4096", "--ffn=16384", "--layers=16", "--micro_batch=4"])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, before[1]))
    try:
        run.launch()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    expect_why(workshop, run, "out_of_memory", run.outcome()["first_failure"]["rank"], "--micro_batch=2")


def hang(workshop):
    run = Run(workshop, "hang", FLAGS)
    run.launch("--hang_timeout=3", env={"MOAT_FAULT": "trainer.step:loop:1"})
    expect_why(workshop, run, "hang", 1, "moat launch")


def bad_flags(workshop):
    run = Run(workshop, "config", [*FLAGS, "--vocab_size=17"])
    run.launch()
    rank = run.outcome()["first_failure"]["rank"]
    expect_why(workshop, run, "user", rank, "--run=config-again --vocab_size=0")
    last = run.said().splitlines()[-1]
    if not last.startswith("moat: error: run config: failed at step 0, exit code 2; rank ") or "--vocab_size=17 but" not in last:
        fail(f"the error is not the last line: {run.said()}")


def bad_devices(workshop):
    """Only the ranks can know; what is proposed works."""
    run = Run(workshop, "devices", [*FLAGS, "--device=cuda", "--steps=3"])
    if run.launch() == 0:
        return  # there are some
    expect_why(workshop, run, "user", run.outcome()["first_failure"]["rank"], "--device=auto")
    why = json.loads(workshop.moat("why", f"--run_root={run.root}", run.name, "--json"))
    subprocess.run([MOAT, *shlex.split(why["command"])[1:]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if "equal bits" in workshop.moat("logs", f"--run_root={run.root}", run.name):
        fail("a chain of bits ended that had not begun")


def looked_after(workshop):
    """A run that goes well, seen from outside; without a name the newest is meant."""
    run = Run(workshop, "watched", FLAGS)
    run.start().until_step(50)
    root = f"--run_root={run.root}"
    status = json.loads(workshop.moat("status", root, "--json"))
    if (status["run"], status["state"], status["exit_code"], status["target"]) != ("watched", "running", None, 100000):
        fail(f"status of a running run: {status}")
    run.until("a checkpoint", run.checkpoints)
    if json.loads(workshop.moat("status", root, "--json"))["resumable"] is not True:
        fail("a running run with a checkpoint is not resumable")
    why = json.loads(workshop.moat("why", root, "watched", "--json"))
    if why["state"] != "running" or " of 100000, loss " not in why["what"] or "nothing to explain yet" not in why["what"]:
        fail(f"why of a running run: {why}")
    silent = subprocess.run([MOAT, "logs", root, "--run=watched", "--rank=1"], capture_output=True, text=True)
    if silent.returncode != 0 or "rank 1 has said nothing in attempt 0; there are ranks 0 to 1" not in silent.stderr:
        fail(f"the log of a silent rank: {silent}")
    absent = subprocess.run([MOAT, "logs", root, "--rank=2"], capture_output=True, text=True)
    if absent.returncode != 2 or "moat: error: rank 2 is not in attempt 0; there are ranks 0 to 1" not in absent.stderr:
        fail(f"the log of a rank that is not there: {absent}")
    if status["step"] < 50 or not status["eta_seconds"] > 0 or not status["tokens_per_second"] > 0:
        fail(f"progress of a running run: {status}")
    if "moat: step 1/100000" not in workshop.moat("logs", root, "watched"):
        fail("the log of a running run lacks its first step")
    follower = subprocess.Popen([MOAT, "logs", root, "--follow"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if "moat data import" not in workshop.moat("data", "--help"):
        fail("moat data --help lists no commands")
    if "run.flags:" not in workshop.moat("config", "--explain=lr", root, "watched"):
        fail("moat config --explain of a run does not name its run.flags")
    if "watched" not in workshop.moat("runs", root):
        fail("moat runs lacks a run")
    said = workshop.moat("stop", root)
    if "watched" not in said or "stopped" not in said or run.wait() != 78:
        fail(f"moat stop waits and says how it ended, not: {said}")
    followed = follower.communicate(timeout=30)[0]
    if "moat: step 1/" not in followed or "asked to stop" not in followed or follower.returncode != 0:
        fail(f"moat logs --follow did not see the end: {followed[-500:]}")
    if json.loads(workshop.moat("status", root, "--follow", "--json"))["exit_code"] != 78:
        fail("moat status --follow of a run that has ended")


def main():
    with Workshop() as workshop:
        little_memory(workshop)  # limits this process: alone
        cases = [(by_signal, "node", signal.SIGKILL, "node"), (by_signal, "bug", signal.SIGSEGV, "bug"),
                 (asked, "preempted", signal.SIGTERM, "preemption"), (asked, "stopped", signal.SIGINT, "user"),
                 (without_a_launcher,), (bad_numbers,), (damaged_data,), (full_disk,), (hang,), (bad_flags,), (bad_devices,)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:  # most of them wait for mpirun to end
            for done in [pool.submit(case, workshop, *more) for case, *more in cases]:
                done.result()
        looked_after(workshop)
    print("ok")


main()
