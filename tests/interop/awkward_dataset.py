"""A data set of awkward texts, made by `moat data import`; and how docs/dataset-format.md says to read one.

Nothing here knows moat's code: h5py opens the shards, SentencePiece the tokenizer.
"""
import contextlib
import json
import os
import tempfile

from script import moat

ROLES = ["system", "user", "assistant", "tool", "text"]
# What tokenizers like to lose: white space, NUL, SentencePiece's own space mark, compatibility forms, control tokens
# spelled out, text outside the Basic Multilingual Plane, joined emoji, combining marks, marks of order and direction.
TEXTS = ["", " ", "  two  spaces  ", "\ttabs\tand\nlines\r\n\r\n", "\0", "a\0b", "\u2581", "a \u2581b\u2581\u2581",
         "<s><|end|><|user|></s><pad><unk><0x0A>", "\ufb01 \u2460 \uff21\uff22 \u3000wide",
         "\u00e9 e\u0301 \u1e9b\u0323", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
         "\ufeffmark", "\u200f\u202eback", "\ufffd\uffff", "\u0600\u0905\u0e01\u4e2d\u6587\ud55c\uad6d\uc5b4",
         "x" * 5000, " " * 300, "\x01\x1b[0m\x7f\x85\u2028"]
# Files, so that bytes that are no UTF-8 come in; files with a NUL byte would be passed over.
FILES = {"high.bin": bytes(range(1, 256)), "cut.txt": "caf\u00e9".encode()[:-1] + b" then \xe2\x96", "latin1.txt":
         "na\u00efve \u00fcber".encode("latin-1"), "surrogate.txt": b"\xed\xa0\x80 and \xc0\xaf and \xf5\x80\x80\x80",
         "plain.py": b"def f(x):\n    return x  # \xe2\x96\x81\n"}


def dialogs():
    """(record, [(role, text as bytes)]): each awkward text in every role, among ordinary ones."""
    for number, text in enumerate(TEXTS * 3):
        messages = [("system", f"case {number}"), ("user", text), ("assistant", f"you said {text}, number {number}"),
                    ("tool", text + text), ("assistant", text + " ")]
        record = {"id": f"dialog {number}", "user": f"user {number % 25}", "time": 1700000000 + number,
                  "messages": [{"role": role, "content": content} for role, content in messages]}
        yield record, [(role, content.encode()) for role, content in messages]


@contextlib.contextmanager
def imported():
    """(the data set's folder, every interaction in it as [(role, bytes)])"""
    with tempfile.TemporaryDirectory() as work:
        expected = []
        with open(os.path.join(work, "chats.jsonl"), "w") as out:
            for record, segments in dialogs():
                out.write(json.dumps(record) + "\n")
                expected.append(segments)
        files = os.path.join(work, "files")
        os.mkdir(files)
        for name, content in FILES.items():
            with open(os.path.join(files, name), "wb") as out:
                out.write(content)
            expected.append([("system", name.encode()), ("text", content)])
        folder = os.path.join(work, "data")
        moat("data", "import", f"--in={work}/chats.jsonl", f"--in={files}", f"--out={folder}", "--vocab_size=400")
        yield folder, expected


def shards(folder):
    return [os.path.join(folder, "shards", name) for name in sorted(os.listdir(os.path.join(folder, "shards")))]


def interactions(file):
    """[(role, tokens)] of each interaction of an open shard, control tokens included."""
    first, start = file["first_segment"][:].tolist(), file["segment_start"][:].tolist()
    tokens, role = file["tokens"][:].tolist(), file["segment_role"][:].tolist()
    for begin, end in zip(first, first[1:]):
        yield [(ROLES[role[s]], tokens[start[s]:start[s + 1]]) for s in range(begin, end)]


def text_of(pieces, tokens):
    """Bytes of tokens: a byte piece is its byte, a control token nothing, U+2581 in any other piece a space."""
    text = b""
    for token in tokens:
        if pieces.is_byte(token):
            text += bytes([int(pieces.id_to_piece(token)[3:5], 16)])
        elif not pieces.is_control(token):
            text += pieces.id_to_piece(token).replace("\u2581", " ").encode()
    return text
