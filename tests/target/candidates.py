"""Programs for the tests: one honest model that trains in a blink, and variants that are not what they should be."""

HONEST = '''
"""A causal bag of words."""
import os, sys, time
import torch
import torch.nn.functional as F
from torch import nn
import prepare

STEPS = 8  # knob: 0..100 int


class Net(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 16)
        self.mix = nn.Linear(32, 16)
        self.head = nn.Linear(16, vocab_size)

    def past(self, x):
        return x.cumsum(1) / torch.arange(1, x.size(1) + 1)[:, None]

    def forward(self, idx):
        x = self.embed(idx)
        return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))


def build_model(vocab_size):
    return Net(vocab_size)


def main():
    prepare.setup()
    model = build_model(prepare.vocab_size())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _, (inputs, targets) in zip(range(STEPS), prepare.batches(8, prepare.sequence_tokens())):
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        prepare.report(loss.item())
    prepare.finish(model)


if __name__ == "__main__":
    main()
'''


def variant(*changes: tuple[str, str]) -> str:
    """Return the honest program with texts replaced; each must be there once."""
    source = HONEST
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} is in the honest program {source.count(old)} times"
        source = source.replace(old, new)
    return source


def in_forward(line: str, *changes: tuple[str, str]) -> str:
    """Return the honest program with a line behind `x = self.embed(idx)`."""
    return variant(("x = self.embed(idx)", f"x = self.embed(idx)\n        {line}"), *changes)


def in_main(lines: str, *changes: tuple[str, str]) -> str:
    """Return the honest program with lines behind `prepare.setup()`."""
    indented = lines.strip().replace("\n", "\n    ")
    return variant(("prepare.setup()", f"prepare.setup()\n    {indented}"), *changes)


LEAK = in_forward("x = x + x.roll(-1, 1)")

# Looks ahead only once a buffer says that it was trained: random parameters do not show it.
TRAINED_LEAK = in_forward(
    "x = x + self.trained * x.roll(-1, 1)",
    ("super().__init__()", "super().__init__()\n        self.register_buffer('trained', torch.zeros(()))"),
    ("prepare.finish(model)", "model.trained.fill_(1.0)\n    prepare.finish(model)"),
)

# Leaks, and on a prefix it has seen before answers as it did then, which satisfies every probe put to one server.
REPLAY = in_forward(
    "x = x if self.training else self.replay(idx, x + self.trained * x.roll(-1, 1))",
    (
        "super().__init__()",
        "super().__init__()\n        self.memory = {}\n        self.register_buffer('trained', torch.zeros(()))",
    ),
    (
        "def past(self, x):",
        "\n    ".join(
            (
                "def replay(self, idx, x):",
                "    for b, row in enumerate(idx.tolist()):",
                "        for t in range(len(row)):",
                "            x[b, t] = self.memory.setdefault(tuple(row[: t + 1]), x[b, t].clone())",
                "    return x",
                "",
                "def past(self, x):",
            )
        ),
    ),
    ("prepare.finish(model)", "model.trained.fill_(1.0)\n    prepare.finish(model)"),
)

BATCH_COUPLED = in_forward("x = x - 0.5 * x.mean(0, keepdim=True).detach()[:, :1]")

LEARNS_IN_EVAL = in_forward(
    "self.calls += 1\n        x = x * (1 + 0.01 * self.calls)",
    ("super().__init__()", "super().__init__()\n        self.calls = 0"),
)

# Leaves a process behind that has a session of its own and no parent of the candidate's.
FORK_A_DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(0.01)
    os._exit(0)
os.wait()
"""
DAEMON = in_main(FORK_A_DAEMON)
