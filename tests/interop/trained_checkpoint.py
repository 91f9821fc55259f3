"""A checkpoint that four ranks of a real run wrote, and its manifest as docs/checkpoint-format.md says to read it."""
import contextlib
import json
import os
import sys
import tempfile

from crc32c import crc32c
from script import moat

WIDTHS = {"f32": 4, "bf16": 2, "f64": 8, "u8": 1, "u16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8}


@contextlib.contextmanager
def trained(*flags):
    """The directory of the last checkpoint of a run that is given `flags` too."""
    with tempfile.TemporaryDirectory() as work:
        with open(os.path.join(work, "chats.jsonl"), "w") as out:
            for number in range(60):
                messages = [{"role": "user", "content": f"what is {number} and one"},
                            {"role": "assistant", "content": f"{number + 1} of course"}]
                out.write(json.dumps({"messages": messages}) + "\n")
        moat("data", "import", f"--in={work}/chats.jsonl", f"--out={work}/data", "--vocab_size=300")
        # The MLP is so wide that the data ranks' cut falls inside it, and inside a row.
        moat("launch", f"--data={work}/data", f"--run_root={work}/runs", "--run=small", "--dp=2", "--tp=2",
             "--threads=1", "--layers=1", "--tie_embeddings", "--width=40", "--heads=4", "--kv_heads=2", "--ffn=600",
             "--seq_len=32", "--global_batch=4", "--micro_batch=1", "--steps=4", "--checkpoint_every=2",
             "--eval_every=0", *flags)
        folder = os.path.join(work, "runs", "small", "ckpt")
        yield os.path.join(folder, sorted(name for name in os.listdir(folder) if name.startswith("step-"))[-1])


def manifest_of(directory):
    """The manifest; ends the script unless its own CRC is right."""
    with open(os.path.join(directory, "manifest.json"), "rb") as file:
        text = file.read()
    if text[-21:] != b'"crc32c":"' + b"%08x" % crc32c(text[:-21]) + b'"}\n':
        sys.exit(f"the manifest ends with {text[-21:]!r}, but its CRC is {crc32c(text[:-21]):08x}")
    return json.loads(text)


def box(piece):
    """[(begin, end)] of each dim of a piece of a tensor."""
    return [tuple(int(n) for n in part.split(":")) for part in piece["slice"].split(",") if part]
