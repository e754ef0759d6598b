# ruff: noqa: E501 -- one candidate a row, as in a table
"""Honest architectures that are not a plain transformer: each must pass the pre-flight, every probe, and score."""

from __future__ import annotations

from tests.hostile.candidates.base import Candidate, with_net
from tests.target.candidates import HONEST, in_forward, in_main, variant

_BEGIN = """
class Net(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 16)
        self.head = nn.Linear(16, vocab_size)
{init}

    def forward(self, idx):
        x = self.embed(idx)
{mix}
        return self.head(x)
"""


def _mixing(init: str, mix: str, *changes: tuple[str, str]) -> str:
    """Return a program whose model is embedding, `mix`, head; both texts are lines at no indent."""
    init, mix = ("\n".join(f"        {line}" for line in text.strip().splitlines()) for text in (init, mix))
    return with_net(_BEGIN.format(init=init, mix=mix), *changes)


_QKV = "self.qkv = nn.Linear(16, 48)"
_SPLIT = "q, k, v = self.qkv(x).view(*idx.shape, 3, 2, 8).permute(2, 0, 3, 1, 4)  # each (B, heads, T, 8)"
_JOIN = "x = x + F.scaled_dot_product_attention(q, k, v, {mask}).transpose(1, 2).flatten(2)"

ATTENTION = _mixing(_QKV, f"{_SPLIT}\n{_JOIN.format(mask='is_causal=True')}")

SLIDING_WINDOW = _mixing(_QKV, f"""
{_SPLIT}
ago = torch.arange(idx.size(1))[:, None] - torch.arange(idx.size(1))
{_JOIN.format(mask="attn_mask=(ago >= 0) & (ago < 5)")}
""")  # fmt: skip

ALIBI = _mixing(_QKV, f"""
{_SPLIT}
ago = torch.arange(idx.size(1))[:, None] - torch.arange(idx.size(1))
slopes = torch.tensor([0.5, 0.0625])[:, None, None]
bias = (-slopes * ago).masked_fill(ago < 0, -torch.inf)
{_JOIN.format(mask="attn_mask=bias")}
""")  # fmt: skip

ROTARY = _mixing(f"{_QKV}\nself.register_buffer('angles', torch.arange(512)[:, None] * torch.tensor([1.0, 0.1, 0.01, 0.001]), persistent=False)", f"""
{_SPLIT}
angles = self.angles[: idx.size(1)]
def turn(y):
    a, b = F.rms_norm(y, (8,)).chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)
q, k = turn(q), turn(k)
{_JOIN.format(mask="is_causal=True")}
""")  # fmt: skip

TOKEN_CHOICE = _mixing("""
self.router = nn.Linear(16, 4)
self.experts = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(4))
""", """
weight, chosen = self.router(x).softmax(-1).topk(2)  # each token takes two experts, whatever others take
y = torch.zeros_like(x)
for number, expert in enumerate(self.experts):
    y = y + expert(x) * (weight * (chosen == number)).sum(-1, keepdim=True)
x = x + y
""")  # fmt: skip

SPARSE_DISPATCH = _mixing("""
self.router = nn.Linear(16, 4)
self.experts = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
""", """
flat = x.flatten(0, 1)
chosen = self.router(flat).argmax(-1)
y = torch.zeros_like(flat)
for number, expert in enumerate(self.experts):  # only the tokens that chose it, all of them
    mine = (chosen == number).nonzero().flatten()
    y = y.index_add(0, mine, expert(flat[mine]))
x = x + y.view_as(x)
""")  # fmt: skip

RECURRENT = _mixing("self.gru = nn.GRU(16, 16, batch_first=True)", "x = x + self.gru(x)[0]")

STATE_SPACE = _mixing("""
self.decay = nn.Parameter(torch.linspace(-3, 3, 16))
self.gate = nn.Linear(16, 16)
""", """
state, states = torch.zeros_like(x[:, 0]), []
for step in x.unbind(1):  # a diagonal linear recurrence
    state = self.decay.sigmoid() * state + self.gate(step)
    states.append(state)
x = x + torch.stack(states, 1)
""")  # fmt: skip

LINEAR_ATTENTION = _mixing("self.qkv = nn.Linear(16, 48)", """
q, k, v = self.qkv(x).chunk(3, -1)
q, k = F.elu(q) + 1, F.elu(k) + 1
memory = (k[:, :, :, None] * v[:, :, None]).cumsum(1)  # (B, T, 16, 16)
x = x + (q[:, :, None] @ memory)[:, :, 0] / (q * k.cumsum(1)).sum(-1, keepdim=True)
""")  # fmt: skip

CAUSAL_CONV = _mixing("self.conv = nn.Conv1d(16, 16, 4, groups=4)", "x = x + F.gelu(self.conv(F.pad(x.mT, (3, 0))).mT)")

HYPER_CONNECTIONS = _mixing("""
self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
self.read = nn.Parameter(torch.ones(3, 4) / 4)
self.write = nn.Parameter(torch.ones(3, 4))
self.carry = nn.Parameter(torch.eye(4).repeat(3, 1, 1))
""", """
streams = x[:, :, None].expand(-1, -1, 4, -1)  # (B, T, streams, 16)
past = x.cumsum(1) / torch.arange(1, idx.size(1) + 1)[:, None]
for number, block in enumerate(self.blocks):
    y = torch.tanh(block((self.read[number] @ streams) + past))
    streams = self.carry[number] @ streams + self.write[number][:, None] * y[:, :, None]
x = streams.mean(2)
""")  # fmt: skip

TIED = variant(
    (
        "self.head = nn.Linear(16, vocab_size)",
        "self.head = nn.Linear(16, vocab_size)\n        self.head.weight = self.embed.weight",
    )
)

WIDER_HEAD = variant(
    ("self.head = nn.Linear(16, vocab_size)", "self.head = nn.Linear(16, -(-vocab_size // 128) * 128)  # a multiple of 128 is faster"),
)  # fmt: skip

EMA = variant(
    ("optimizer = torch", "average = {name: value.clone() for name, value in model.state_dict().items()}\n    optimizer = torch"),
    ("prepare.report(loss.item())", "for name, value in model.state_dict().items(): average[name].lerp_(value, 0.3)"),
    ("prepare.finish(model)", "model.load_state_dict(average)\n    prepare.finish(model)"),
)  # fmt: skip

MULTI_TOKEN = variant(
    ("self.head = nn.Linear(16, vocab_size)", "self.head = nn.Linear(16, vocab_size)\n        self.second = nn.Linear(16, vocab_size)  # predicts the token after the next, in training only"),
    ("x = self.embed(idx)", "x = self.embed(idx)\n        self.after = self.second(x)"),
    ("targets.flatten())", "targets.flatten()) + 0.3 * F.cross_entropy(model.after[:, :-1].flatten(0, 1), targets[:, 1:].flatten())"),
)  # fmt: skip

# what each token begins and ends with, from the tokeniser, as further embeddings; build_model() itself reads no file
BYTES = variant(
    ("self.mix = nn.Linear(32, 16)", "self.mix = nn.Linear(32, 16)\n        self.first, self.last = nn.Embedding(257, 16), nn.Embedding(257, 16)\n        self.register_buffer('ends', torch.zeros(vocab_size, 2, dtype=torch.long))"),
    ("x = self.embed(idx)", "x = self.embed(idx) + self.first(self.ends[idx, 0]) + self.last(self.ends[idx, 1])"),
    ("optimizer = torch", """import base64, json
    ranks = json.load(open(prepare._run()['public'] + '/tokenizer.json'))['ranks']
    for token, text in enumerate(map(base64.b64decode, ranks)):
        model.ends[token] = torch.tensor([text[0], text[-1]])
    model.ends[len(ranks):] = 256
    optimizer = torch"""),
)  # fmt: skip

BIGRAM_HASH = variant(
    ("self.mix = nn.Linear(32, 16)", "self.mix = nn.Linear(32, 16)\n        self.pairs = nn.Embedding(509, 16)"),
    ("x = self.embed(idx)", "x = self.embed(idx) + self.pairs((F.pad(idx[:, :-1], (1, 0)) * 331 + idx) % 509)"),
)  # fmt: skip

SAVED_TABLES = _mixing(
    f"{_QKV}\nself.register_buffer('mask', torch.ones(512, 512, dtype=torch.bool).tril())\nself.register_buffer('angles', torch.arange(512)[:, None] * torch.tensor([1.0, 0.1, 0.01, 0.001]))",
    f"{_SPLIT}\nk = k + self.angles[: idx.size(1)].sin().repeat(1, 2)\n{_JOIN.format(mask='attn_mask=self.mask[: idx.size(1), : idx.size(1)]')}",
)
# as if it was trained on rows of half the length
SHORT_CONTEXT = variant(
    ("return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))", "return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1)))) * torch.where(torch.arange(idx.size(1)) < 16, 1.0, 30.0)[:, None]"),
)  # fmt: skip
LARGE = variant(
    ("self.mix = nn.Linear(32, 16)", "self.mix = nn.Linear(32, 16)\n        self.wide = nn.Sequential(nn.Linear(16, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 16))  # 20 times the computation"),
    ("x = self.embed(idx)", "x = self.embed(idx)\n        x = x + self.wide(x)"),
)  # fmt: skip

HALF_PRECISION = in_forward("x = x.bfloat16().float()", ("self.head = nn.Linear(16, vocab_size)", "self.head = nn.Linear(16, vocab_size)\n        self.coarse = nn.Linear(16, 16).bfloat16()"),
                            ("torch.cat([x,", "torch.cat([x + self.coarse(x.bfloat16()).float(),"))  # fmt: skip
DROPOUT = in_forward("x = F.dropout(x, 0.1, self.training)")
RUNNING_NORM = in_forward(
    "x = self.norm(x.mT).mT", ("super().__init__()", "super().__init__()\n        self.norm = nn.BatchNorm1d(16)")
)
SOFTCAP = variant(
    (
        "return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))",
        "return 15 * torch.tanh(self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1)))) / 15)",
    )
)
MIXTURE = variant(
    ("self.head = nn.Linear(16, vocab_size)", "self.head = nn.Linear(16, vocab_size)\n        self.other = nn.Linear(16, vocab_size)"),
    ("return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))", "return torch.logaddexp(self.head(x).log_softmax(-1), self.other(self.past(x)).log_softmax(-1))"),
)  # fmt: skip
WEIGHT_NORM = variant(
    ("self.mix = nn.Linear(32, 16)", "self.mix = nn.utils.parametrizations.weight_norm(nn.Linear(32, 16))")
)
OWN_CHILDREN = in_main(
    "import socket, subprocess, signal\na, b = socket.socketpair()\na.send(b'x'); assert b.recv(1) == b'x'\nchild = subprocess.Popen(['sleep', '60'])\nchild.terminate(); assert child.wait() == -signal.SIGTERM"
)

CANDIDATES = tuple(
    Candidate(name=name, tries=f"honest: {what}", source=source)
    for name, what, source in (
        ("bag of words", "a running mean of embeddings", HONEST),
        ("attention", "two causal heads", ATTENTION),
        ("sliding window", "attention to the last five tokens", SLIDING_WINDOW),
        ("ALiBi", "attention with linear biases", ALIBI),
        ("rotary", "rotary positions, normed queries, buffers that are not saved", ROTARY),
        ("token-choice MoE", "two of four experts a token, dense", TOKEN_CHOICE),
        ("sparse MoE", "one of four experts a token, gathered", SPARSE_DISPATCH),
        ("recurrent", "a GRU", RECURRENT),
        ("state space", "a diagonal linear recurrence", STATE_SPACE),
        ("linear attention", "cumulative sums of outer products", LINEAR_ATTENTION),
        ("causal conv", "a grouped convolution, padded on the left", CAUSAL_CONV),
        ("hyper-connections", "four residual streams", HYPER_CONNECTIONS),
        ("tied weights", "embedding and head share weights", TIED),
        ("wider head", "a vocabulary head rounded up to 128", WIDER_HEAD),
        ("EMA weights", "saves an average of its weights", EMA),
        ("multi-token loss", "an auxiliary loss on the token after the next", MULTI_TOKEN),
        ("byte embeddings", "embeddings of the first and last byte", BYTES),
        ("bigram hash", "embeddings of hashed pairs", BIGRAM_HASH),
        ("half precision", "a layer in bf16", HALF_PRECISION),
        ("saved tables", "a mask and rotary angles that are saved with the weights", SAVED_TABLES),
        ("short context", "predictions that get worse along the row", SHORT_CONTEXT),
        ("large", "a much larger model than the others", LARGE),
        ("dropout", "dropout that eval() switches off", DROPOUT),
        ("running norm", "BatchNorm with its running statistics", RUNNING_NORM),
        ("softcap", "capped logits", SOFTCAP),
        ("mixture", "a mixture of two softmaxes", MIXTURE),
        ("weight norm", "a parametrised layer", WEIGHT_NORM),
        ("own children", "temporary files, socket pairs and children of its own", OWN_CHILDREN),
    )
)  # fmt: skip
