#!/usr/bin/python3
"""The Python that the pages on formats show runs as it stands, and reads what is there."""
import contextlib
import io
import json
import os
import re
import sys
import textwrap

import awkward_dataset as awkward
import trained_checkpoint as checkpoint
from crc32c import crc32c
from script import expect, moat, need

h5py, numpy = need("h5py", "numpy")


def shown(page, begins):
    """The one example of a page that begins so: fenced, or indented by four."""
    with open(os.path.join("docs", page)) as file:
        text = file.read()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M) + re.findall(r"(?:^    .*\n)+", text, re.M)
    found = [textwrap.dedent(block) for block in blocks if textwrap.dedent(block).startswith(begins)]
    expect(f"examples in {page} that begin with {begins!r}", len(found), 1)
    return found[0]


def check_dataset():
    example = shown("dataset-format.md", "import h5py")
    expect("lines of the example are ten at most", len(example.splitlines()) <= 10, True)
    with awkward.imported() as (folder, _):
        path = awkward.shards(folder)[0]
        example, places = re.subn(r'"datasets/[^"]*\.h5"', repr(path), example)
        expect("places where the example names a shard", places, 1)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(example, {})
        with h5py.File(path) as file:
            segments = next(awkward.interactions(file))
        lines = printed.getvalue().split("\n", 1)
        expect("attributes printed", "moat.interactions" in lines[0], True)
        arrays = " ".join(re.findall(r"\[(.*?)\]", lines[1], re.S))
        wanted = [token for _, tokens in segments for token in tokens]
        expect("tokens printed", [int(n) for n in arrays.split()], wanted)


def check_checkpoint():
    scope = {}
    exec(shown("checkpoint-format.md", "import json, numpy"), scope)
    with checkpoint.trained() as directory:
        for name, tensor in checkpoint.manifest_of(directory)["tensors"].items():
            whole = scope["load"](directory, name)
            expect(f"shape of {name}", list(whole.shape), tensor["shape"])
            for piece in tensor["pieces"]:
                part = whole[tuple(slice(*bounds) for bounds in checkpoint.box(piece))]
                expect(f"{name}@{piece['slice']}", f"{crc32c(part.tobytes()):08x}", piece["crc32c"])
            shown_by_moat = json.loads(moat("checkpoint", "inspect", directory, f"--tensor={name}", "--json"))
            found = shown_by_moat["statistics"]
            expect(f"extremes of {name}", (found["min"], found["max"]), (float(whole.min()), float(whole.max())))
            mean = float(whole.mean(dtype="f8"))
            expect(f"mean of {name}", abs(found["mean"] - mean) <= 1e-9 + 1e-9 * abs(mean), True)


def main():
    check_dataset()
    check_checkpoint()
    print("ok: both examples read what is there")


if __name__ == "__main__":
    sys.exit(main())
