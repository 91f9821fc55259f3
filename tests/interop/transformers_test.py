#!/usr/bin/python3
"""Hugging Face's transformers says of the committed references what make_references.py says: logits and gradients."""
import json
import os
import struct
import sys

from script import need

torch, transformers = need("torch", "transformers")

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "references")
KINDS = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32}
BOUND = 1e-5  # relative L2, in f32


def read(name):
    with open(os.path.join(FOLDER, name + ".safetensors"), "rb") as file:
        data = file.read()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:begin])
    config = json.loads(header.pop("__metadata__")["config"])
    tensors = {}
    for key, entry in header.items():
        first, last = (begin + offset for offset in entry["data_offsets"])
        tensors[key] = torch.frombuffer(bytearray(data[first:last]), dtype=KINDS[entry["dtype"]]).view(entry["shape"])
    return config, tensors


def llama(c):
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=c["vocab_size"], hidden_size=c["width"], intermediate_size=c["ffn"], num_hidden_layers=c["layers"],
        num_attention_heads=c["heads"], num_key_value_heads=c["kv_heads"], max_position_embeddings=c["seq_len"],
        rms_norm_eps=c["norm_epsilon"], rope_theta=c["rotary_base"], tie_word_embeddings=c["tie_embeddings"]))
    names = {"embedding": "model.embed_tokens.weight", "final_norm": "model.norm.weight"}
    if not c["tie_embeddings"]:
        names["output"] = "lm_head.weight"
    inside = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    inside.update({f"attention.w{letter}": f"self_attn.{letter}_proj" for letter in "qkvo"})
    inside.update({f"ffn.w_{name}": f"mlp.{name}_proj" for name in ("gate", "up", "down")})
    for layer in range(c["layers"]):
        for ours, theirs in inside.items():
            names[f"layers.{layer}.{ours}"] = f"model.layers.{layer}.{theirs}.weight"
    return model, lambda tensors: {ours: tensors[theirs] for ours, theirs in names.items()}


def gpt2(c):
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=c["vocab_size"], n_positions=c["seq_len"], n_embd=c["width"], n_layer=c["layers"], n_head=c["heads"],
        n_inner=c["ffn"], layer_norm_epsilon=c["norm_epsilon"]))

    def renamed(tensors):  # its matrices are [in, out]
        get = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        ours = {"embedding": get["wte.weight"], "position": get["wpe.weight"], "final_norm": get["ln_f.weight"],
                "final_norm.bias": get["ln_f.bias"]}
        for number in range(c["layers"]):
            layer, theirs = f"layers.{number}.", f"h.{number}."
            for norm, name in (("attention_norm", "ln_1"), ("ffn_norm", "ln_2")):
                ours[layer + norm] = get[f"{theirs}{name}.weight"]
                ours[layer + norm + ".bias"] = get[f"{theirs}{name}.bias"]
            for place, letter in enumerate("qkv"):
                part = slice(place * c["width"], (place + 1) * c["width"])
                ours[f"{layer}attention.w{letter}"] = get[theirs + "attn.c_attn.weight"][:, part].T
                ours[f"{layer}attention.b{letter}"] = get[theirs + "attn.c_attn.bias"][part]
            for name, at in (("attention.wo", "attn.c_proj"), ("ffn.w_up", "mlp.c_fc"), ("ffn.w_down", "mlp.c_proj")):
                ours[layer + name] = get[f"{theirs}{at}.weight"].T
                ours[layer + name.replace(".w", ".b")] = get[f"{theirs}{at}.bias"]
        return ours

    return model, renamed


def distance(got, want):
    return ((got.double() - want.double()).norm() / want.double().norm()).item()


def compare(name, family):
    """The worst distance; span by span, so that nothing depends on how either side masks."""
    config, stored = read(name)
    model, renamed = family(config)
    model = model.float().eval()
    ours = renamed(dict(model.named_parameters()))
    if sorted(ours) != sorted(key[7:] for key in stored if key.startswith("weight/")):
        sys.exit(f"{name}: other parameters than {sorted(ours)}")
    with torch.no_grad():
        for key, parameter in ours.items():
            parameter.copy_(stored["weight/" + key])
    logits, loss = [], 0.0
    for row in range(len(stored["batch/tokens"])):
        starts = sorted(set(stored["batch/span_start"][row].tolist()))
        for begin, end in zip(starts, starts[1:] + [config["seq_len"]]):
            tokens, targets = (stored["batch/" + key][row, begin:end].long() for key in ("tokens", "targets"))
            logits.append(model(tokens[None]).logits[0])
            losses = torch.nn.functional.cross_entropy(logits[-1], targets, reduction="none")
            loss = loss + (losses * stored["batch/weights"][row, begin:end]).sum()
    loss.backward()
    gradients = renamed({key: parameter.grad for key, parameter in model.named_parameters()})
    worst = max(distance(torch.cat(logits).detach(), stored["logits"]), abs(loss.item() / stored["loss"][0].item() - 1))
    for key, gradient in gradients.items():
        if not key.endswith("attention.bk") or family is llama:  # zero where no position turns it
            worst = max(worst, distance(gradient, stored["gradient/" + key]))
    return worst


def main():
    for name, family in (("llama", llama), ("llama_tied", llama), ("gpt2", gpt2)):
        worst = compare(name, family)
        print(f"{name}: within {worst:.1e}")
        if not worst <= BOUND:
            sys.exit(f"{name}: {worst:.1e} apart")
    if compare("llama", lambda c: llama({**c, "rotary_base": 9999.0})) <= BOUND:
        sys.exit("another rotary base went unseen")
    print(f"ok: transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
