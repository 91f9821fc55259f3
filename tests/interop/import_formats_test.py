#!/usr/bin/python3
"""The examples of docs/data-formats.md import as they stand; compressed by others, through a pipe, and as h5py's tokens."""
import gzip
import json
import lzma
import os
import re
import subprocess
import sys
import tempfile

from script import expect, need

h5py, numpy, sentencepiece = need("h5py", "numpy", "sentencepiece")

INTERACTIONS = {"chat.jsonl": 1, "sharegpt.json": 1, "preference.jsonl": 2, "prompt.jsonl": 1, "alpaca.json": 2,
                "text.jsonl": 1, "table.csv": 2}
CHATS = "".join(json.dumps({"messages": [{"role": "user", "content": f"order {i}"},
                                         {"role": "assistant", "content": f"one {i} coming"}]}) + "\n"
                for i in range(60))


def moat(*arguments, given=b""):
    return subprocess.run(["build/bin/moat", "data", *arguments], input=given, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


def read(*arguments, given=b""):
    """How many interactions an import would read."""
    done = moat("import", *arguments, "--dry_run", "--json", given=given)
    if done.returncode != 0:
        sys.exit(f"{arguments} exits {done.returncode}: {done.stderr.decode()}")
    report = json.loads(done.stdout)
    expect(f"malformed records with {arguments}", report["quarantine_examples"], [])
    return report["read"]


def page():
    with open("docs/data-formats.md") as file:
        return file.read()


def check_examples(work):
    examples = dict(re.findall(r"^`([a-z]+\.[a-z]+)`[^\n]*\n```(?:json|csv)\n(.*?)^```", page(), re.S | re.M))
    expect("examples", sorted(examples), sorted(INTERACTIONS))
    for name, text in examples.items():
        with open(os.path.join(work, name), "w") as out:
            out.write(text)
        expect(f"interactions of {name}", read(f"--in={work}/{name}"), INTERACTIONS[name])
    expect("interactions of all", read(f"--in={work}/*.[jc]s*"), sum(INTERACTIONS.values()))


def check_pipes(work):
    chats = CHATS.encode()
    expect("chats through a pipe", read("--in=-", given=chats), 60)
    expect("gzip through a pipe", read("--in=-", given=gzip.compress(chats)), 60)
    expect("xz through a pipe", read("--in=-", given=lzma.compress(chats)), 60)
    expect("a table through a pipe", read("--in=-", "--format=csv", given=b"prompt,completion\nq,a\n"), 1)
    done = moat("import", "--in=-", "--dry_run", given=b"prompt,completion\nq,a\n")
    expect("exit code of a table that nobody named", done.returncode, 2)
    out = f"{work}/piped"
    for expected in (0, 2):  # never "nothing to do"
        done = moat("import", "--in=-", f"--out={out}", "--vocab_size=300", given=chats)
        expect("exit code of an import through a pipe", done.returncode, expected)


def check_cut(work):
    with open(f"{work}/cut.jsonl.gz", "wb") as out:
        out.write(gzip.compress(CHATS.encode())[:-9])
    done = moat("import", f"--in={work}/cut.jsonl.gz", f"--out={work}/cut")
    expect("exit code of a cut file", done.returncode, 65)
    expect("its message names the file", b"cut.jsonl.gz: the gzip data ends too early" in done.stderr, True)
    expect("nothing is left", [name for name in os.listdir(work) if name.startswith(("cut", ".cut"))], ["cut.jsonl.gz"])


def check_tokens(work):
    example = re.search(r"^```python\n(import h5py.*?)^```", page(), re.S | re.M).group(1)
    expect("lines of the example are ten at most", len(example.splitlines()) <= 10, True)
    tokenizer = f"{work}/piped/tokenizer.model"
    example = example.replace('"tokenizer.model"', repr(tokenizer)).replace('"tokens.h5"', repr(f"{work}/tokens.h5"))
    exec(example, {})
    expect("documents", read(f"--in={work}/tokens.h5", f"--tokenizer={tokenizer}"), 2)
    expect("exit code without a tokenizer", moat("import", f"--in={work}/tokens.h5", "--dry_run").returncode, 2)


def main():
    with tempfile.TemporaryDirectory() as work:
        check_examples(work)
        check_pipes(work)
        check_cut(work)
        check_tokens(work)


main()
