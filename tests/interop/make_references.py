#!/usr/bin/python3
"""Writes tests/interop/references/: what PyTorch says of two small models, for tests/interop/*_test.cc to compare with.

    /usr/bin/python3 tests/interop/make_references.py

Run by hand where PyTorch is installed; the files are committed, and tests fail until they are written again after a
change to this script or the models it writes of.

Files, safetensors, f32 computed in f64: <model>.safetensors holds weights, a batch, logits, the loss and all gradients;
<model>_mistakes.safetensors the logits that one mistake each would give; <model>_training.safetensors weights and the
losses and gradient norms of 200 steps (trained in f32), and the losses that mistakes would give.
"""
import hashlib
import json
import math
import os
import random
import struct

import torch

from mistaken_models import MISTAKES
from textbook_models import Gpt2, Llama, Mixed

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "references")
SCRIPTS = ["make_references.py", "mistaken_models.py", "textbook_models.py"]
VOCAB, LAYERS, WIDTH, HEADS, SEQ_LEN = 61, 2, 32, 4, 24
COMMON = {"vocab_size": VOCAB, "layers": LAYERS, "width": WIDTH, "heads": HEADS, "seq_len": SEQ_LEN,
          "rotary_base": 10000.0, "norm_epsilon": 1e-5}
LLAMA = {**COMMON, "kv_heads": 2, "ffn": 48, "norm": "rms", "position": "rotary", "mlp": "swiglu",
         "tie_embeddings": False, "bias": False}
GPT2 = {**COMMON, "kv_heads": HEADS, "ffn": 128, "norm": "layer", "position": "learned", "mlp": "gelu",
        "tie_embeddings": True, "bias": True}
MIXED = {**LLAMA, "norm": "layer", "bias": True}
# Clipped in most steps, not in all. Step 100 has no weight at all, so it has no mean and no update.
TRAINING = {"steps": 200, "global_batch": 4, "micro_batch": 2, "lr": 1e-2, "min_lr": 0.1, "warmup": 20,
            "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "adam_epsilon": 1e-8, "clip": 1.6}
WEIGHTLESS_STEP = 100


def shapes(c):
    """Every parameter's shape by its name in moat's checkpoints."""
    width, kv = c["width"], c["kv_heads"] * (c["width"] // c["heads"])
    table = {"embedding": (c["vocab_size"], width)}
    if c["position"] == "learned":
        table["position"] = (c["seq_len"], width)
    matrices = {"attention.wq": (width, width), "attention.wk": (kv, width), "attention.wv": (kv, width),
                "attention.wo": (width, width), "ffn.w_up": (c["ffn"], width), "ffn.w_down": (width, c["ffn"])}
    if c["mlp"] == "swiglu":
        matrices["ffn.w_gate"] = (c["ffn"], width)
    norms = ["final_norm"]
    for layer in range(c["layers"]):
        norms += [f"layers.{layer}.attention_norm", f"layers.{layer}.ffn_norm"]
        for name, shape in matrices.items():
            table[f"layers.{layer}.{name}"] = shape
            if c["bias"]:
                table[f"layers.{layer}.{name.replace('.w', '.b')}"] = shape[:1]
    for norm in norms:
        table[norm] = (width,)
        if c["norm"] == "layer":
            table[norm + ".bias"] = (width,)
    if not c["tie_embeddings"]:
        table["output"] = (c["vocab_size"], width)
    return table


def draw_weights(c, seed, matrix, other, embedding=0.1):
    """Embeddings are small, so that the norms' epsilon matters; no norm is one and no bias zero."""
    weights = {}
    for name, shape in shapes(c).items():
        draw = random.Random(f"{seed}/{name}")
        scale = embedding if name in ("embedding", "position") else matrix if len(shape) == 2 else other
        mean = 1.0 if name.endswith("norm") else 0.0
        values = [mean + scale * draw.gauss(0, 1) for _ in range(math.prod(shape))]
        weights[name] = torch.tensor(values, dtype=torch.float32).reshape(shape)
    return weights


TRAINING_MISTAKES = ["decay_joins_the_gradient", "vectors_decay", "mean_of_means", "weightless_step_updates",
                     "clipped_before_the_mean"]


class Draw:
    """A linear congruential generator; tests/interop/pattern.h has the same."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound


def draw_row(draw, number, weightless=False):
    """A row of one or two spans. Each follows one of two rules for the next token, but for one token in eight."""
    cut = 6 + draw.below(12) if number % 2 else 0
    row = {"tokens": [], "targets": [], "weights": [], "span_start": []}
    for slot in range(SEQ_LEN):
        if slot in (0, cut):
            token, rule = draw.below(VOCAB), draw.below(2)
        following = (3 * token + 7 if rule else token + 11) % VOCAB
        if draw.below(8) == 0:
            following = draw.below(VOCAB)
        weight = draw.below(4) * 0.5
        row["tokens"].append(token)
        row["targets"].append(following)
        row["weights"].append(0.0 if weightless else weight)
        row["span_start"].append(cut if slot >= cut else 0)
        token = following
    return row


def learning_rate(step):
    t = TRAINING
    if step <= t["warmup"]:
        return t["lr"] * step / t["warmup"]
    progress = (step - t["warmup"]) / (t["steps"] - t["warmup"])
    return t["lr"] * (t["min_lr"] + (1 - t["min_lr"]) * 0.5 * (1 + math.cos(math.pi * progress)))


def train(family, c, weights, mistake=None):
    """(losses, gradient norms): AdamW on the mean over the global batch, in the weights' own type."""
    t = TRAINING
    kind = torch.optim.Adam if mistake == "decay_joins_the_gradient" else torch.optim.AdamW
    for weight in weights.values():
        weight.requires_grad_(True)
    groups = [{"params": [w], "weight_decay": t["weight_decay"] if w.dim() == 2 or mistake == "vectors_decay" else 0.0}
              for w in weights.values()]
    optimizer = kind(groups, betas=(t["beta1"], t["beta2"]), eps=t["adam_epsilon"])
    draw, losses, norms = Draw(1), [], []
    for step in range(1, t["steps"] + 1):
        rows = [draw_row(draw, number, step == WEIGHTLESS_STEP) for number in range(t["global_batch"])]
        total = sum(w for row in rows for w in row["weights"])
        optimizer.zero_grad()
        loss = 0.0
        for begin in range(0, len(rows), t["micro_batch"]):
            taken = rows[begin:begin + t["micro_batch"]]
            part, _ = family(c, weights).loss(taken)
            if mistake == "mean_of_means":  # over micro-batches, scaled so that the division below undoes it
                part = part / max(1e-9, sum(w for row in taken for w in row["weights"])) * total / 2
            part.backward()
            loss += part.item()
        if total == 0 and mistake != "weightless_step_updates":
            losses, norms = losses + [0.0], norms + [0.0]
            continue
        if mistake == "clipped_before_the_mean":
            torch.nn.utils.clip_grad_norm_(weights.values(), t["clip"])
        for weight in weights.values():
            weight.grad /= total or 1
        norms.append(torch.nn.utils.clip_grad_norm_(weights.values(), t["clip"]).item())
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        losses.append(loss / (total or 1))
    return losses, norms


def write(name, tensors, **metadata):
    """safetensors: the header's length, the header, the tensors' bytes one after the other."""
    digest = hashlib.sha256()
    for script in SCRIPTS:
        with open(os.path.join(HERE, script), "rb") as file:
            digest.update(file.read())
    metadata.update(scripts_sha256=digest.hexdigest(), torch=torch.__version__)
    header, data = {"__metadata__": metadata}, b""
    kinds = {torch.float64: ("F64", "<%dd"), torch.float32: ("F32", "<%df"), torch.int32: ("I32", "<%di")}
    for key, tensor in tensors.items():
        kind, layout = kinds[tensor.dtype]
        values = tensor.detach().flatten().tolist()
        packed = struct.pack(layout % len(values), *values)
        header[key] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(FOLDER, name + ".safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def values_of(family, c, weights, rows, kind):
    """(weights, loss, logits, gradients), computed in `kind`."""
    weights = {key: weight.to(kind).requires_grad_(True) for key, weight in weights.items()}
    loss, logits = family(c, weights).loss(rows)
    loss.backward()
    return weights, loss.detach(), logits.detach(), {key: weight.grad for key, weight in weights.items()}


def distance(got, want):
    return ((got.double() - want).norm() / want.norm()).item()


def write_values(name, family, c):
    draw = Draw(7)
    rows = [draw_row(draw, number) for number in range(2)]
    # Of the size of a start, and numbers that bf16 has: what is compared is arithmetic, not rounding of the weights.
    start = {key: weight.bfloat16().float() for key, weight in draw_weights(c, name, 0.1, 0.3, 0.075).items()}
    weights, loss, logits, gradients = values_of(family, c, start, rows, torch.float64)
    rounded = values_of(family, c, start, rows, torch.bfloat16)
    # A gradient that is zero but for rounding has no distance.
    spread = [distance(rounded[3][key], g) for key, g in gradients.items() if g.norm() > 1e-9]
    bf16 = [distance(rounded[2], logits), max(spread)]
    print(f"{name}: in bf16 PyTorch's logits are {bf16[0]:.1e} away, its gradients {bf16[1]:.1e}")
    tensors = {"loss": torch.stack([loss, torch.tensor(sum(w for r in rows for w in r["weights"])).double()])}
    for key, kind in (("tokens", torch.int32), ("targets", torch.int32), ("span_start", torch.int32),
                      ("weights", torch.float32)):
        tensors["batch/" + key] = torch.tensor([r[key] for r in rows], dtype=kind)
    tensors["bf16_distances"] = torch.tensor(bf16, dtype=torch.float64)
    tensors["logits"] = logits.float()
    for key, weight in weights.items():
        tensors["weight/" + key] = weight.float()
        tensors["gradient/" + key] = gradients[key].float()
    write(name, tensors, config=json.dumps(c))
    mistakes = {}
    for mistake, wrong in MISTAKES.get(name, {}).items():
        spoilt = type(mistake, (wrong, family), {})
        mistakes[mistake] = spoilt(c, weights).loss(rows)[1].detach().float()
        print(f"{name}: {mistake} is {distance(mistakes[mistake], logits):.1e} away")
    if mistakes:
        write(name + "_mistakes", mistakes, config=json.dumps(c))


def write_training(name, family, c):
    weights = draw_weights(c, name, 0.08, 0.02)

    def trained(kind, mistake=None):
        return train(family, c, {key: weight.to(kind, copy=True) for key, weight in weights.items()}, mistake)

    (losses, norms), (exact, _) = trained(torch.float32), trained(torch.float64)
    drift = max(abs(a - b) for a, b in zip(losses, exact))
    clipped = sum(norm > TRAINING["clip"] for norm in norms)
    print(f"{name}: loss {losses[0]:.3f} -> {losses[-1]:.3f}, {clipped} steps clipped, {drift:.1e} from f64")
    tensors = {"losses": torch.tensor(losses, dtype=torch.float64), "norms": torch.tensor(norms, dtype=torch.float64)}
    for mistake in TRAINING_MISTAKES:
        wrong = trained(torch.float32, mistake)[0]
        print(f"{name}: {mistake} is {max(abs(a - b) for a, b in zip(losses, wrong)):.1e} away")
        tensors["mistake/" + mistake] = torch.tensor(wrong, dtype=torch.float64)
    tensors.update({"weight/" + key: weight for key, weight in weights.items()})
    write(name, tensors, config=json.dumps(c), training=json.dumps(TRAINING))


def main():
    torch.set_num_threads(1)
    os.makedirs(FOLDER, exist_ok=True)
    write_values("llama", Llama, LLAMA)
    write_values("llama_tied", Llama, {**LLAMA, "tie_embeddings": True})
    write_values("gpt2", Gpt2, GPT2)
    write_values("mixed", Mixed, MIXED)
    write_training("llama_training", Llama, LLAMA)
    write_training("gpt2_training", Gpt2, GPT2)


if __name__ == "__main__":
    main()
