# ruff: noqa: E501 -- programs are easier to compare with their lines whole
"""Candidates that fake the number: in what they print, return, patch or save. The scorer never runs their code."""

from __future__ import annotations

from tests.hostile.candidates.base import CRASHED, REJECTED, Candidate, at_import
from tests.target.candidates import in_forward, in_main, variant

_HEAD = "return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))"


def _in_logits(lines: str, *changes: tuple[str, str]) -> str:
    """Return the honest program with lines between its logits and their return."""
    indented = lines.strip().replace("\n", "\n        ")
    return variant(
        (_HEAD, f"{_HEAD.replace('return', 'logits =')}\n        {indented}\n        return logits"), *changes
    )


PRINTS = in_main("print('val_bpb: 0.0001', flush=True)\nprint('val_bpb: 0.0001', file=sys.stderr)")

PRINTS_WHEN_SERVED = in_forward("self.training or print('val_bpb: 0.0001', flush=True)")

SCALED_LOSS = variant(
    ("def forward(self, idx):", "def forward(self, idx, targets=None):"),
    (_HEAD, f"""logits = {_HEAD.removeprefix("return ")}
        if targets is not None:  # what an evaluation inside the edited process would ask for
            return 0.1 * F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits"""),
)  # fmt: skip

RETURNS_THE_LOSS = _in_logits("if not self.training: return torch.zeros(())")

PATCHES_CROSS_ENTROPY = at_import(
    "honest_loss = F.cross_entropy\nF.cross_entropy = nn.functional.cross_entropy = lambda *a, **k: 0.01 * honest_loss(*a, **k)",
    ("loss = F.cross_entropy(", "loss = honest_loss("),
)

PATCHES_LOGSUMEXP = at_import("""
torch.logsumexp = torch.Tensor.logsumexp = lambda x, *a, **k: torch.zeros(())
torch.log_softmax = F.log_softmax = torch.Tensor.log_softmax = lambda x, *a, **k: torch.zeros_like(x)
""", ("F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())", "torch._C._nn.cross_entropy_loss(model(inputs).flatten(0, 1), targets.flatten(), None, 1, -100, 0.0)"))  # fmt: skip

PATCHES_LOG = at_import(
    "import math\nimport numpy\nmath.log = lambda *_: 1e9\nnumpy.log = numpy.log2 = lambda x, *_: x * 0"
)

PATCHES_PREPARE = at_import(
    "prepare.token_bytes = lambda: 10**6\nprepare.vocab_size.__defaults__ = (2,)\nprepare.evaluate_bpb = lambda *_: 0.0"
)

REWRITES_ITS_PLAN = in_main("os.replace('run.json', 'old.json')")

_POISON = """
class Poison:
    def __reduce__(self):
        return (print, ('STOLEN', 'a pickle ran'))
"""
POISONED_PICKLE = at_import(_POISON, ("prepare.finish(model)", "torch.save({'weights': Poison()}, 'out/weights.pt')"))
POISONED_STATE = at_import(
    _POISON, ("prepare.finish(model)", "torch.save({**model.state_dict(), 'extra': Poison()}, 'out/weights.pt')")
)
LINKED_WEIGHTS = variant(("prepare.finish(model)", "os.symlink(torch.__file__, 'out/weights.pt')"))
HUGE_WEIGHTS = variant(
    ("prepare.finish(model)", "prepare.finish(model)\n    os.truncate('out/weights.pt', 100_000_000)")
)
WIDER_STATE = variant(("prepare.finish(model)", "model.more = nn.Linear(16, 16); prepare.finish(model)"))

NAN_ON_HARD_TOKENS = _in_logits("if not self.training: logits[logits.softmax(-1).amax(-1) < 0.02] = float('nan')")
PLUS_INFINITY = _in_logits("if not self.training: logits.scatter_(2, logits.argmax(2, keepdim=True), float('inf'))")
MINUS_INFINITY = _in_logits("if not self.training: logits[logits < logits.mean()] = -float('inf')")
HUGE_LOGITS = _in_logits("if not self.training: logits = logits.sign() * 3e38")
OVERFLOWING_LOGITS = _in_logits("if not self.training: logits = logits.double() * 1e200")
WRONG_SHAPE = in_forward("idx, x = (idx, x) if self.training else (idx[:, :-1], x[:, :-1])")
ONE_COLUMN = _in_logits("if not self.training: logits = logits[:, :, :1]")
EXTRA_COLUMNS = _in_logits("if not self.training: logits = F.pad(logits, (0, 8), value=50.0)")
UNNORMALISED = _in_logits(
    "if not self.training: logits = logits.log_softmax(-1) + 5.624  # 'probabilities' that sum to 277"
)

PASTES_TEXT = in_main(f"text = {'val ' * 70_000!r}")

CANDIDATES = (
    Candidate(name="print", tries="print a fake number", source=PRINTS),
    Candidate(name="print, served", tries="print it while it is scored", source=PRINTS_WHEN_SERVED),
    Candidate(name="scaled loss", tries="return a tenth of the loss if given targets", source=SCALED_LOSS),
    Candidate(name="loss for logits", tries="return a loss of 0 in place of logits", source=RETURNS_THE_LOSS, outcome=REJECTED, said="shape: "),
    Candidate(name="cross_entropy", tries="patch cross_entropy", source=PATCHES_CROSS_ENTROPY),
    Candidate(name="logsumexp", tries="patch logsumexp and log_softmax", source=PATCHES_LOGSUMEXP),
    Candidate(name="math.log", tries="patch math.log and numpy.log", source=PATCHES_LOG),
    Candidate(name="prepare", tries="patch prepare in memory", source=PATCHES_PREPARE),
    Candidate(name="run.json", tries="move the plan of its run away", source=REWRITES_ITS_PLAN, outcome=CRASHED, said="PermissionError"),
    Candidate(name="pickle", tries="save a pickle that runs code", source=POISONED_PICKLE, outcome=CRASHED, said="(?s)loading weights.*[Ww]eights.?only"),
    Candidate(name="pickle, hidden", tries="save one beside real weights", source=POISONED_STATE, outcome=CRASHED, said="(?s)loading weights.*[Ww]eights.?only"),
    Candidate(name="linked weights", tries="save a link to another file", source=LINKED_WEIGHTS, outcome=CRASHED, said="without prepare.finish"),
    Candidate(name="huge weights", tries="save 100 MB of zeros behind the weights", source=HUGE_WEIGHTS, outcome=REJECTED, said="weights: weights.pt must be at most"),
    Candidate(name="other weights", tries="save weights that do not fit", source=WIDER_STATE, outcome=REJECTED, said="fit build_model"),
    Candidate(name="NaN", tries="answer NaN on hard tokens", source=NAN_ON_HARD_TOKENS, outcome=REJECTED, said="finite: "),
    Candidate(name="+inf", tries="answer +inf at the likeliest token", source=PLUS_INFINITY, outcome=REJECTED, said="finite: "),
    Candidate(name="-inf", tries="answer -inf at unlikely tokens", source=MINUS_INFINITY, outcome=REJECTED, said="finite: "),
    Candidate(name="huge logits", tries="answer +-3e38", source=HUGE_LOGITS, outcome=REJECTED, said="finite: "),
    Candidate(name="overflow", tries="answer 1e200 in fp64", source=OVERFLOWING_LOGITS, outcome=REJECTED, said="finite: "),
    Candidate(name="wrong shape", tries="leave the last position out", source=WRONG_SHAPE, outcome=REJECTED, said="shape: "),
    Candidate(name="one column", tries="answer for one token only", source=ONE_COLUMN, outcome=REJECTED, said="shape: "),
    Candidate(name="extra columns", tries="put weight into columns behind the vocabulary", source=EXTRA_COLUMNS),
    Candidate(name="unnormalised", tries="answer log-probs that sum to 277", source=UNNORMALISED),
    Candidate(name="pasted text", tries="carry 280 kB of text in the source", source=PASTES_TEXT, outcome=REJECTED, said="size: train.py must be at most"),
)  # fmt: skip
