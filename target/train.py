"""A small GPT, trained for a fixed budget: the file that is searched.

Decoder-only transformer on BPE tokens with rotary positions, QK-norm and squared ReLU, trained by Muon (matrices) and
AdamW (the rest). `prepare` gives text and clock; the score is bits per byte on text that is not here.
"""

from __future__ import annotations

import gc
import math
from collections import defaultdict
from collections.abc import Iterable

import prepare
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Model
DEPTH = 9  # knob: 1..24 int  # blocks
N_HEADS = 5  # knob: 1..16 int
HEAD_DIM = 128  # knob: 16 | 32 | 64 | 128  # width is N_HEADS * HEAD_DIM
MLP_RATIO = 4.0  # knob: 0.5..8 log  # hidden units of the MLP / width
ACTIVATION = "relu2"  # knob: relu2 | gelu | silu
RELU_SLOPE = 0.5  # knob: 0..0.9 linear  # of relu2 below 0, before it is squared
ROPE_BASE = 200_000.0  # knob: 10..1e6 log  # wavelength of the slowest rotation / 2 pi, in tokens
ATTENTION_SCALE = 1.0  # knob: 0.25..4 log  # times 1 / sqrt(HEAD_DIM)
KEY_OFFSET = True  # knob: True | False  # half of each key is that of the token before
LOGIT_SOFTCAP = 15.0  # knob: 5..100 log  # largest logit, nats
INIT_SCALE = 0.68  # knob: 0.2..2 log  # of the matrices in blocks, times 1 / sqrt(inputs)
ATTENTION_PATTERN = "SSSSL"  # knob: L | SL | SSSSL  # blocks in turn see rows (L) or pieces (S); the last rows
PIECE_TOKENS = 512  # knob: fixed  # rows are cut into pieces of so many tokens
VALUE_EMBEDDINGS = "alternate"  # knob: none | alternate | all  # blocks that add an embedding to their values
VALUE_GATES = True  # knob: True | False  # a learned gate for each head on that embedding
VALUE_GATE_CHANNELS = 16  # knob: fixed  # of the stream that the gate sees; at most the width
RESIDUAL_SCALARS = True  # knob: True | False  # each block scales the stream and adds a part of the first embedding
FIRST_SKIP = 0.1  # knob: 0.01..0.5 log  # part of the first embedding that is added, at the start
BIGRAM_ROWS = 0  # knob: 0 | 16384 | 65536  # of an embedding of hashed token pairs; 0 for none
SMEAR = True  # knob: True | False  # adds a learned part of the embedding of the token before
BACK_OUT = False  # knob: True | False  # takes a learned part of an early stream out before the head

# Optimiser; the learning rates of AdamW are for a width of 768 and grow with 1 / sqrt(width)
BATCH_TOKENS = 262_144  # knob: 256..1048576 pow2  # tokens of one step
MICRO_TOKENS = 131_072  # knob: fixed  # tokens of one forward pass: what fits into memory; passes add up to a step
MATRIX_LR = 0.04  # knob: 1e-3..0.3 log  # Muon
MATRIX_MOMENTUM = 0.95  # knob: 0.5..0.99 linear
MOMENTUM_START = 0.85  # knob: 0.5..0.99 linear  # rises to MATRIX_MOMENTUM in MOMENTUM_WARMUP_FRACTION
MATRIX_WEIGHT_DECAY = 0.2  # knob: 1e-3..1 log  # decoupled (arXiv 1711.05101), falls linearly to 0
CAUTIOUS_DECAY = True  # knob: True | False  # only where the update shrinks the weight too (arXiv 2510.12402)
SECOND_MOMENT = True  # knob: True | False  # equal steps for all neurons of a matrix (NorMuon, arXiv 2510.05491)
MATRIX_BETA2 = 0.95  # knob: 0.8..0.999 linear  # of that second moment
ORTHOGONALISATION = "polar"  # knob: polar | quintic  # coefficients of the iteration
EMBEDDING_LR = 0.9  # knob: 1e-3..3 log  # AdamW, as all below
HEAD_LR = 0.005  # knob: 1e-4..0.1 log
SCALAR_LR = 0.5  # knob: 1e-3..3 log  # parts of the first embedding; the other scalars have a hundredth of it
SMEAR_LR = 0.02  # knob: 1e-3..0.3 log
EMBEDDING_WEIGHT_DECAY = 0.001  # knob: 1e-5..0.1 log
VALUE_WEIGHT_DECAY = 0.003  # knob: 1e-5..0.1 log  # of value embeddings
ADAM_BETA1 = 0.8  # knob: 0..0.95 linear
ADAM_BETA2 = 0.95  # knob: 0.8..0.999 linear

# Schedule, as fractions of the budget
WARMUP_FRACTION = 0.0  # knob: 0..0.3 linear
MOMENTUM_WARMUP_FRACTION = 0.15  # knob: 0.01..1 linear
WARMDOWN_FRACTION = 0.75  # knob: 0.05..1 linear  # linear decay at the end
FINAL_LR_FRACTION = 0.05  # knob: 0..0.3 linear  # of the peak

REPORT_STEPS = 10  # knob: fixed  # between two points of the curve

WIDTH = N_HEADS * HEAD_DIM  # channels of the stream, C
VALUED = {"none": range(0), "alternate": range(DEPTH)[::-2], "all": range(DEPTH)}  # blocks; the last is among them
ITERATIONS = {  # x -> a x + (b xx' + c xx'xx') x, in turn
    "quintic": [(3.4445, -4.7750, 2.0315)] * 5,  # https://kellerjordan.github.io/posts/muon
    "polar": [  # Polar Express, arXiv 2505.16932, with a safety factor of 1.02
        (8.156555, -22.483293, 15.878770),
        (4.042930, -2.808917, 0.500018),
        (3.891668, -2.772484, 0.506065),
        (3.285754, -2.368129, 0.464490),
        (2.346541, -1.709783, 0.423236),
    ],
}
for name, holds in {
    "DEPTH must be at least 1": DEPTH >= 1,
    "N_HEADS must be at least 1": N_HEADS >= 1,
    "HEAD_DIM must be a positive multiple of 4": HEAD_DIM > 0 and HEAD_DIM % 4 == 0,
    "ACTIVATION must be relu2 or a function of torch.nn.functional": ACTIVATION == "relu2" or hasattr(F, ACTIVATION),
    "LOGIT_SOFTCAP must be more than 0": LOGIT_SOFTCAP > 0,
    "INIT_SCALE must be at least 0": INIT_SCALE >= 0,
    "ATTENTION_PATTERN must be of the letters S and L": {*ATTENTION_PATTERN} in ({"S"}, {"L"}, {"S", "L"}),
    "PIECE_TOKENS must be at least 1": PIECE_TOKENS >= 1,
    f"VALUE_EMBEDDINGS must be one of {[*VALUED]}": VALUE_EMBEDDINGS in VALUED,
    f"VALUE_GATE_CHANNELS must be 1 to {WIDTH}, the width": 1 <= VALUE_GATE_CHANNELS <= WIDTH,
    "BIGRAM_ROWS must be 0 or at least 2": BIGRAM_ROWS == 0 or BIGRAM_ROWS >= 2,
    "MICRO_TOKENS must be at least 1": MICRO_TOKENS >= 1,
    f"ORTHOGONALISATION must be one of {[*ITERATIONS]}": ORTHOGONALISATION in ITERATIONS,
    "MOMENTUM_WARMUP_FRACTION must be more than 0": MOMENTUM_WARMUP_FRACTION > 0,
    "WARMDOWN_FRACTION must be more than 0": WARMDOWN_FRACTION > 0,
    "REPORT_STEPS must be at least 1": REPORT_STEPS >= 1,
}.items():
    if not holds:
        raise ValueError(name)


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last axis to root mean square 1, without a learned gain (arXiv 1910.07467), in the type of `x`."""
    return F.rms_norm(x, (x.size(-1),)).type_as(x)  # autocast would write float32, twice the bytes


def rotation(tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, (T, 1, D/2) each, of the angles by which RoPE turns each position (arXiv 2104.09864)."""
    frequency = ROPE_BASE ** -(torch.arange(HEAD_DIM // 2, device=device) / (HEAD_DIM // 2))
    angle = torch.outer(torch.arange(tokens, device=device), frequency).unsqueeze(1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of channels of (B, T, H, D) by their position, so that attention sees relative ones."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1).type_as(x)


def offset(keys: Tensor) -> Tensor:
    """Move the slower half of the channels of keys (B, T, H, D) on by a token: one block then finds what followed."""
    fast, slow = keys.view(*keys.shape[:-1], 2, HEAD_DIM // 2).chunk(2, dim=-1)  # pairs that RoPE turns together
    return torch.cat((fast, F.pad(slow[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))), dim=-1).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor, piece: int | None) -> Tensor:
    """Mix values by causal attention, (B, T, H, D) each, to (B, T, C): in whole rows, or in pieces of so many tokens.

    Pieces do not see each other (local attention, arXiv 1801.10198): they are short rows, and need no mask.
    """
    rows, tokens = q.shape[:2]
    if piece is not None and piece < tokens:
        fill = (0, 0, 0, 0, 0, -tokens % piece)  # fills the last piece: what comes after a token does not change it
        q, k, v = (F.pad(each, fill).reshape(-1, piece, N_HEADS, HEAD_DIM) for each in (q, k, v))
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))  # views, (B, H, T, D), which attention reads as they are
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=ATTENTION_SCALE / math.sqrt(HEAD_DIM))
    return y.transpose(1, 2).reshape(rows, -1, WIDTH)[:, :tokens]


class Attention(nn.Module):
    """Causal self-attention with normalised queries and keys (QK-norm, arXiv 2010.04245)."""

    def __init__(self, piece: int | None, value_rows: int) -> None:
        super().__init__()
        self.piece = piece
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate = nn.Linear(VALUE_GATE_CHANNELS, N_HEADS, bias=False) if value_rows and VALUE_GATES else None
        self.extra = nn.Embedding(value_rows, WIDTH) if value_rows else None  # value embedding (arXiv 2410.17897)

    def forward(self, x: Tensor, idx: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Map (B, T, C) to (B, T, C); `idx` are the tokens, (B, T)."""
        heads = (*x.shape[:2], N_HEADS, HEAD_DIM)
        q, k, v = (project(x).view(heads) for project in (self.query, self.key, self.value))
        if self.extra is not None:
            extra = self.extra(idx).type_as(v).view(heads)
            if self.gate is not None:
                extra = extra * (2 * torch.sigmoid(self.gate(x[..., :VALUE_GATE_CHANNELS]))).unsqueeze(-1)
            v = v + extra
        k = offset(k) if KEY_OFFSET else k
        q, k = rotate(rms_norm(q), cos, sin), rotate(rms_norm(k), cos, sin)
        mixed: Tensor = self.output(attend(q, k, v, self.piece))
        return mixed


class MLP(nn.Module):
    """Two matrices around a nonlinearity, by default squared ReLU (arXiv 2109.08668) with a slope below 0."""

    def __init__(self) -> None:
        super().__init__()
        hidden = max(8, round(MLP_RATIO * WIDTH))
        self.input, self.output = nn.Linear(WIDTH, hidden, bias=False), nn.Linear(hidden, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        hidden = self.input(x)
        active = F.leaky_relu(hidden, RELU_SLOPE).square() if ACTIVATION == "relu2" else getattr(F, ACTIVATION)(hidden)
        mixed: Tensor = self.output(active)
        return mixed


class Block(nn.Module):
    """Attention and MLP, each added to a normalised residual stream (pre-norm, arXiv 2002.04745)."""

    def __init__(self, piece: int | None, value_rows: int) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(piece, value_rows), MLP()
        self.scale = nn.Parameter(torch.ones(())) if RESIDUAL_SCALARS else None
        self.skip = nn.Parameter(torch.full((), FIRST_SKIP)) if RESIDUAL_SCALARS else None

    def forward(self, x: Tensor, first: Tensor, idx: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Map (B, T, C) to (B, T, C); `first` is the first embedding of the tokens `idx`, (B, T)."""
        if self.scale is not None and self.skip is not None:
            x = self.scale * x + self.skip * first
        x = x + self.attention(rms_norm(x), idx, cos, sin)
        y: Tensor = x + self.mlp(rms_norm(x))
        return y


class Embeddings(nn.Module):
    """Where the stream begins: what is looked up for each token, and for the one before."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.first = nn.Embedding(vocab_size, WIDTH)
        self.pairs = nn.Embedding(BIGRAM_ROWS, WIDTH) if BIGRAM_ROWS else None
        self.smear = nn.Parameter(torch.zeros(WIDTH)) if SMEAR else None

    def forward(self, idx: Tensor) -> Tensor:
        """Map tokens (B, T) to (B, T, C)."""
        first: Tensor = self.first(idx)
        if self.smear is not None:
            first = first + self.smear * F.pad(first[:, :-1], (0, 0, 1, 0))
        first = rms_norm(first)
        if self.pairs is not None:
            first = first + self.pairs((F.pad(idx[:, :-1], (1, 0)) * 36_313 ^ idx * 27_191) % BIGRAM_ROWS)
        return first.to(torch.bfloat16 if idx.is_cuda else torch.float32)


class Head(nn.Module):
    """The stream to logits, or to the loss: in one piece when compiled, so that float32 logits are not written out."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.output = nn.Linear(WIDTH, vocab_size, bias=False)

    def forward(self, x: Tensor, targets: Tensor | None) -> Tensor:
        """Map (B, T, C) to float32 logits (B, T, V); with targets (B, T), to their mean loss in nats."""
        logits = self.output(rms_norm(x) / LOGIT_SOFTCAP).float()
        logits = LOGIT_SOFTCAP * torch.tanh(logits)  # softcap (Gemma 2, arXiv 2408.00118)
        return logits if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class GPT(nn.Module):
    """Tokens to logits; embedding and head are not tied."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(vocab_size)
        letters = [ATTENTION_PATTERN[i % len(ATTENTION_PATTERN)] for i in range(DEPTH - 1)] + ["L"]
        piece = {"S": PIECE_TOKENS, "L": None}
        rows = (vocab_size if i in VALUED[VALUE_EMBEDDINGS] else 0 for i in range(DEPTH))
        self.blocks = nn.ModuleList(Block(piece[x], n) for x, n in zip(letters, rows, strict=True))
        self.back_out = nn.Parameter(torch.zeros(())) if BACK_OUT else None
        self.head = Head(vocab_size)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.embeddings.first.weight)
        nn.init.normal_(self.head.output.weight, std=0.001)
        for each in reversed([each for each in self.blocks.modules() if isinstance(each, nn.Embedding)]):
            nn.init.normal_(each.weight, std=WIDTH**-0.5)  # the last block first, as for the figures in docs/
        if self.embeddings.pairs is not None:
            nn.init.zeros_(self.embeddings.pairs.weight)
        for name, each in self.blocks.named_modules():
            if name.endswith(("output", "gate")):
                nn.init.zeros_(each.weight)  # blocks begin as the identity (Fixup, arXiv 1901.09321), gates at 1
            elif isinstance(each, nn.Linear):
                nn.init.normal_(each.weight, std=INIT_SCALE * each.in_features**-0.5)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Tensor:
        """Map tokens (B, T), int64, to float32 logits (B, T, V) of each next one; with targets (B, T), to the loss."""
        with torch.autocast(idx.device.type, torch.bfloat16, enabled=idx.is_cuda):
            cos, sin = rotation(idx.size(1), idx.device)
            first = self.embeddings(idx)
            x = early = first.clone()  # one tensor as two arguments would make another kind
            for i, block in enumerate(self.blocks):
                x = block(x, first, idx, cos, sin)
                early = x if i < 2 * DEPTH // 3 else early
            if self.back_out is not None:
                x = x - self.back_out * early
            y: Tensor = self.head(x, targets)
        return y

    def compile_parts(self) -> None:
        """Compile each part by itself: blocks of one kind share what is compiled for the first of them.

        Kinds differ by what is None and by attributes that are numbers, here the piece. Every training compiles for
        itself, so a kind more costs seconds.
        """
        torch._dynamo.config.recompile_limit = 8 + DEPTH  # parts and kinds of block; what exceeds it is not compiled
        for part in (self.embeddings, *self.blocks, self.head):
            part.compile(dynamic=False)


def build_model(vocab_size: int) -> GPT:
    """Return the model, freshly initialised."""
    return GPT(vocab_size)


def orthogonalise(update: Tensor) -> Tensor:
    """Replace the singular values of each matrix (n, M, N) by values near 1, by iteration (Newton-Schulz)."""
    x = update.bfloat16() if update.is_cuda else update
    wide = x.size(-2) <= x.size(-1)
    x = x if wide else x.mT
    norm: Tensor = torch.linalg.matrix_norm(x, keepdim=True)
    x = x / (1.02 * norm + 1e-6)
    for a, b, c in ITERATIONS[ORTHOGONALISATION]:
        gram = x @ x.mT
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, factor, x, beta=a)  # sums inside the products: nothing is left to compile
    return (x if wide else x.mT).type_as(update)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for matrices (arXiv 2502.16982); equal shapes are stacked for speed."""

    def __init__(self, matrices: Iterable[Tensor]) -> None:
        by_shape = defaultdict(list)
        for matrix in matrices:
            by_shape[matrix.shape].append(matrix)
        groups = [{"params": same} for same in by_shape.values()]
        super().__init__(groups, {"lr": MATRIX_LR, "momentum": MATRIX_MOMENTUM, "decay": MATRIX_WEIGHT_DECAY})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update all matrices from their gradients."""
        for group in self.param_groups:
            matrices = group["params"]
            gradient = torch.stack([matrix.grad for matrix in matrices])  # (n, M, N)
            state, (rows, columns) = self.state[matrices[0]], gradient.shape[-2:]
            momentum = state.setdefault("momentum", torch.zeros_like(gradient))
            momentum.lerp_(gradient, 1 - group["momentum"])
            update = orthogonalise(gradient.lerp_(momentum, group["momentum"]))  # Nesterov
            if SECOND_MOMENT:
                update = self._equalise(update, state, axis=-1 if rows >= columns else -2)
            lr = group["lr"] * max(1, rows / columns) ** 0.5
            weights = torch.stack(matrices)
            shrunk = weights * (update * weights > 0) if CAUTIOUS_DECAY else weights
            weights -= lr * (update + group["decay"] * shrunk)
            torch._foreach_copy_(matrices, weights.unbind())

    def _equalise(self, update: Tensor, state: dict[str, Tensor], axis: int) -> Tensor:
        """Divide the update of each neuron by its running size (along `axis`), and keep the norm of the whole."""
        squares = update.square().mean(axis, keepdim=True)
        second = state.setdefault("second", torch.zeros_like(squares))
        second.lerp_(squares, 1 - MATRIX_BETA2)
        scaled = update * second.clamp_min(1e-10).rsqrt()
        before, after = (torch.linalg.matrix_norm(each, keepdim=True) for each in (update, scaled))
        return scaled.mul(before / after.clamp_min(1e-10))


def build_optimizers(model: GPT) -> list[torch.optim.Optimizer]:
    """Return the optimisers of all parameters, with their peak learning rates."""
    scale, embeddings = (WIDTH / 768) ** -0.5, model.embeddings
    tables = [embeddings.first.weight, embeddings.pairs.weight if embeddings.pairs else None]
    values = [each.weight for each in model.blocks.modules() if isinstance(each, nn.Embedding)]
    groups = [  # where the first gradients are rounding, eps is larger
        {"params": tables, "lr": EMBEDDING_LR * scale, "weight_decay": EMBEDDING_WEIGHT_DECAY},
        {"params": values, "lr": EMBEDDING_LR * scale, "weight_decay": VALUE_WEIGHT_DECAY},
        {"params": [*model.head.parameters()], "lr": HEAD_LR * scale},
        {"params": [each.skip for each in model.blocks], "lr": SCALAR_LR, "betas": (0.96, ADAM_BETA2), "eps": 1e-6},
        {"params": [model.back_out, *(each.scale for each in model.blocks)], "lr": 0.01 * SCALAR_LR, "eps": 1e-6},
        {"params": [embeddings.smear], "lr": SMEAR_LR, "eps": 1e-6},
    ]
    groups = [{**group, "params": on} for group in groups if (on := [x for x in group["params"] if x is not None])]
    adam = torch.optim.AdamW(groups, betas=(ADAM_BETA1, ADAM_BETA2), eps=1e-10, weight_decay=0.0, fused=True)
    return [Muon(each.weight for each in model.blocks.modules() if isinstance(each, nn.Linear)), adam]


def lr_fraction(progress: float) -> float:
    """Return the learning rate at a point of the budget, as a fraction of its peak: up, constant, linearly down."""
    if progress < WARMUP_FRACTION:
        return progress / WARMUP_FRACTION
    decay = max(0.0, 1 - (1 - progress) / WARMDOWN_FRACTION)
    return 1 - (1 - FINAL_LR_FRACTION) * decay


def schedule(optimizers: list[torch.optim.Optimizer], progress: float) -> None:
    """Set what changes during the training, at a point of the budget in [0, 1]."""
    warm = min(1.0, progress / MOMENTUM_WARMUP_FRACTION)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("peak_lr", group["lr"]) * lr_fraction(progress)
            if "momentum" in group:
                group["momentum"] = MOMENTUM_START + warm * (MATRIX_MOMENTUM - MOMENTUM_START)
                group["decay"] = MATRIX_WEIGHT_DECAY * (1 - progress)


def flops_per_token(model: GPT, tokens: int) -> float:
    """Return the arithmetic of training on a token in rows of T (PaLM, arXiv 2204.02311, appendix B)."""
    matrices = sum(each.weight.numel() for each in model.modules() if isinstance(each, nn.Linear))
    seen = sum(min(tokens, each.piece or tokens) for each in model.modules() if isinstance(each, Attention))
    return 6.0 * matrices + 12.0 * WIDTH * seen


def main() -> None:
    """Train until the time is up, then hand over the weights."""
    prepare.setup()
    device = prepare.device()
    model = build_model(prepare.vocab_size()).to(device)
    optimizers = build_optimizers(model)
    tokens = prepare.sequence_tokens()
    passes = max(1, BATCH_TOKENS // max(tokens, MICRO_TOKENS))
    batches = prepare.batches(max(1, BATCH_TOKENS // tokens // passes), tokens)
    batch = next(batches)  # (B, T) inputs and targets
    began = prepare.seconds_left()
    if device.type == "cuda":
        model.compile_parts()
        model(*batch).backward()  # compiles: a first step that took half a minute would end a short training
        model.zero_grad()
    step, slowest_seconds, left = 0, 0.0, prepare.seconds_left()
    after_first, step_before, start = left, None, min(0.99, prepare.progress())
    while step == 0 or left > 2.5 * slowest_seconds:  # one step is under way on the device
        schedule(optimizers, (prepare.progress() - start) / (1 - start))  # of the time after the compilation
        mean = torch.zeros((), device=device)
        for _ in range(passes):
            loss = model(*batch) / passes
            loss.backward()
            mean += loss.detach()
            batch = next(batches)  # drawn and sent while the device computes
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        this_step = mean.to("cpu", non_blocking=True), torch.get_device_module(device).Event()
        this_step[1].record()
        loss, end = step_before or this_step
        end.synchronize()  # waits for the step before: item() of a tensor on the device would wait for this one too
        loss_nats, step_before = loss.item(), this_step
        if not math.isfinite(loss_nats):
            raise FloatingPointError(f"the training diverged: loss is {loss_nats} at step {max(0, step - 1)}")
        if step % REPORT_STEPS == 0:
            prepare.report(loss_nats)
        step += 1
        if step == 1:
            gc.collect()
            gc.freeze()  # nothing made so far is garbage: a collection would only stop the steps
        before, left = left, prepare.seconds_left()
        slowest_seconds = max(before - left, 0.9 * slowest_seconds)  # forgets what only the first step needs
        after_first = left if step == 1 else after_first
    loss_nats, left = mean.item(), prepare.seconds_left()  # after the last step
    size = batch[0].numel() * passes
    speed = size * (step - 1) / max(1e-9, after_first - left)  # tokens/s
    peak = f", {torch.cuda.max_memory_allocated() / 1e9:.2f} GB" if device.type == "cuda" else ""
    print(
        f"{step} steps of {size} tokens, last loss {loss_nats:.4f} nats; first step {began - after_first:.1f} s, "
        f"then {speed:.0f} tokens/s, {speed * flops_per_token(model, tokens) / 1e12:.4g} TFLOP/s{peak}"
    )
    prepare.finish(model)


if __name__ == "__main__":
    main()
