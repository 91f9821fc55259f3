#!/usr/bin/python3
"""The safetensors library reads a checkpoint's files, and its tensors are the manifest's slices."""
import os
import sys

import trained_checkpoint as checkpoint
from crc32c import crc32c
from script import expect, need

numpy, safetensors, safetensors_numpy = need("numpy", "safetensors", "safetensors.numpy")

TYPES = {"f32": "float32", "f64": "float64", "u64": "uint64", "i64": "int64", "u8": "uint8"}


def check_files_by(who):
    with checkpoint.trained(f"--checkpoint_files={who}") as directory:
        manifest = checkpoint.manifest_of(directory)
        files, used = {}, 0
        for name in manifest["files"]:
            files[name] = safetensors_numpy.load_file(os.path.join(directory, name))
            with safetensors.safe_open(os.path.join(directory, name), "np") as file:
                expect(f"metadata of {name}", file.metadata()["step"], str(manifest["step"]))
        for name, tensor in manifest["tensors"].items():
            for piece in tensor["pieces"]:
                values = files[piece["file"]][f"{name}@{piece['slice']}"]
                expect(name, values.shape, tuple(end - begin for begin, end in checkpoint.box(piece)))
                expect(name, str(values.dtype), TYPES[tensor["dtype"]])
                expect(f"CRC of {name}@{piece['slice']}", f"{crc32c(values.tobytes()):08x}", piece["crc32c"])
                used += 1
        expect("tensors in the files", sum(len(tensors) for tensors in files.values()), used)
        path = os.path.join(directory, sorted(files)[0])
        os.truncate(path, os.path.getsize(path) - 4)  # what was checked can fail
        try:
            safetensors_numpy.load_file(path)
        except safetensors.SafetensorError:
            print(f"ok, a file by {who}: {used} slices read by safetensors {safetensors.__version__}")
            return
        sys.exit("a file without its last element was read")


def main():
    for who in ("rank", "node"):
        check_files_by(who)


if __name__ == "__main__":
    main()
