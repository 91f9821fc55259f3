"""Two families of language models as their papers define them, in PyTorch; they share nothing with moat's code.

One interaction at a time, plain attention, PyTorch's own cross-entropy, layer norm, GELU and SiLU.

  Llama  Touvron et al., "LLaMA", 2023, section 2.2, and Ainslie et al., "GQA", 2023
  Gpt2   Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3
  Mixed  LayerNorm, rotary positions and biases everywhere, those of SwiGLU too
"""
import math

import torch
import torch.nn.functional as F


class Model:
    """Logits of one interaction. A family says what its norm, its positions and its MLP are."""

    def __init__(self, c, weights):
        self.c, self.w = c, weights

    def linear(self, x, layer, name):
        return F.linear(x, self.w[layer + name], self.w.get(layer + name.replace(".w", ".b")))

    def heads(self, x):  # [slots, heads * d] -> [heads, slots, d]
        return x.view(len(x), -1, self.c["width"] // self.c["heads"]).transpose(0, 1)

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
