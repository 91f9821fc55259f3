"""A private Slurm for a test (tests/slurm/cluster), and runs that are jobs of it."""
import json
import os
import re
import subprocess
import sys

from training_run import MOAT, Run, eventually, fail

FLAGS = ["--dp=2", "--checkpoint_every=500", "--eval_every=0", "--lr=1e-3"]
TWO_NODES = ["--on=slurm", "--nodes=2"]


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

    def controller(self, state):
        """down: ended; up: started again."""
        subprocess.run(["tests/slurm/cluster", f"controller-{state}", self.path], check=True, stdout=subprocess.DEVNULL)


def slurm(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class Job(Run):
    """A run that is a job."""

    def ask(self, *more, flags=TWO_NODES, env=None):
        return subprocess.run([MOAT, "launch", *self.flags, *flags, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env={**os.environ, **(env or {})})

    def submit(self, *more, env=None):
        done = self.ask("--parsable", *more, env=env)
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

    def legs_once(self, count):
        """A leg's line follows its outcome, which may be read before."""
        eventually(30, f"{self.name} has {count} legs", lambda: len(self.legs()) >= count)
        return self.legs()

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
