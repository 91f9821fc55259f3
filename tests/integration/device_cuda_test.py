#!/usr/bin/python3
"""Training on the emulated CUDA device: the CPU's losses, checkpoints that go on elsewhere, and bits that do not depend
on the number of ranks."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, "tests/support")
from training_run import BUILD, Workshop, fail  # noqa: E402

FLAGS = ["--layers=1", "--width=32", "--heads=4", "--kv_heads=2", "--ffn=32", "--seq_len=32", "--dropout=0.1",
         "--global_batch=4", "--micro_batch=1", "--lr=1e-2", "--warmup=5", "--threads=1", "--eval_every=0",
         "--eval_batches=2", "--canonical_ways=4"]
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


class EmulatedRun:
    def __init__(self, shop, name, *flags, ranks=1, devices="1", code=0):
        self.name, self.path = name, os.path.join(shop.runs, name)
        self.flags = [f"--data={shop.data}", f"--run_root={shop.runs}", f"--run={name}", *FLAGS, *flags]
        self.go_on(*flags, ranks=ranks, devices=devices, code=code)

    def go_on(self, *flags, ranks=1, devices="1", code=0):
        argv = [os.path.join(BUILD, "tests", "emulated-train"), *self.flags, *flags]
        if ranks > 1:
            argv = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *argv]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                              env={**ENVIRONMENT, "MOAT_EMULATED_DEVICES": devices})
        self.said = done.stdout + done.stderr
        if done.returncode != code:
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
        return EmulatedRun(shop, name, "--steps=50", f"--device={device}")


def asked(shop, run, device):
    """What moat generate says on a device."""
    argv = [os.path.join(BUILD, "tests", "emulated-model"), "generate", f"--run={run.name}", f"--run_root={shop.runs}",
            "--prompt=order 7: a", "--temperature=0", "--max_tokens=12", f"--device={device}"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != 0 or f"on {device}" not in done.stderr:
        fail(f"generate on {device}: {done.returncode}, {done.stderr}")
    return done.stdout


with Workshop() as shop:
    # One rank: the CPU's losses, and either goes on with the other's checkpoint.
    long = ["--steps=50", "--checkpoint_every=40"]
    cpu = EmulatedRun(shop, "cpu", *long, "--device=cpu")
    cuda = EmulatedRun(shop, "cuda", *long, "--device=auto")
    cpu.says("f32 on cpu")
    cuda.says(r"f32 on cuda \(emulated, one a rank\)")
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

    # Several ranks share the device: bits are one rank's, sharded or not, overlapped or not.
    short = ["--steps=6", "--checkpoint_every=3", "--check_replicas_every=3"]
    one = EmulatedRun(shop, "one", *short, "--device=cuda")
    for name, flags in {"dp": ["--zero=0", "--overlap=off"], "zero": ["--zero=1", "--overlap=on"]}.items():
        two = EmulatedRun(shop, name, *short, "--device=cuda", "--dp=2", *flags, ranks=2)
        two.says("shared by ranks of a node.*ranks exchange through the host")
        if two.hash() != one.hash():
            fail(f"{name}: two ranks end with other bits than one: {two.said[-2000:]}")
    tp = EmulatedRun(shop, "tp", *short, "--device=cuda", "--tp=2", ranks=2)
    tp.expect_losses_of(EmulatedRun(shop, "tp-cpu", *short, "--device=cpu", "--tp=2", ranks=2), 1e-4, 6)
    narrow = EmulatedRun(shop, "bf16", *short, "--device=cuda", "--dtype=bf16", "--zero=1", "--dp=2", ranks=2)
    narrow.expect_losses_of(one, 2e-2, 6)
    if narrow.losses() == one.losses():
        fail("bf16 has the bits of f32")

    # Products in FP8: the CPU's numbers, bits that do not depend on the number of ranks, and no other run's checkpoint.
    fp8 = ["--dtype=bf16", "--matmul_dtype=fp8"]
    products = EmulatedRun(shop, "fp8", *short, *fp8, "--device=cuda")
    products.says("bf16, products of layers in fp8 on cuda")
    products.expect_losses_of(EmulatedRun(shop, "fp8-cpu", *short, *fp8, "--device=cpu"), 1e-3, 6)
    products.expect_losses_of(narrow, 1e-2, 6)
    if products.losses() == narrow.losses():
        fail("fp8 has the bits of bf16")
    shared = EmulatedRun(shop, "fp8-dp", *short, *fp8, "--device=cuda", "--dp=2", ranks=2)
    if shared.hash() != products.hash():
        fail(f"two ranks in fp8 end with other bits than one: {shared.said[-2000:]}")
    parts = EmulatedRun(shop, "fp8-tp", *short, *fp8, "--device=cpu", "--tp=2", "--sequence_parallel", ranks=2)
    parts.expect_losses_of(narrow, 1e-2, 6)
    products.go_on("--matmul_dtype=same", "--steps=8", code=2)
    products.says("matmul_dtype was fp8, now same")

    # What does not fit is refused before the first step, by its parts and with what would help.
    vast = EmulatedRun(shop, "vast", *short, "--device=cuda", "--layers=40", "--width=1024", "--heads=8", "--ffn=4096", code=71)
    vast.says("out of memory: this rank's tensors need .* free: weights .*, gradients .*, optimizer .*; .*--tp=2 would make it")
    rated = EmulatedRun(shop, "rated", "--steps=2", "--device=cuda", "--peak_tflops=0.001", "--profile_steps=1:2")
    rated.says(r"step 2/2 .* tok/s  mfu \d+%")

    # No device: auto is the CPU, cuda is refused on all ranks.
    EmulatedRun(shop, "none", *short, "--device=auto", devices="0").says("f32 on cpu")
    refused = EmulatedRun(shop, "refused", *short, "--device=cuda", "--dp=2", ranks=2, devices="0", code=2)
    refused.says("no CUDA device is seen by rank 0, 1 on ")
print("ok")
