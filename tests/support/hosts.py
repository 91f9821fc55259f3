"""Hosts of their own on one machine: namespaces of network, name and processes, joined by a bridge."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import eventually  # noqa: E402

SPACES = ["--net", "--uts", "--pid", "--mount"]
INIT = "mount -t tmpfs tmpfs /dev/shm; hostname {name}; ip link set lo up; trap '' TERM; exec {python} -c {body}"
BODY = "'import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True: signal.pause()'"


def first_child(process, mark):
    """The first process that `process` has begun, once it has become what `mark` is in the command line of."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        pids = file.read().split()
    if not pids:
        return None
    with open(f"/proc/{pids[0]}/cmdline", "rb") as file:
        return int(pids[0]) if mark in file.read() else None


class Host:
    """Its first process keeps it up; killing that one ends every other of it."""

    def __init__(self, network, name, address):
        self.network, self.name, self.address = network, name, address
        self.boot()

    def boot(self):
        init = INIT.format(name=self.name, python="/usr/bin/python3", body=BODY)
        self.process = subprocess.Popen(["unshare", *SPACES, "--fork", "--kill-child", "--mount-proc", "sh", "-c", init],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = eventually(5, f"{self.name} is up", lambda: first_child(self.process, b"pause()"))
        self.network.plug(self)

    def enter(self, spaces=SPACES):
        """What to put before a command to run it there. Who is to enter others from there stays among their processes."""
        return ["nsenter", "-t", str(self.pid), *spaces]

    def run(self, *words):
        subprocess.run([*self.enter(), *words], check=True)

    def holds(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.pid}/ns/pid")
        except OSError:
            return False

    def processes(self):
        """All but its first."""
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if pid != self.pid and self.holds(pid)]

    def power_off(self):
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()


class Network:
    """A bridge and its hosts; as a context, gone at its end. `address` of host number n is 10.77.0.n."""

    def __enter__(self):
        self.switch = subprocess.Popen(["unshare", "--net", "--kill-child", "--fork", "sh", "-c",
                                        "ip link add bridge type bridge && ip link set bridge up && exec sleep 1000"],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.switch_pid = eventually(5, "the bridge is up", lambda: first_child(self.switch, b"sleep\0"))
        self.hosts = []
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            if host.process.poll() is None:
                host.power_off()
        os.kill(self.switch_pid, signal.SIGKILL)
        self.switch.wait()

    def ip(self, *words):
        subprocess.run(["nsenter", "-t", str(self.switch_pid), "--net", "ip", *words], check=True)

    def add(self, name):
        host = Host(self, name, f"10.77.0.{len(self.hosts) + 1}")
        self.hosts.append(host)
        return host

    def plug(self, host):
        self.ip("link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
        self.ip("link", "set", host.name, "master", "bridge", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")

    def unplug(self, host):
        self.ip("link", "set", host.name, "down")


def why_not():
    """None where hosts can be made here, else the reason."""
    probe = "ip link add bridge type bridge && ip link add veth0 type veth peer name veth1"
    done = subprocess.run(["unshare", *SPACES, "--fork", "--mount-proc", "sh", "-c", probe], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip() or "unshare failed"


AGENT = """#!/bin/sh
# Stands for ssh: mpirun says which host, then the command.
host=$1
shift
case $host in
{cases}
*) echo "no such host: $host" >&2; exit 1;;
esac
exec nsenter -t $pid {spaces} sh -c "$*"
"""


def write_agent(path, hosts):
    cases = "\n".join(f"{host.address}) pid={host.pid};;" for host in hosts)
    with open(path, "w") as file:
        file.write(AGENT.format(cases=cases, spaces=" ".join(SPACES)))
    os.chmod(path, 0o755)
