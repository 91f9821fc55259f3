#!/usr/bin/env python3
"""A training step of moat's presets in PyTorch, for comparison on the same device: one row of a table in Markdown.

pytorch_peer.py PRESET SLOTS SEQUENCES [JSON FILE]
Compiled, scaled_dot_product_attention, fused AdamW, autocast to bf16; FLOPs are counted as moat does, 6N + 6LCT a token.
"""
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional

# layers, width, heads, kv heads, ffn, vocabulary, Llama-style
PRESETS = {
    "gpt2_124m": (12, 768, 12, 12, 3072, 50257, False),
    "gpt2_350m": (24, 1024, 16, 16, 4096, 50257, False),
    "gpt2_1558m": (48, 1600, 25, 25, 6400, 50257, False),
    "llama_1b": (16, 2048, 32, 8, 8192, 128256, True),
}
PEAK = 989e12
UNMEASURED, MEASURED = 5, 10


class Layer(nn.Module):
    def __init__(self, width, heads, kv_heads, ffn, llama):
        super().__init__()
        self.heads, self.kv_heads, self.head, self.llama = heads, kv_heads, width // heads, llama
        norm = nn.RMSNorm if llama else nn.LayerNorm
        self.norm1, self.norm2 = norm(width), norm(width)
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head, bias=not llama)
        self.out = nn.Linear(width, width, bias=not llama)
        self.up = nn.Linear(width, (2 if llama else 1) * ffn, bias=not llama)
        self.down = nn.Linear(ffn, width, bias=not llama)

    def rotate(self, x, cosine, sine):
        a, b = x.chunk(2, -1)
        return torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1).to(x.dtype)

    def forward(self, x, cosine, sine):
        rows, slots, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(rows, slots, -1, self.head).transpose(1, 2)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), 1)
        if self.llama:
            q, k = self.rotate(q, cosine, sine), self.rotate(k, cosine, sine)
            groups = self.heads // self.kv_heads
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(rows, slots, width))
        h = self.up(self.norm2(x))
        if self.llama:
            gate, up = h.chunk(2, -1)
            return x + self.down(functional.silu(gate) * up)
        return x + self.down(functional.gelu(h, approximate="tanh"))


class Model(nn.Module):
    def __init__(self, layers, width, heads, kv_heads, ffn, vocabulary, llama, slots):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = None if llama else nn.Embedding(slots, width)
        self.layers = nn.ModuleList(Layer(width, heads, kv_heads, ffn, llama) for _ in range(layers))
        self.norm = (nn.RMSNorm if llama else nn.LayerNorm)(width)
        head = width // heads
        angles = torch.outer(torch.arange(slots).float(), 500000.0 ** (-torch.arange(0, head, 2).float() / head))
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight
        for layer in self.layers:
            x = layer(x, self.cosine, self.sine)
        logits = functional.linear(self.norm(x), self.embedding.weight)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def main():
    preset, slots, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    layers, width, *_, vocabulary, _ = shape = PRESETS[preset]
    torch.manual_seed(1)
    model = Model(*shape, slots).cuda()
    # The embedding is tied to the output, whose product counts; positions are in no product.
    products = sum(p.numel() for p in model.parameters() if p.dim() == 2) - (0 if shape[-1] else slots * width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    compiled = torch.compile(model)
    tokens, targets = torch.randint(vocabulary, (2, rows, slots), device="cuda")
    seconds = []
    for _ in range(UNMEASURED + MEASURED):
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            loss = compiled(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    median = sorted(seconds[UNMEASURED:])[MEASURED // 2]
    rate = rows * slots / median
    mfu = rate * (6 * products + 6 * layers * width * slots) / PEAK
    print(f"| {preset} | {rows} | {slots} | {median * 1e3:.1f} | {rate:.0f} | {mfu:.1%} |")
    if len(sys.argv) > 4:
        line = {"part": "peer", "preset": preset, "sequences": rows, "seq_len": slots, "step_ms_median": median * 1e3,
                "tokens_per_s": rate, "mfu": mfu, "torch": torch.__version__}
        with open(sys.argv[4], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
