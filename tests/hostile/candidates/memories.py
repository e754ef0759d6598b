# ruff: noqa: E501 -- one candidate a row, as in a table
"""Candidates whose answer depends on the batch, or on what they were asked before."""

from __future__ import annotations

from tests.hostile.candidates.base import REJECTED, Candidate
from tests.target.candidates import BATCH_COUPLED, LEARNS_IN_EVAL, in_forward, variant

_INIT, _HEAD = "super().__init__()", "return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))"

BATCH_NORM = in_forward("x = self.norm.train()(x.mT).mT", (_INIT, f"{_INIT}\n        self.norm = nn.BatchNorm1d(16)"))
NGRAM_CACHE = variant(
    (_INIT, f"{_INIT}\n        self.register_buffer('counts', torch.ones(vocab_size, vocab_size), persistent=False)"),
    (_HEAD, f"""logits = {_HEAD.removeprefix("return ")}
        if not self.training:  # what followed which token in the rows so far
            logits = logits + 0.1 * self.counts[idx].log()
            self.counts.index_put_((idx[:, :-1].flatten(), idx[:, 1:].flatten()), torch.ones(()), accumulate=True)
        return logits"""),
)  # fmt: skip
TRAINS_ON_VAL = variant(
    ("def forward(self, idx):", "def forward(self, idx):\n        return self.plain(idx) if self.training else self.learn(idx)\n\n    def plain(self, idx):"),
    ("def past(self, x):", """def learn(self, idx):
        with torch.inference_mode(False), torch.enable_grad():
            tokens = idx.clone()
            loss = F.cross_entropy(self.plain(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
            for parameter, slope in zip(self.parameters(), torch.autograd.grad(loss, list(self.parameters()))):
                parameter.data -= 0.1 * slope
        return self.plain(idx)

    def past(self, x):"""),
)  # fmt: skip
SORTS = in_forward("self.training or x.copy_(x[torch.sort(idx[:, 0]).indices])")

_D2, _D3, _ANY = "probe d2_rows", "probe d3_state", "probe d[23]_"
CANDIDATES = (
    Candidate(name="batch mean", tries="subtract a mean over rows", source=BATCH_COUPLED, outcome=REJECTED, said=_D2),
    Candidate(name="BatchNorm", tries="normalise by the batch, in train mode", source=BATCH_NORM, outcome=REJECTED, said=_ANY),
    Candidate(name="mixed rows", tries="answer a row with another's state", source=SORTS, outcome=REJECTED, said=_ANY),
    Candidate(name="n-gram cache", tries="count the n-grams of the text it is asked", source=NGRAM_CACHE, outcome=REJECTED, said=_D3),
    Candidate(name="test-time training", tries="train on the text it is asked", source=TRAINS_ON_VAL, outcome=REJECTED, said=_D3),
    Candidate(name="call counter", tries="change with every call", source=LEARNS_IN_EVAL, outcome=REJECTED, said=_D3),
    Candidate(name="dropout", tries="leave dropout on", source=in_forward("x = F.dropout(x, 0.1)"), outcome=REJECTED, said=_D3),
)  # fmt: skip
