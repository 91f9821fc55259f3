#!/usr/bin/python3
"""A run whose checkpoints are damaged goes on from the newest intact one, says which file it was, and ends with the
bits of an undisturbed run; also in a copy elsewhere, and with garbage in the files that only hint."""
import os
import shutil
import sys

sys.path.insert(0, "tests/support")
from training_run import Run, Workshop, fail  # noqa: E402

FLAGS = ["--dp=2", "--steps=12", "--checkpoint_every=4", "--eval_every=0", "--keep_checkpoints=9"]


def cut(path, size):
    os.truncate(path, size)


def zero_a_page(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2 & ~4095)
        file.write(bytes(4096))


def append_junk(path):
    with open(path, "ab") as file:
        file.write(b"junk")


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def swap(path):
    other = path.replace("rank-00000", "rank-00001")
    os.rename(path, path + ".aside")
    os.rename(other, path)
    os.rename(path + ".aside", other)


def from_step_4(path):
    shutil.copyfile(path.replace("step-00000012", "step-00000004"), path)


DAMAGES = {
    "a bit": lambda path: flip(path, os.path.getsize(path) - 5),
    "a bit of the header": lambda path: flip(path, 30),
    "last byte": lambda path: cut(path, os.path.getsize(path) - 1),
    "half": lambda path: cut(path, os.path.getsize(path) // 2),
    "all": lambda path: cut(path, 0),
    "junk": append_junk,
    "page": zero_a_page,
    "missing": os.remove,
    "swapped": swap,
    "foreign": from_step_4,
}
# What tells people or saves time; a checkpoint does not depend on it.
HINTS = ["lease.json", "logs/attempt-00/result.json", "logs/attempt-00/board-0"]


def copied(shop, run, where):
    """The run, moved with all it has to another root."""
    root = os.path.join(shop.path, where)
    shutil.copytree(run.path, os.path.join(root, run.name))
    return Run(shop, run.name, FLAGS, root=root)


def end_of(run, weights, *said):
    run.expect(0, "done", run.launch())
    for words in said:
        if words not in run.said():
            fail(f"'{words}' is not said: {run.said()[-3000:]}")
    if run.weights()[1] != weights:
        fail(f"{run.path} ends with other bits")


with Workshop() as shop:
    clean = Run(shop, "clean", FLAGS)
    clean.expect(0, "done", clean.launch())
    weights = clean.weights()[1]

    for number, (what, damage) in enumerate(DAMAGES.items()):
        run = copied(shop, clean, f"damage-{number}")
        path = os.path.join(run.path, "ckpt", "step-00000012", "rank-00000.safetensors")
        damage(path)
        end_of(run, weights, "checkpoint passed over", "step-00000012/rank-0000", "resumed from step 8")
        if not os.path.isdir(os.path.dirname(path)):
            fail(f"{what}: the damaged checkpoint was removed")

    run = copied(shop, clean, "hints")
    for hint in HINTS:
        with open(os.path.join(run.path, hint), "wb") as file:
            file.write(b"\x00{garbage\xff")
    with open(os.path.join(run.path, "metrics.jsonl"), "a") as file:
        file.write('{"attempt":0,"st')
    os.remove(os.path.join(run.path, "ckpt", "step-00000012", "manifest.json"))  # so that there is something to do
    end_of(run, weights)
    for record in ["outcome.json", "capsule.json"]:
        run = copied(shop, clean, record)
        path = os.path.join(run.path, record)
        with open(path, "wb") as file:
            file.write(b"garbage")
        code = run.launch()
        if code != 65 or path not in run.said() or "move it away" not in run.said():
            fail(f"garbage as {record}: {code}, {run.said()[-2000:]}")
        os.remove(path)
        end_of(run, weights)

    run = copied(shop, clean, "line")
    with open(os.path.join(run.path, "ckpt", "abandoned.json"), "w") as file:
        file.write("garbage")
    code = run.launch()
    if code != 74 or "abandoned.json is damaged" not in run.said():
        fail(f"a damaged abandoned.json: {code}, {run.said()[-2000:]}")
print(f"ok: {len(DAMAGES)} damages passed over")
