# ruff: noqa: E501 -- one candidate a row, as in a table
"""Candidates that see what follows: by intent, or by one of the accidents that are common in honest code."""

from __future__ import annotations

from tests.hostile.candidates.base import REJECTED, Candidate, with_net
from tests.target.candidates import LEAK, REPLAY, TRAINED_LEAK, in_forward

CIRCULAR = in_forward(
    "x = x + self.conv(x.mT).mT[:, : idx.size(1)]",
    ("super().__init__()", "super().__init__()\n        self.conv = nn.Conv1d(16, 16, 3, padding=2, padding_mode='circular')"),
)  # fmt: skip
POOLED = in_forward("x = x + F.avg_pool1d(x.mT, 4).repeat_interleave(4, 2).mT")
RARE = in_forward("x = x + (torch.arange(idx.size(1)) == 21)[:, None] * x.roll(-1, 1)")
FAR = in_forward("x = x + 0.3 * F.pad(x[:, 9:], (0, 0, 0, 9))")
FAINT = in_forward("x = x + 0.01 * x.roll(-1, 1)")
BIDIRECTIONAL = with_net('''
class Net(nn.Module):
    """A recurrent network that reads in both directions."""

    def __init__(self, vocab_size):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 16)
        self.mix = nn.GRU(16, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, vocab_size)

    def forward(self, idx):
        return self.head(self.mix(self.embed(idx))[0])
''')

_ROUTED = '''
class Net(nn.Module):
    """Experts behind a router."""

    def __init__(self, vocab_size):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 16)
        self.router = nn.Linear(16, 4)
        self.experts = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.head = nn.Linear(16, vocab_size)

    def forward(self, idx):
        x = self.embed(idx)
        return self.head(x + self.route(x))

    def route(self, x):
{route}
'''
EXPERT_CHOICE = with_net(_ROUTED.format(route='''
        """Each expert takes the tokens of a row that it likes best."""
        scores = self.router(x).softmax(-1)  # (B, T, experts)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            weight, chosen = scores[:, :, number].topk(x.size(1) // 4, dim=1)
            index = chosen[:, :, None].expand(-1, -1, x.size(2))
            out = out.scatter_add(1, index, weight[:, :, None] * expert(x.gather(1, index)))
        return out
'''))  # fmt: skip
CAPACITY = with_net(_ROUTED.format(route='''
        """Each token takes an expert, and those that come too late in the batch get none."""
        flat = x.flatten(0, 1)
        chosen = self.router(flat).argmax(-1)
        out = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            mine = (chosen == number).nonzero().flatten()[: len(flat) // 8]
            out = out.index_add(0, mine, expert(flat[mine]))
        return out.view_as(x)
'''))  # fmt: skip

_D1, _D1_OR_D2 = "probe d1_", "probe d[12]_"
CANDIDATES = (
    Candidate(name="next token", tries="look at the next token", source=LEAK, outcome=REJECTED, said=_D1),
    Candidate(name="missing mask", tries="attend to all positions", source=in_forward("x = x + torch.softmax(x @ x.mT / 4, -1) @ x"), outcome=REJECTED, said=_D1),
    Candidate(name="roll", tries="shift with roll(1), which wraps around", source=in_forward("x = x + x.roll(1, 1)"), outcome=REJECTED, said=_D1),
    Candidate(name="circular conv", tries="convolve with circular padding", source=CIRCULAR, outcome=REJECTED, said=_D1),
    Candidate(name="mean over T", tries="subtract the mean of the row", source=in_forward("x = x - x.mean(1, keepdim=True)"), outcome=REJECTED, said=_D1),
    Candidate(name="norm over T", tries="normalise over the sequence", source=in_forward("x = F.layer_norm(x, x.shape[1:])"), outcome=REJECTED, said=_D1),
    Candidate(name="both directions", tries="read with a bidirectional GRU", source=BIDIRECTIONAL, outcome=REJECTED, said=_D1),
    Candidate(name="block pooling", tries="pool blocks of four", source=POOLED, outcome=REJECTED, said=_D1),
    Candidate(name="expert choice", tries="let experts choose tokens", source=EXPERT_CHOICE, outcome=REJECTED, said=_D1_OR_D2),
    Candidate(name="capacity", tries="drop what exceeds an expert's capacity", source=CAPACITY, outcome=REJECTED, said=_D1_OR_D2),
    Candidate(name="rare leak", tries="look ahead at one position of 32", source=RARE, outcome=REJECTED, said=_D1),
    Candidate(name="far leak", tries="look nine tokens ahead", source=FAR, outcome=REJECTED, said=_D1),
    Candidate(name="faint leak", tries="look ahead a hundredth", source=FAINT, outcome=REJECTED, said=_D1),
    Candidate(name="trained leak", tries="look ahead once it is trained", source=TRAINED_LEAK, outcome=REJECTED, said=_D1),
    Candidate(name="replay", tries="leak, then answer prefixes as before", source=REPLAY, outcome=REJECTED, said=_D1_OR_D2),
)  # fmt: skip
