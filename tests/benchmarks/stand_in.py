"""A checkout in the shape of autoresearch that trains on a CPU in seconds: a bigram model, on text in its home."""

from __future__ import annotations

from pathlib import Path

PREPARE = """
import os, pickle
import pyarrow.parquet as pq
import tiktoken, torch

MAX_SEQ_LEN = 32  # fewer tokens than a row of the target has
TIME_BUDGET = 300  # seconds
EVAL_TOKENS = 40 * 524288

CACHE = os.path.join(os.path.expanduser("~"), ".cache", "autoresearch")
DATA, TOKENIZER = os.path.join(CACHE, "data"), os.path.join(CACHE, "tokenizer")
BOS = "<|reserved_0|>"


def texts(split):
    names = sorted(name for name in os.listdir(DATA) if (name == "shard_06542.parquet") == (split == "val"))
    assert names and "shard_06541.parquet" not in names
    for name in names:
        yield from pq.read_table(os.path.join(DATA, name)).column("text").to_pylist()


def train_tokenizer():  # bytes are its tokens
    os.makedirs(TOKENIZER)
    ranks = {bytes([value]): value for value in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=r"(?s:.)", mergeable_ranks=ranks, special_tokens={BOS: 256})
    with open(os.path.join(TOKENIZER, "tokenizer.pkl"), "wb") as file:
        pickle.dump(encoding, file)


class Tokenizer:
    def __init__(self, encoding):
        self.encoding = encoding

    @classmethod
    def from_directory(cls):
        with open(os.path.join(TOKENIZER, "tokenizer.pkl"), "rb") as file:
            return cls(pickle.load(file))

    def get_bos_token_id(self):
        return 256

    def encode(self, text):
        return self.encoding.encode_ordinary(text)


def rows(tokenizer, split, count):
    tokens = []
    for text in texts(split):
        tokens += [256, *tokenizer.encode(text[:2000])]
        while len(tokens) > count * MAX_SEQ_LEN:
            yield torch.tensor(tokens[: count * MAX_SEQ_LEN + 1])
            tokens = tokens[count * MAX_SEQ_LEN :]
"""

TRAIN = """
import math, time
import torch
from kernels import get_kernel
from prepare import EVAL_TOKENS, MAX_SEQ_LEN, TIME_BUDGET, Tokenizer, rows

attend = get_kernel("a/flash-attention").flash_attn_interface.flash_attn_func
assert EVAL_TOKENS == 2097152


class Bigram(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(257, 257)

    def forward(self, idx):
        assert idx.size(1) == MAX_SEQ_LEN
        q = self.table(idx).view(*idx.shape, 1, 257)
        return self.table(idx) + 0 * attend(q, q, q, causal=True, window_size=(8, 0)).squeeze(2)


torch.manual_seed(0)
tokenizer = Tokenizer.from_directory()
model = Bigram()
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
batches = rows(tokenizer, "train", 16)
began = time.monotonic()
step = 0
while step < 60 or time.monotonic() - began < TIME_BUDGET:
    batch = next(batches)
    logits = model(batch[:-1].view(16, -1))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    step += 1
seconds = time.monotonic() - began
print("---")
print(f"val_bpb:          {loss.item() / math.log(2):.6f}")
print(f"training_seconds: {seconds:.1f}")
print(f"total_tokens_M:   {step * 16 * MAX_SEQ_LEN / 1e6:.3f}")
print(f"num_steps:        {step}")
"""


def write_checkout(folder: Path, *, leaves_weights: bool = True) -> Path:
    """Write the checkout; without `leaves_weights`, its train.py ends with nothing but what it has printed."""
    folder.mkdir()
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "train.py").write_text(TRAIN + ("" if leaves_weights else "\ndel model\n"))
    return folder
