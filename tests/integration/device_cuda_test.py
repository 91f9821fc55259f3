#!/usr/bin/python3
"""Training on CUDA devices, emulated ones unless --real: the CPU's losses, checkpoints that go on elsewhere, and bits
that do not depend on the number of ranks."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from training_run import BUILD, Workshop, fail  # noqa: E402

FLAGS = ["--layers=1", "--width=32", "--heads=4", "--kv_heads=2", "--ffn=32", "--seq_len=32", "--dropout=0.1",
         "--global_batch=4", "--micro_batch=1", "--lr=1e-2", "--warmup=5", "--threads=1", "--eval_every=0",
         "--eval_batches=2", "--canonical_ways=4"]
# --device=cuda refuses more than any device holds.
VAST = ["--layers=400", "--width=8192", "--heads=64", "--ffn=32768"]
NO_DEVICE = 77  # the exit code of a test that is skipped


class Machine:
    """The programs, and how many of the devices they see."""

    def __init__(self, real, emulated):
        self.name = r"[^,]+" if real else "emulated"
        folder, prefix = (os.path.join(BUILD, "bin"), "moat-") if real else (emulated, "emulated-")
        self.train, self.model = (os.path.join(folder, prefix + program) for program in ["train", "model"])
        self.real = real
        self.devices = visible_devices() if real else ["0"]

    def environment(self, devices):
        """For programs that are to see so many."""
        seen = {"CUDA_VISIBLE_DEVICES": ",".join(self.devices[:devices])} if self.real else \
            {"MOAT_EMULATED_DEVICES": str(devices)}
        return {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **seen}


def visible_devices():
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device for device in chosen.split(",") if device]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True).stdout
    except OSError:
        return []
    return [str(i) for i, _ in enumerate(re.findall(r"^GPU", listed, re.MULTILINE))]


class DeviceRun:
    """A run without a launcher. `like`: a run whose choices of algorithms it takes, so that bits can be the same."""

    def __init__(self, shop, name, *flags, like=None, **how):
        self.machine, self.name, self.path = shop.machine, name, os.path.join(shop.runs, name)
        self.flags = [f"--data={shop.data}", f"--run_root={shop.runs}", f"--run={name}", *FLAGS, *flags]
        if like:
            os.makedirs(self.path)
            if os.path.exists(os.path.join(like.path, "products.txt")):
                shutil.copy(os.path.join(like.path, "products.txt"), self.path)
        self.go_on(**how)

    def go_on(self, *, ranks=1, devices=1, code=0):
        """Ends with `code`; None: with any, since what it says is looked at."""
        argv = [self.machine.train, *self.flags]
        if ranks > 1:
            argv = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *argv]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                              env=self.machine.environment(devices))
        self.said = done.stdout + done.stderr
        if code is not None and done.returncode != code:
            fail(f"{self.name}: expected {code}, found {done.returncode}: {self.said[-3000:]}")

    def losses(self):
        with open(os.path.join(self.path, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        return {line["step"]: line["loss"] for line in lines if "loss" in line}

    def hash(self):
        return self.says(r"state hash (\w+):")

    def says(self, pattern):
        found = re.search(pattern, self.said)
        if not found:
            fail(f"{self.name} does not say '{pattern}': {self.said[-3000:]}")
        return found.group(found.lastindex or 0)

    def expect_losses_of(self, other, relative, steps):
        mine, theirs = self.losses(), other.losses()
        if sorted(mine) != list(range(1, steps + 1)) or sorted(theirs) != sorted(mine):
            fail(f"{self.name} and {other.name}: steps {sorted(mine)} and {sorted(theirs)}")
        for step, loss in mine.items():
            if not abs(loss - theirs[step]) <= relative * theirs[step]:
                fail(f"step {step}: the loss is {loss} in {self.name} and {theirs[step]} in {other.name}")

    def continue_on(self, shop, device):
        """Another run, with this one's state at step 40, to the end on the device."""
        name = f"{self.name}-then-{device}"
        shutil.copytree(self.path, os.path.join(shop.runs, name))
        for root, _, files in os.walk(os.path.join(shop.runs, name, "ckpt")):
            if "step-00000050" in root:
                shutil.rmtree(root)
        return DeviceRun(shop, name, "--steps=50", f"--device={device}")


def asked(shop, run, device):
    """What moat generate says on a device."""
    argv = [shop.machine.model, "generate", f"--run={run.name}", f"--run_root={shop.runs}",
            "--prompt=order 7: a", "--temperature=0", "--max_tokens=12", f"--device={device}"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=shop.machine.environment(1))
    if done.returncode != 0 or f"on {device}" not in done.stderr:
        fail(f"generate on {device}: {done.returncode}, {done.stderr}")
    return done.stdout


def check_one_rank(shop):
    """The CPU's losses; either kind of device goes on with the other's checkpoint, and generates the same."""
    long = ["--steps=50", "--checkpoint_every=40"]
    cpu = DeviceRun(shop, "cpu", *long, "--device=cpu")
    cuda = DeviceRun(shop, "cuda", *long, "--device=auto")
    cpu.says("f32 on cpu")
    cuda.says(rf"f32 on cuda \({shop.machine.name}, one a rank\)")
    cuda.expect_losses_of(cpu, 1e-4, 50)
    if not cpu.losses()[50] < 0.7 * cpu.losses()[1]:
        fail(f"the loss does not fall: {cpu.losses()}")
    for first, then, other in (cpu, "cuda", cuda), (cuda, "cpu", cpu):
        went_on = first.continue_on(shop, then)
        went_on.says("resumed from step 40")
        went_on.says(f"the chain of equal bits ends here: the run was on {first.name}, it is on {then} now")
        went_on.expect_losses_of(other, 1e-4, 50)
    same = cuda.continue_on(shop, "cuda")
    if same.hash() != cuda.hash() or "chain of equal bits" in same.said:
        fail(f"a resume on the same kind of device has other bits: {same.said[-2000:]}")
    with open(os.path.join(cuda.path, "run.flags"), "w") as file:
        file.write("\n".join(cuda.flags) + "\n")
    if asked(shop, cuda, "cpu") != asked(shop, cuda, "cuda"):
        fail("the device says something else than the CPU")


def check_two_ranks(shop, how, devices, exchange):
    """Bits are one rank's, sharded or not, overlapped or not; losses are the CPU's, nearly so in bf16."""
    short = ["--steps=6", "--checkpoint_every=3", "--check_replicas_every=3"]
    one = DeviceRun(shop, f"one-{how}", *short, "--device=cuda")
    for name, flags in {"dp": ["--zero=0", "--overlap=off"], "zero-0": ["--zero=0", "--overlap=on"],
                        "zero-1": ["--zero=1", "--overlap=on"]}.items():
        two = DeviceRun(shop, f"{name}-{how}", *short, "--device=cuda", "--dp=2", *flags, like=one, ranks=2,
                        devices=devices)
        two.says(exchange)
        if two.hash() != one.hash():
            fail(f"{two.name}: two ranks end with other bits than one: {two.said[-2000:]}")
    tp = DeviceRun(shop, f"tp-{how}", *short, "--device=cuda", "--tp=2", ranks=2, devices=devices)
    tp.says(exchange)
    tp.expect_losses_of(DeviceRun(shop, f"tp-cpu-{how}", *short, "--device=cpu", "--tp=2", ranks=2), 1e-4, 6)
    narrow = DeviceRun(shop, f"bf16-{how}", *short, "--device=cuda", "--dtype=bf16", "--zero=1", "--dp=2", ranks=2,
                       devices=devices)
    narrow.expect_losses_of(one, 2e-2, 6)
    if narrow.losses() == one.losses():
        fail("bf16 has the bits of f32")


def check_float8(shop):
    """Products in FP8: the CPU's numbers, bits that do not depend on the number of ranks, no other run's checkpoint."""
    short = ["--steps=6", "--checkpoint_every=3", "--check_replicas_every=3", "--dtype=bf16"]
    fp8 = [*short, "--matmul_dtype=fp8"]
    products = DeviceRun(shop, "fp8", *fp8, "--device=cuda", code=None)
    if "FP8 products need 8.9" in products.said:
        return "fp8 skipped, the device has none"
    narrow = DeviceRun(shop, "bf16", *short, "--device=cuda")
    products.says("bf16, products of layers in fp8 on cuda")
    products.expect_losses_of(narrow, 1e-2, 6)
    if products.losses() == narrow.losses():
        fail("fp8 has the bits of bf16")
    shared = DeviceRun(shop, "fp8-dp", *fp8, "--device=cuda", "--dp=2", like=products, ranks=2)
    if shared.hash() != products.hash():
        fail(f"two ranks in fp8 end with other bits than one: {shared.said[-2000:]}")
    parts = DeviceRun(shop, "fp8-tp", *fp8, "--device=cuda", "--tp=2", "--sequence_parallel", ranks=2)
    parts.expect_losses_of(narrow, 1e-2, 6)
    products.flags += ["--matmul_dtype=same", "--steps=8"]
    products.go_on(code=2)
    products.says("matmul_dtype was fp8, now same")
    cpu = DeviceRun(shop, "fp8-cpu", *fp8, "--device=cpu", code=None)
    if "use --dtype=f32" in cpu.said:
        return "fp8 not compared, the processor has no bf16"
    products.expect_losses_of(cpu, 1e-3, 6)
    return ""


def check_limits(shop):
    """What does not fit is refused before the first step, by its parts and with what would help; so is no device."""
    short = ["--steps=2"]
    vast = DeviceRun(shop, "vast", *short, "--device=cuda", *VAST, code=71)
    vast.says("out of memory: the tensors of rank 0 .* need .* on its device, .* free: weights .*, gradients .*, optimizer .*; .*--tp=2 would make it")
    crowded = DeviceRun(shop, "crowded", *short, "--device=cuda", *VAST, "--dp=2", ranks=2, code=71)
    if len(re.findall("out of memory: the tensors of rank 0 .* free for each of the 2 ranks on it", crowded.said)) != 2:
        fail(f"not all ranks say whose device is too small: {crowded.said[-2000:]}")
    rated = DeviceRun(shop, "rated", *short, "--device=cuda", "--peak_tflops=0.001", "--profile_steps=1:2")
    rated.says(r"step 2/2 .* tok/s  mfu \d+%  mem \S+ \S+, on the device \S+ \S+ of \S+ \S+  data")
    with open(os.path.join(rated.path, "metrics.jsonl")) as file:
        line = json.loads(file.readline())
    if not 0 < line["device_memory_bytes"] < line["device_memory_room"]:
        fail(f"the device's memory: {line}")
    DeviceRun(shop, "none", *short, "--device=auto", devices=0).says("f32 on cpu")
    refused = DeviceRun(shop, "refused", *short, "--device=cuda", "--dp=2", ranks=2, devices=0, code=2)
    refused.says("no CUDA device is seen by rank 0, 1 on ")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="moat-train and moat-model on the machine's own devices")
    parser.add_argument("--emulated", default=os.path.join(BUILD, "tests"), metavar="DIR",
                        help="where emulated-train and emulated-model are")
    arguments = parser.parse_args()
    machine = Machine(arguments.real, os.path.abspath(arguments.emulated))
    if not machine.devices:
        print("skipped: no CUDA device is seen (nvidia-smi --list-gpus, CUDA_VISIBLE_DEVICES)")
        sys.exit(NO_DEVICE)
    with Workshop() as shop:
        shop.machine = machine
        check_one_rank(shop)
        check_two_ranks(shop, "shared", 1, "shared by ranks of a node.*ranks exchange through the host")
        if len(machine.devices) > 1:
            check_two_ranks(shop, "nccl", 2, "one a rank.*ranks exchange over NCCL")
        missing = [check_float8(shop)]
        check_limits(shop)
    if len(machine.devices) == 1:
        missing.append("on one device, without NCCL")
    print("ok " + "; ".join(filter(None, missing)))


main()
