#!/usr/bin/python3
"""h5py reads a shard of `moat data import`: what docs/dataset-format.md promises is there, and the texts come back."""
import hashlib
import hmac
import json
import os
import sys

import awkward_dataset as awkward
from crc32c import crc32c
from script import expect, need

h5py, numpy, sentencepiece = need("h5py", "numpy", "sentencepiece")

COUNTS = {"tokens": ("tokens", 0), "segment_start": ("segments", 1), "segment_role": ("segments", 0),
          "segment_weight": ("segments", 0), "first_segment": ("interactions", 1), "id": ("interactions", 0),
          "user": ("interactions", 0), "time": ("interactions", 0), "request": ("interactions", 0)}
TYPES = {"tokens": "<u2", "segment_role": "|u1", "segment_weight": "<f4", "time": "<i8"}
CONTENT = {"tokens": "u16", "segment_start": "u64", "segment_role": "u8", "segment_weight": "f32",
           "first_segment": "u64", "time": "i64", "request": "u64"}
BLOCK = 1 << 20


def check_layout(file):
    expect("format", file.attrs["format"].decode(), "moat.interactions")
    expect("version", int(file.attrs["version"]), 1)
    expect("names", sorted(file), sorted([*COUNTS, "crc32c"]))
    expect("names of checksums", sorted(file["crc32c"]), sorted(COUNTS))
    for name, (counted, more) in COUNTS.items():
        data = file[name]
        expect(f"type of {name}", data.dtype.str, TYPES.get(name, "<u8"))
        expect(f"shape of {name}", data.shape, (int(file.attrs[counted]) + more,))
        expect(f"layout of {name}", (data.chunks, data.compression), (None, None))
        raw = data[:].tobytes()
        sums = [crc32c(raw[at:at + BLOCK]) for at in range(0, len(raw), BLOCK)]
        expect(f"checksums of {name}", file["crc32c"][name][:].tolist(), sums)
    digest = hashlib.sha256()
    for name, kind in CONTENT.items():
        digest.update(name.encode() + b"\0" + kind.encode() + b"\0" + len(file[name]).to_bytes(8, "little"))
        digest.update(file[name][:].tobytes())
    expect("content digest", file.attrs["content_digest"].decode(), digest.hexdigest())


def keyed(key, text):
    return int.from_bytes(hmac.new(key, text.encode(), hashlib.sha256).digest()[:8], "little")


def check_people(folder, found):
    """Ids, users and times are those of the records, under the data set's key."""
    with open(os.path.join(folder, "user.key"), "rb") as file:
        key = file.read()
    for record, _ in awkward.dialogs():
        who = keyed(key, "id:" + record["id"])
        expect(record["id"], found.get(who), (keyed(key, "user:" + record["user"]), record["time"] * 1000000))


def check_index(folder, opened):
    with open(os.path.join(folder, "index.json")) as file:
        index = json.load(file)
    expect("shards", sorted(os.path.basename(s["file"]) for s in index["shards"]), sorted(opened))
    for shard in index["shards"]:
        offsets = opened[os.path.basename(shard["file"])]
        expect("offsets in the index", {a["name"]: a["offset"] for a in shard["arrays"]}, offsets)


def main():
    with awkward.imported() as (folder, expected):
        pieces = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
        texts, people, opened = [], {}, {}
        for path in awkward.shards(folder):
            with h5py.File(path) as file:
                check_layout(file)
                opened[os.path.basename(path)] = {name: file[name].id.get_offset() for name in COUNTS}
                people.update(zip(file["id"][:].tolist(), zip(file["user"][:].tolist(), file["time"][:].tolist())))
                for segments in awkward.interactions(file):
                    texts.append([(role, awkward.text_of(pieces, tokens)) for role, tokens in segments])
        check_people(folder, people)
        check_index(folder, opened)
        expect("interactions", len(texts), len(expected))
        for interaction in expected:
            if interaction not in texts:
                sys.exit(f"lost: {interaction!r:.300}")
        try:  # what was checked can fail
            with h5py.File(awkward.shards(folder)[0], "r+") as file:
                file["tokens"][5] += 1
                check_layout(file)
        except SystemExit:
            print(f"ok: {len(texts)} interactions")
            return
        sys.exit("a changed token went unseen")


if __name__ == "__main__":
    main()
