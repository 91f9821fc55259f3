"""A tiny data set and what it takes to launch, watch and compare real training runs on it."""
import glob
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("MOAT_BUILD", "build"))
MOAT = os.path.join(BUILD, "bin", "moat")
DRINKS = ["latte", "espresso", "green tea", "flat white", "mocha", "cold brew"]
MODEL = ["--layers=2", "--width=32", "--heads=4", "--kv_heads=2", "--ffn=48", "--seq_len=48", "--dropout=0.1"]
STEPS = ["--global_batch=8", "--micro_batch=1", "--lr=1e-2", "--warmup=5", "--threads=1"]
# rundir/board.cc: magic, version, phase
BOARD = struct.Struct("<QQI")
PHASES = ["starting", "loading", "step", "evaluating", "saving", "finishing"]


def fail(what):
    sys.exit(f"FAILED: {what}")


def eventually(seconds, what, condition):
    """Asks again and again until it is so, and returns what it said."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            fail(f"not in {seconds} s: {what}")
        time.sleep(0.001)
    return answer


class Workshop:
    """A temporary directory with a data set; as a context, removed at its end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="moat-test-")
        self.runs = os.path.join(self.path, "runs")
        self.data = os.path.join(self.path, "data")
        chats = os.path.join(self.path, "chats.jsonl")
        with open(chats, "w") as out:
            for i in range(300):
                drink = DRINKS[i * 7 % 6]
                out.write(json.dumps({"id": f"d{i}", "messages": [
                    {"role": "user", "content": f"order {i}: a {drink} please"},
                    {"role": "assistant", "content": f"one {drink} coming up"}]}) + "\n")
        self.moat("data", "import", f"--in={chats}", f"--out={self.data}", "--vocab_size=300",
                  "--validation_fraction=0.3")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def moat(self, *words):
        done = subprocess.run([MOAT, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            fail(f"moat {' '.join(words)} exits {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout


class Run:
    """A run of a workshop: launched as often as one likes with the same flags."""

    def __init__(self, workshop, name, flags, root=None):
        self.name, self.root = name, root or workshop.runs
        self.path = os.path.join(self.root, name)
        self.log = os.path.join(workshop.path, f"{name}.log")
        self.flags = [f"--data={workshop.data}", f"--run_root={self.root}", f"--run={name}", *MODEL, *STEPS, *flags]
        self.process = None

    def start(self, *more, env=None, before=()):
        """`before`: words to put before the command, which run it elsewhere."""
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*before, MOAT, "launch", *self.flags, "--restarts=0", *more], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **(env or {})})
        return self

    def wait(self, seconds=60):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            fail(f"{self.name} has not ended after {seconds} s: {self.said()[-2000:]}")

    def launch(self, *more, env=None):
        return self.start(*more, env=env).wait()

    def signal(self, number):
        self.process.send_signal(number)

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def expect(self, code, state, found):
        """The launcher's exit code, and the same in outcome.json; returns the outcome."""
        outcome = self.outcome()
        if found != code or outcome["exit_code"] != code or outcome["state"] != state:
            fail(f"{self.name}: expected {state} {code}, found {found} and {outcome}: {self.said()[-3000:]}")
        return outcome

    def outcome(self):
        with open(os.path.join(self.path, "outcome.json")) as file:
            return json.load(file)

    def attempts(self):
        return sorted(glob.glob(os.path.join(glob.escape(self.path), "logs", "attempt-*")))

    def phase(self, rank=0):
        """What a rank of the newest attempt does; None before it listens."""
        try:
            with open(os.path.join(self.attempts()[-1], f"board-{rank}"), "rb") as file:
                return PHASES[BOARD.unpack(file.read(BOARD.size))[2]]
        except (OSError, IndexError, struct.error):
            return None

    def until(self, what, condition, seconds=60):
        def asked():
            if self.process.poll() is not None:
                fail(f"{self.name} ended with {self.process.returncode} before {what}: {self.said()[-2000:]}")
            return condition()
        return eventually(seconds, what, asked)

    def steps(self):
        try:
            with open(os.path.join(self.path, "metrics.jsonl")) as file:
                return sum('"loss"' in line for line in file)
        except OSError:
            return 0

    def until_step(self, step):
        self.until(f"step {step}", lambda: self.steps() >= step)

    def processes(self, program, word=b""):
        """Process id and environment of each process of the run that is this program with this word."""
        for entry in glob.glob("/proc/[0-9]*"):
            try:
                with open(f"{entry}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                with open(f"{entry}/environ", "rb") as file:
                    environment = dict(pair.partition(b"=")[::2] for pair in file.read().split(b"\0"))
            except OSError:
                continue
            if words[0].endswith(program) and word in [b"", *words[1:2]] and \
                    environment.get(b"MOAT_RUN_DIR") == self.path.encode():
                yield int(os.path.basename(entry)), environment

    def ranks(self):
        """Process ids of moat-train, by rank."""
        return {int(environment[b"OMPI_COMM_WORLD_RANK"]): pid for pid, environment in self.processes(b"moat-train")}

    def watchers(self):
        """Process ids of the watchers of other nodes."""
        return [pid for pid, _ in self.processes(b"moat", b"watch-node")]

    def checkpoints(self):
        return sorted(glob.glob(os.path.join(glob.escape(self.path), "ckpt", "step-*")))

    def weights(self):
        """Newest step and a digest of all its tensors that does not depend on the grid that wrote them."""
        newest = self.checkpoints()[-1]
        with open(os.path.join(newest, "manifest.json")) as file:
            tensors = json.load(file)["tensors"]
        whole = hashlib.sha256()
        for name in sorted(tensors):
            whole.update(name.encode())
            for piece in sorted(tensors[name]["pieces"],
                                key=lambda p: [int(d.split(":")[0]) for d in p["slice"].split(",")]):
                with open(os.path.join(newest, piece["file"]), "rb") as file:
                    file.seek(piece["offset"])
                    whole.update(file.read(piece["bytes"]))
        return os.path.basename(newest), whole.hexdigest()

    def expect_one_cause(self, outcome, *texts):
        """outcome.json and the terminal say why, the terminal once."""
        what = outcome["first_failure"]["what"]
        for text in texts:
            if text not in what:
                fail(f"{self.name}: '{text}' is not in the cause '{what}'")
            lines = [line for line in self.said().splitlines() if line.startswith("moat: ") and text in line
                     and "training goes on" not in line and "lines wait in memory" not in line]
            if len(lines) != 1:
                fail(f"{self.name}: the cause is printed {len(lines)} times: {self.said()}")

    def expect_same_weights(self, undisturbed):
        if self.weights() != undisturbed:
            fail(f"{self.name}: the weights are not those of the undisturbed run")

    def expect_goes_on(self, undisturbed):
        self.expect(0, "done", self.launch())
        self.expect_same_weights(undisturbed)

    def expect_only_whole_checkpoints(self):
        for checkpoint in self.checkpoints():
            subprocess.run([MOAT, "checkpoint", "verify", checkpoint], check=True, stdout=subprocess.DEVNULL)
        left = [name for name in os.listdir(os.path.join(self.path, "ckpt")) if not name.startswith("step-")]
        if left:
            fail(f"{self.name}: a failed save left {left}")
