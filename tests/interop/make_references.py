#!/usr/bin/python3
"""Writes tests/interop/references/: what PyTorch says of two small models, for tests/interop/*_test.cc to compare with.

    /usr/bin/python3 tests/interop/make_references.py

Run by hand where PyTorch is installed; the files are committed, and tests fail until they are written again after a
change to this script. The models are the textbook's: one interaction at a time, plain attention, PyTorch's own
cross-entropy, layer norm, GELU, SiLU, autograd and AdamW. They share nothing with moat's code.

  llama  Touvron et al., "LLaMA", 2023, section 2.2, and Ainslie et al., "GQA", 2023
  gpt2   Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3
  mixed  LayerNorm, rotary positions and biases everywhere, those of SwiGLU too

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
import torch.nn.functional as F

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "references")
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


def draw_weights(c, seed, matrix, other):
    """Embeddings are small, so that the norms' epsilon matters; no norm is one and no bias zero."""
    weights = {}
    for name, shape in shapes(c).items():
        draw = random.Random(f"{seed}/{name}")
        scale = 0.1 if name in ("embedding", "position") else matrix if len(shape) == 2 else other
        mean = 1.0 if name.endswith("norm") else 0.0
        values = [mean + scale * draw.gauss(0, 1) for _ in range(math.prod(shape))]
        weights[name] = torch.tensor(values, dtype=torch.float32).reshape(shape)
    return weights


class Model:
    """Logits of one interaction. A family says what its norm, its positions and its MLP are."""

    def __init__(self, c, weights):
        self.c, self.w = c, weights

    def linear(self, x, layer, name):
        return F.linear(x, self.w[layer + name], self.w.get(layer + name.replace(".w", ".b")))

    def heads(self, x):  # [slots, heads * d] -> [heads, slots, d]
        return x.view(len(x), -1, WIDTH // HEADS).transpose(0, 1)

    def scores(self, q, k):
        return q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])

    def shared(self, x):  # query heads 0 and 1 read head 0 of keys and values, 2 and 3 read head 1
        return x.repeat_interleave(self.c["heads"] // self.c["kv_heads"], dim=0)

    def turned(self, x, first):
        return x

    def attention(self, x, layer, first):
        q = self.turned(self.heads(self.linear(x, layer, "attention.wq")), first)
        k = self.shared(self.turned(self.heads(self.linear(x, layer, "attention.wk")), first))
        v = self.shared(self.heads(self.linear(x, layer, "attention.wv")))
        later = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
        seen = self.scores(q, k).masked_fill(later, -math.inf).softmax(-1)
        return self.linear((seen @ v).transpose(0, 1).reshape(len(x), -1), layer, "attention.wo")

    def logits(self, tokens, first=0):
        x = self.embed(tokens, first)
        for number in range(self.c["layers"]):
            layer = f"layers.{number}."
            x = x + self.attention(self.norm(x, layer + "attention_norm"), layer, first)
            x = x + self.mlp(self.norm(x, layer + "ffn_norm"), layer)
        return F.linear(self.norm(x, "final_norm"), self.w["embedding" if self.c["tie_embeddings"] else "output"])

    def row_logits(self, tokens, span_start):
        """An interaction knows nothing of its neighbours in the row, nor where in the row it stands."""
        starts = sorted(set(span_start))
        return torch.cat([self.logits(tokens[a:b]) for a, b in zip(starts, starts[1:] + [len(tokens)])])

    def loss(self, rows):
        """sum(w * cross-entropy) and the logits of all rows."""
        logits = torch.cat([self.row_logits(torch.tensor(r["tokens"]), r["span_start"]) for r in rows])
        targets = torch.tensor([t for r in rows for t in r["targets"]])
        weights = torch.tensor([w for r in rows for w in r["weights"]], dtype=logits.dtype)
        return (weights * F.cross_entropy(logits, targets, reduction="none")).sum(), logits


class Llama(Model):
    def norm(self, x, name):
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + self.c["norm_epsilon"]) * self.w[name]

    def embed(self, tokens, first):
        return self.w["embedding"][tokens]

    def angles(self, x, first):
        d = x.shape[-1]
        frequency = self.c["rotary_base"] ** (-torch.arange(0, d, 2, dtype=x.dtype) / d)
        return torch.outer(torch.arange(first, first + x.shape[1], dtype=x.dtype), frequency)

    def turned(self, x, first):  # feature i turns with feature i + d / 2
        angles = self.angles(x, first)
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    def mlp(self, x, layer):
        return self.linear(F.silu(self.linear(x, layer, "ffn.w_gate")) * self.linear(x, layer, "ffn.w_up"), layer,
                           "ffn.w_down")


class Gpt2(Model):
    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name], self.w[name + ".bias"], self.c["norm_epsilon"])

    def embed(self, tokens, first):
        return self.w["embedding"][tokens] + self.w["position"][first:first + len(tokens)]

    def mlp(self, x, layer):
        return self.linear(F.gelu(self.linear(x, layer, "ffn.w_up"), approximate="tanh"), layer, "ffn.w_down")


class Mixed(Llama):
    norm = Gpt2.norm


class UnscaledScores(Model):
    def scores(self, q, k):
        return q @ k.transpose(1, 2)


class SpansSeeEachOther(Model):
    def row_logits(self, tokens, span_start):
        return self.logits(tokens)


class PositionsGoOn(Model):
    def row_logits(self, tokens, span_start):
        starts = sorted(set(span_start))
        return torch.cat([self.logits(tokens[a:b], a) for a, b in zip(starts, starts[1:] + [len(tokens)])])


class HeadsSharedInTurn(Model):
    def shared(self, x):
        return x.repeat(self.c["heads"] // self.c["kv_heads"], 1, 1)


class NeighboursTurn(Llama):
    def turned(self, x, first):
        angles = self.angles(x, first)
        a, b = x[..., 0::2], x[..., 1::2]
        pairs = [a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()]
        return torch.stack(pairs, -1).reshape(x.shape)


class BaseOf500000(Llama):
    def angles(self, x, first):
        return Llama({**self.c, "rotary_base": 500000.0}, self.w).angles(x, first)


class RmsEpsilonOutside(Llama):
    def norm(self, x, name):
        return x / (torch.sqrt(x.square().mean(-1, keepdim=True)) + self.c["norm_epsilon"]) * self.w[name]


class GateAndUpExchanged(Llama):
    def mlp(self, x, layer):
        return self.linear(F.silu(self.linear(x, layer, "ffn.w_up")) * self.linear(x, layer, "ffn.w_gate"), layer,
                           "ffn.w_down")


class GeluOfErf(Gpt2):
    def mlp(self, x, layer):
        return self.linear(F.gelu(self.linear(x, layer, "ffn.w_up")), layer, "ffn.w_down")


class LayerNormBy(Gpt2):
    def norm(self, x, name):
        return (x - x.mean(-1, keepdim=True)) / self.deviation(x) * self.w[name] + self.w[name + ".bias"]


class LayerEpsilonOutside(LayerNormBy):
    def deviation(self, x):
        return x.std(-1, unbiased=False, keepdim=True) + self.c["norm_epsilon"]


class VarianceOfNMinusOne(LayerNormBy):
    def deviation(self, x):
        return torch.sqrt(x.var(-1, unbiased=True, keepdim=True) + self.c["norm_epsilon"])


MISTAKES = {
    "llama": {"unscaled_scores": UnscaledScores, "spans_see_each_other": SpansSeeEachOther,
              "heads_shared_in_turn": HeadsSharedInTurn, "neighbours_turn": NeighboursTurn,
              "base_of_500000": BaseOf500000, "epsilon_outside": RmsEpsilonOutside,
              "gate_and_up_exchanged": GateAndUpExchanged},
    "gpt2": {"unscaled_scores": UnscaledScores, "spans_see_each_other": SpansSeeEachOther,
             "positions_go_on": PositionsGoOn, "gelu_of_erf": GeluOfErf, "epsilon_outside": LayerEpsilonOutside,
             "variance_of_n_minus_one": VarianceOfNMinusOne},
}


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
    with open(__file__, "rb") as script:
        metadata.update(script_sha256=hashlib.sha256(script.read()).hexdigest(), torch=torch.__version__)
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


def write_values(name, family, c):
    draw = Draw(7)
    rows = [draw_row(draw, number) for number in range(2)]
    weights = {k: w.double().requires_grad_(True) for k, w in draw_weights(c, name, 0.3, 0.3).items()}
    loss, logits = family(c, weights).loss(rows)
    loss.backward()
    tensors = {"loss": torch.stack([loss, torch.tensor(sum(w for r in rows for w in r["weights"])).double()])}
    for key, kind in (("tokens", torch.int32), ("targets", torch.int32), ("span_start", torch.int32),
                      ("weights", torch.float32)):
        tensors["batch/" + key] = torch.tensor([r[key] for r in rows], dtype=kind)
    tensors["logits"] = logits.float()
    for key, weight in weights.items():
        tensors["weight/" + key] = weight.float()
        tensors["gradient/" + key] = weight.grad.float()
    write(name, tensors, config=json.dumps(c))
    mistakes = {}
    for mistake, wrong in MISTAKES.get(name, {}).items():
        spoilt = type(mistake, (wrong, family), {})
        mistakes[mistake] = spoilt(c, weights).loss(rows)[1].detach().float()
        far = ((mistakes[mistake] - logits).norm() / logits.norm()).item()
        print(f"{name}: {mistake} is {far:.1e} away")
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
