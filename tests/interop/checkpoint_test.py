#!/usr/bin/python3
"""A checkpoint is what docs/checkpoint-format.md says, read with Python's standard library alone."""
import json
import math
import os
import struct
import sys

import trained_checkpoint as checkpoint
from crc32c import crc32c

DTYPES = {"F32": "f32", "BF16": "bf16", "F64": "f64", "U8": "u8", "U16": "u16", "U32": "u32", "I32": "i32",
          "U64": "u64", "I64": "i64"}


def read_file(path, listed):
    """(where data begins, header, bytes) of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    begin = 8 + length
    check(path, "bytes", len(data), listed["bytes"])
    check(path, "header bytes", begin, listed["header_bytes"])
    check(path, "alignment of the data", begin % 8, 0)
    check(path, "CRC of the header", f"{crc32c(data[:begin]):08x}", listed["header_crc32c"])
    return begin, json.loads(data[8:begin]), data


def check(where, what, found, expected):
    if found != expected:
        raise ValueError(f"{where}: {what} is {found}, expected {expected}")


def check_piece(name, tensor, piece, files):
    begin, header, data = files[piece["file"]]
    where = f"{name}@{piece['slice']}"
    entry = header.get(where)
    if entry is None:
        raise ValueError(f"{piece['file']} has no {where}: {sorted(header)[:5]}")
    shape = [end - start for start, end in checkpoint.box(piece)]
    check(where, "shape", entry["shape"], shape)
    check(where, "dtype", DTYPES[entry["dtype"]], tensor["dtype"])
    check(where, "bytes", piece["bytes"], math.prod(shape) * checkpoint.WIDTHS[tensor["dtype"]])
    end = piece["offset"] + piece["bytes"]
    check(where, "place", [o + begin for o in entry["data_offsets"]], [piece["offset"], end])
    check(where, "CRC", f"{crc32c(data[piece['offset']:end]):08x}", piece["crc32c"])


def check_cover(name, tensor):
    """Every element of the tensor is in exactly one piece."""
    seen = set()
    for piece in tensor["pieces"]:
        cells = [0]
        for (begin, end), extent in zip(checkpoint.box(piece), tensor["shape"]):
            if not 0 <= begin < end <= extent:
                raise ValueError(f"{name}@{piece['slice']} lies outside {tensor['shape']}")
            cells = [cell * extent + i for cell in cells for i in range(begin, end)]
        if not seen.isdisjoint(cells):
            raise ValueError(f"{name}@{piece['slice']} overlaps another piece")
        seen.update(cells)
    check(name, "elements in pieces", len(seen), math.prod(tensor["shape"]))


def check_tiling(file, begin, size, pieces):
    at = begin
    for piece in sorted(pieces, key=lambda p: p["offset"]):
        check(file, "byte after a piece", piece["offset"], at)
        at += piece["bytes"]
    check(file, "its end", at, size)


def check_all(directory):
    manifest = checkpoint.manifest_of(directory)
    check(directory, "format", (manifest["format"], manifest["version"]), ("moat.checkpoint", 1))
    files = {name: read_file(os.path.join(directory, name), listed) for name, listed in manifest["files"].items()}
    check(directory, "files", sorted(os.listdir(directory)), sorted([*files, "manifest.json"]))
    pieces = {name: [] for name in files}
    for name, tensor in manifest["tensors"].items():
        check_cover(name, tensor)
        for piece in tensor["pieces"]:
            check_piece(name, tensor, piece, files)
            pieces[piece["file"]].append(piece)
    for name, (begin, header, data) in files.items():
        check_tiling(name, begin, len(data), pieces[name])
        check(name, "tensors", len(header) - 1, len(pieces[name]))
        check(name, "metadata", (header["__metadata__"]["format"], header["__metadata__"]["step"]),
              ("moat.checkpoint", str(manifest["step"])))
    return manifest


def check_one_of(who, file_count):
    """`who` writes a file: a rank, or the ranks of a node together."""
    with checkpoint.trained(f"--checkpoint_files={who}") as directory:
        manifest = check_all(directory)
        check(directory, "files of four ranks", len(manifest["files"]), file_count)
        split = sum(len(tensor["pieces"]) > 1 for tensor in manifest["tensors"].values())
        up = manifest["tensors"]["model.layers.0.ffn.w_up"]["pieces"]
        down = manifest["tensors"]["model.layers.0.ffn.w_down"]["pieces"]
        if len(up) < 6 or checkpoint.box(down[0])[1] != (0, 300):
            sys.exit(f"neither cut is where it shows something: {up} {down}")
        path = os.path.join(directory, sorted(manifest["files"])[-1])
        with open(path, "r+b") as file:  # what was checked can fail
            file.seek(-3, os.SEEK_END)
            byte = file.read(1)
            file.seek(-3, os.SEEK_END)
            file.write(bytes([byte[0] ^ 1]))
        try:
            check_all(directory)
        except ValueError as error:
            print(f"ok, a file by {who}: {len(manifest['tensors'])} tensors, {split} in several pieces; a flipped bit is seen: {error}")
            return
        sys.exit("a flipped bit went unseen")


def main():
    check_one_of("rank", 4)
    check_one_of("node", 1)


if __name__ == "__main__":
    main()
