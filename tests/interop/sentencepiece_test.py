#!/usr/bin/python3
"""SentencePiece's own library decodes moat's tokens to the exact bytes, and encodes text to the same tokens."""
import os
import sys

import awkward_dataset as awkward
from script import expect, need

h5py, numpy, sentencepiece = need("h5py", "numpy", "sentencepiece")
CONTROL = ["<pad>", "<s>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|text|>"]


def check_pieces(pieces):
    expect("control tokens", [pieces.id_to_piece(i) for i in range(len(CONTROL))], CONTROL)
    for i in range(len(CONTROL)):
        expect(f"{CONTROL[i]} is a control token", pieces.is_control(i), True)
    expect("unknown", pieces.is_unknown(8), True)
    for byte in range(256):
        expect(f"byte {byte}", pieces.is_byte(pieces.piece_to_id(f"<0x{byte:02X}>")), True)


def check_template(segments):
    for number, (role, tokens) in enumerate(segments):
        head = [1] if number == 0 else []
        head.append(3 + awkward.ROLES.index(role))
        expect("how a segment begins", tokens[:len(head)], head)
        expect("how a segment ends", tokens[-1], 2)
        inside = tokens[len(head):-1]
        if any(token <= 8 for token in inside):
            sys.exit(f"a control or unknown token inside a text: {inside}")
        yield role, inside


def decodes_exactly(pieces, text, tokens):
    """True where the library's own decoder is asked: on UTF-8, where it loses nothing by design."""
    expect("piece by piece", awkward.text_of(pieces, tokens), text)
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    expect("decoded by the library", pieces.decode(tokens), text.decode())
    return True


def encodes_alike(pieces, text, tokens):
    """True where the library is asked to encode: text without what it cannot represent."""
    try:
        plain = text.decode()
    except UnicodeDecodeError:
        return False
    if "\0" in plain or "\u2581" in plain:
        return False
    expect("encoded by the library", tokens, pieces.encode(plain))
    return True


def main():
    with awkward.imported() as (folder, expected):
        pieces = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
        check_pieces(pieces)
        found, decoded, encoded = [], 0, 0
        for path in awkward.shards(folder):
            with h5py.File(path) as file:
                found += [list(check_template(segments)) for segments in awkward.interactions(file)]
        expect("interactions", len(found), len(expected))
        by_text = {tuple((r, awkward.text_of(pieces, t)) for r, t in segments): segments for segments in found}
        for interaction in expected:
            segments = by_text.get(tuple(interaction))
            if segments is None:
                sys.exit(f"no tokens decode to {interaction!r:.300}")
            for (_, text), (_, tokens) in zip(interaction, segments):
                decoded += decodes_exactly(pieces, text, tokens)
                encoded += encodes_alike(pieces, text, tokens)
        print(f"ok: {decoded} texts decoded and {encoded} encoded by SentencePiece {sentencepiece.__version__}")


if __name__ == "__main__":
    main()
