#!/usr/bin/python3
"""Ranks on two hosts with networks of their own: what hangs or is lost on the other host is named, and survived.

Hosts are namespaces (tests/support/hosts.py), mpirun starts ranks over a hostfile, and an agent stands for ssh.
"""
import contextlib
import os
import signal
import sys
import time

sys.path.insert(0, "tests/support")
from hosts import Network, why_not, write_agent  # noqa: E402
from training_run import Run, Workshop, eventually, fail  # noqa: E402

FLAGS = ["--dp=2", "--steps=400", "--checkpoint_every=40", "--eval_every=0", "--lr=1e-3"]


class RunOfHosts(Run):
    """Launched on the first of the hosts; ranks on the first two that are left."""

    def __init__(self, workshop, name, hosts, more=()):
        hostfile = os.path.join(workshop.path, f"{name}.hosts")
        agent = os.path.join(workshop.path, f"{name}.agent")
        with open(hostfile, "w") as file:
            file.writelines(f"{host.address} slots=1\n" for host in hosts)
        write_agent(agent, hosts)
        super().__init__(workshop, name, [*FLAGS, f"--hostfile={hostfile}", "--nodes=2", "--ranks_per_node=1", *more])
        self.before = hosts[0].enter(["--net", "--uts"])
        self.environment = {"OMPI_MCA_plm_rsh_agent": agent, "OMPI_MCA_btl_tcp_if_include": "10.77.0.0/24",
                            "OMPI_MCA_oob_tcp_if_include": "10.77.0.0/24", "OMPI_MCA_plm_rsh_no_tree_spawn": "1"}

    def started(self, *more):
        return self.start(*more, env=self.environment, before=self.before)

    def rank_on(self, host):
        ranks = [pid for pid in self.ranks().values() if host.holds(pid)]
        return ranks[0] if len(ranks) == 1 else fail(f"ranks {ranks} on {host.name}: {self.said()[-2000:]}")


def expect_gone(what, pids, seconds):
    eventually(seconds, f"{what}: {pids} are gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def stopped_rank(workshop, hosts):
    """On the other host a rank stops responding: named with host, phase, step and stack, and everyone goes."""
    run = RunOfHosts(workshop, "stopped", hosts[:2], ["--hang_timeout=4"])
    run.started().until_step(30)
    ranks = list(run.ranks().values())
    watcher = run.watchers()
    if len(watcher) != 1 or not hosts[1].holds(watcher[0]):
        fail(f"watchers {watcher}: {run.said()}")
    begin = time.monotonic()
    os.kill(run.rank_on(hosts[1]), signal.SIGSTOP)
    outcome = run.expect(76, "failed", run.wait(40))
    expect_gone("a stopped rank", ranks + watcher, 2)
    if time.monotonic() - begin > 34:
        fail(f"a rank that stopped was ended after {time.monotonic() - begin} s")
    failure = outcome["first_failure"]
    expected = ["phase 'step'", "is stopped by a signal", "step, step "]
    if outcome["class"] != "hang" or failure["rank"] != 1 or failure["host"] != hosts[1].name or \
            not all(text in failure["what"] for text in expected):
        fail(f"a stopped rank on {hosts[1].name}: {outcome}")
    with open(os.path.join(run.attempts()[0], "hang.txt")) as file:
        report = file.read()
    if not report.startswith(f"rank 1 on {hosts[1].name}: process ") or \
            f"== rank 1 on {hosts[1].name}, process" not in report or f"rank 0 on {hosts[0].name}" not in report:
        fail(f"the report says {report[:3000]}")


def lost_link(workshop, network, hosts, undisturbed):
    """The cable of a host is pulled: it is named, its ranks end by themselves, and another host takes its place."""
    run = RunOfHosts(workshop, "unplugged", hosts)
    run.started("--restarts=3").until_step(50)
    lost = [run.rank_on(hosts[1]), *run.watchers()]
    begin = time.monotonic()
    network.unplug(hosts[1])
    run.until("another attempt", lambda: len(run.attempts()) == 2, 30)
    seconds = time.monotonic() - begin
    run.expect(0, "done", run.wait(60))
    run.expect_same_weights(undisturbed)
    if f"node {hosts[1].name} (rank 1) does not answer" not in run.said() or seconds > 30:
        fail(f"after {seconds} s: {run.said()}")
    expect_gone("ranks of the lost host", lost, max(1, 35 - (time.monotonic() - begin)))


def killed_host(workshop, hosts, undisturbed):
    """All processes of a host die at once, and it is back at once: the run goes on there, and the host is named, but for the few
    times when mpirun names nobody (docs/exit-codes.md)."""
    for name in ("killed", "killed-again"):
        run = RunOfHosts(workshop, name, [hosts[0], hosts[2]])
        run.started("--restarts=3").until_step(50)
        for pid in hosts[2].processes():
            with contextlib.suppress(ProcessLookupError):  # others have taken it along
                os.kill(pid, signal.SIGKILL)
        run.expect(0, "done", run.wait(60))
        run.expect_same_weights(undisturbed)
        if f"on {hosts[2].name}:" in run.said() or f"node {hosts[2].name}" in run.said():
            return
    causes = [line for line in run.said().splitlines() if "step " not in line]
    fail(f"{hosts[2].name} is not named: {causes}")


def fewer_hosts(workshop, network, hosts, undisturbed):
    """A host is lost that nobody can stand for: the run goes on with the rank that is left, and the same bits."""
    run = RunOfHosts(workshop, "fewer", hosts, ["--min_nodes=1"])
    run.started("--restarts=3").until_step(50)
    network.unplug(hosts[1])
    run.expect(0, "done", run.wait(90))
    run.expect_same_weights(undisturbed)
    if f"node {hosts[1].name} is left out from now on" not in run.said() or "(1 node, dp 1 x tp 1)" not in run.said():
        fail(f"{hosts[1].name} was lost: {run.said()}")


def main():
    reason = why_not()
    if reason:
        print(f"network namespaces cannot be made here: {reason}")
        sys.exit(77)
    with Workshop() as workshop, Network() as network:
        hosts = [network.add(name) for name in ("moat-a", "moat-b", "moat-c")]
        whole = Run(workshop, "whole", FLAGS)
        whole.expect(0, "done", whole.launch())
        stopped_rank(workshop, hosts)
        killed_host(workshop, hosts, whole.weights())
        lost_link(workshop, network, hosts, whole.weights())
        fewer_hosts(workshop, network, [hosts[0], hosts[2]], whole.weights())
    print("ok")


main()
