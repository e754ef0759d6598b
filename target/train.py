"""A small GPT, trained for a fixed budget: the file that is searched.

Decoder-only transformer on BPE tokens with rotary positions, QK-norm and squared ReLU, trained by Muon (matrices) and
AdamW (the rest). `prepare` gives text and clock; the score is bits per byte on text that is not here.
"""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict
from collections.abc import Iterable

import prepare
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn

# Model
DEPTH = 8  # knob: 1..24 int  # blocks
N_HEADS = 4  # knob: 1..16 int
HEAD_DIM = 128  # knob: 16 | 32 | 64 | 128  # width is N_HEADS * HEAD_DIM
MLP_RATIO = 4.0  # knob: 0.5..8 log  # hidden units of the MLP / width
ACTIVATION = "relu2"  # knob: relu2 | gelu | silu
ROPE_BASE = 10_000.0  # knob: 10..1e6 log  # wavelength of the slowest rotation / 2 pi, in tokens
ATTENTION_SCALE = 1.0  # knob: 0.25..4 log  # times 1 / sqrt(HEAD_DIM)
LOGIT_SOFTCAP = 15.0  # knob: 5..100 log  # largest logit, nats
WINDOW_PATTERN = "L"  # knob: fixed  # blocks in turn attend to all (L) or a short window (SSSL); the last to all
SHORT_WINDOW = 1024  # knob: fixed  # tokens; more than a row of the tiny target
VALUE_EMBEDDINGS = 4  # knob: 0..8 int  # of the last blocks, each an embedding more (arXiv 2410.17897)
RESIDUAL_SCALARS = False  # knob: True | False  # learned scale of stream and first embedding at each block

# Optimiser
BATCH_TOKENS = 131_072  # knob: 256..524288 pow2  # tokens of one step
MICRO_TOKENS = 131_072  # knob: fixed  # tokens of one forward pass: what fits into memory; passes add up to a step
MATRIX_LR = 0.02  # knob: 1e-3..0.3 log  # Muon
MATRIX_MOMENTUM = 0.95  # knob: 0.5..0.99 linear
MATRIX_WEIGHT_DECAY = 0.1  # knob: 1e-3..1 log  # decoupled (arXiv 1711.05101)
NEWTON_SCHULZ_STEPS = 5  # knob: fixed
EMBEDDING_LR = 0.2  # knob: 1e-3..3 log  # AdamW
HEAD_LR = 0.004  # knob: 1e-4..0.1 log  # AdamW
SCALAR_LR = 0.01  # knob: 1e-4..0.3 log  # AdamW
ADAM_BETA1 = 0.8  # knob: 0..0.95 linear
ADAM_BETA2 = 0.95  # knob: 0.8..0.999 linear

# Schedule, as fractions of the budget
WARMUP_FRACTION = 0.0  # knob: 0..0.3 linear
WARMDOWN_FRACTION = 0.5  # knob: 0.05..1 linear  # linear decay at the end
FINAL_LR_FRACTION = 0.0  # knob: 0..0.3 linear  # of the peak

REPORT_STEPS = 10  # knob: fixed  # between two points of the curve


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last axis to root mean square 1, without a learned gain (arXiv 1910.07467)."""
    return F.rms_norm(x, (x.size(-1),))


def rotation(tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, (T, D/2) each, of the angles by which RoPE turns each position (arXiv 2104.09864)."""
    channel = torch.arange(HEAD_DIM // 2, device=device)
    frequency = ROPE_BASE ** -(channel / channel.numel())
    angle = torch.outer(torch.arange(tokens, device=device), frequency)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of channels of (B, H, T, D) by their position, so that attention sees relative ones."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1).type_as(x)


def attend(q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """Mix values by causal attention, (B, H, T, D) each; a position sees `window` tokens before it, None is all."""
    scale = ATTENTION_SCALE / math.sqrt(HEAD_DIM)
    rows, heads, tokens, _ = q.shape
    if window is None or window >= tokens:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    if not q.is_cuda:
        position = torch.arange(tokens, device=q.device)
        distance = position[:, None] - position  # (T, T)
        seen = (distance >= 0) & (distance <= window)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale)
    q, k, v = (each.transpose(1, 2).flatten(0, 1) for each in (q, k, v))  # (B * T, H, D)
    ends = torch.arange(
        0, (rows + 1) * tokens, tokens, device=q.device, dtype=torch.int32
    )  # flash attention of PyTorch
    y = varlen_attn(q, k, v, ends, ends, tokens, tokens, scale=scale, window_size=(window, 0))
    assert isinstance(y, Tensor)
    return y.view(rows, tokens, heads, HEAD_DIM).transpose(1, 2)


class Attention(nn.Module):
    """Causal self-attention with normalised queries and keys (QK-norm, arXiv 2010.04245)."""

    def __init__(self, width: int, window: int | None) -> None:
        super().__init__()
        self.window = window
        self.query, self.key, self.value, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, extra: Tensor | None) -> Tensor:
        """Map (B, T, C) to (B, T, C); `extra` of that shape is added to the values."""
        heads = (*x.shape[:2], N_HEADS, HEAD_DIM)
        q, k, v = (project(x).view(heads).transpose(1, 2) for project in (self.query, self.key, self.value))
        q, k = rotate(rms_norm(q), cos, sin), rotate(rms_norm(k), cos, sin)  # (B, H, T, D)
        if extra is not None:
            v = v + extra.view(heads).transpose(1, 2)
        y = attend(q, k, v, self.window)
        mixed: Tensor = self.output(y.transpose(1, 2).reshape(x.shape))
        return mixed


class MLP(nn.Module):
    """Two matrices around a nonlinearity, by default squared ReLU (arXiv 2109.08668)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(8, round(MLP_RATIO * width))
        self.input, self.output = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        hidden = self.input(x)
        active = F.relu(hidden).square() if ACTIVATION == "relu2" else getattr(F, ACTIVATION)(hidden)
        mixed: Tensor = self.output(active)
        return mixed


class Block(nn.Module):
    """Attention and MLP, each added to a normalised residual stream (pre-norm, arXiv 2002.04745)."""

    def __init__(self, width: int, window: int | None) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(width, window), MLP(width)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, extra: Tensor | None, first: Tensor, scales: Tensor | None
    ) -> Tensor:
        """Map (B, T, C) to (B, T, C); `scales` (2,) are of x and of the first embedding, which is added to it."""
        if scales is not None:
            x = scales[0] * x + scales[1] * first
        x = x + self.attention(rms_norm(x), cos, sin, extra)
        y: Tensor = x + self.mlp(rms_norm(x))
        return y


class Embeddings(nn.Module):
    """What is looked up for each token: where the stream begins, and what the last blocks add to their values."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.first = nn.Embedding(vocab_size, width)
        self.values = nn.ModuleList(nn.Embedding(vocab_size, width) for _ in range(min(VALUE_EMBEDDINGS, DEPTH)))

    def forward(self, idx: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map tokens (B, T) to (B, T, C): the first embedding, and one for each of the last blocks."""
        first = rms_norm(self.first(idx)).to(torch.bfloat16 if idx.is_cuda else torch.float32)
        return first, [values(idx).type_as(first) for values in self.values]


class Head(nn.Module):
    """The stream to logits, or to the loss: in one piece when compiled, so that float32 logits are not written out."""

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, vocab_size, bias=False)

    def forward(self, x: Tensor, targets: Tensor | None) -> Tensor:
        """Map (B, T, C) to float32 logits (B, T, V); with targets (B, T), to their mean loss in nats."""
        logits = self.output(rms_norm(x) / LOGIT_SOFTCAP).float()
        logits = LOGIT_SOFTCAP * torch.tanh(logits)  # softcap (Gemma 2, arXiv 2408.00118)
        return logits if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class GPT(nn.Module):
    """Tokens to logits; embedding and head are not tied."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        width = N_HEADS * HEAD_DIM
        self.embeddings = Embeddings(vocab_size, width)
        short = (WINDOW_PATTERN[i % len(WINDOW_PATTERN)] == "S" and i < DEPTH - 1 for i in range(DEPTH))
        self.blocks = nn.ModuleList(Block(width, SHORT_WINDOW if each else None) for each in short)
        if RESIDUAL_SCALARS:
            self.scales = nn.Parameter(torch.empty(DEPTH, 2))  # of the stream, and of the embedding that is added to it
        self.head = Head(width, vocab_size)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.embeddings.first.weight)
        nn.init.zeros_(self.head.output.weight)
        for values in self.embeddings.values.parameters():
            nn.init.normal_(values, std=values.size(1) ** -0.5)
        if RESIDUAL_SCALARS:
            nn.init.ones_(self.scales[:, 0])
            nn.init.constant_(self.scales[:, 1], 0.1)
        for name, parameter in self.blocks.named_parameters():
            if name.endswith("output.weight"):
                nn.init.zeros_(parameter)  # every block begins as the identity (Fixup, arXiv 1901.09321)
            else:
                nn.init.normal_(parameter, std=parameter.size(1) ** -0.5)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Tensor:
        """Map tokens (B, T), int64, to float32 logits (B, T, V) of each next one; with targets (B, T), to the loss."""
        with torch.autocast(idx.device.type, torch.bfloat16, enabled=idx.is_cuda):
            cos, sin = rotation(idx.size(1), idx.device)
            first, values = self.embeddings(idx)
            x = first.clone() if RESIDUAL_SCALARS else first  # one tensor as two arguments would make another kind
            for i, block in enumerate(self.blocks):
                extra = i - (DEPTH - len(values))  # which value embedding the block has
                scales = self.scales[i] if RESIDUAL_SCALARS else None
                x = block(x, cos, sin, values[extra] if extra >= 0 else None, first, scales)
            y: Tensor = self.head(x, targets)
        return y

    def compile_parts(self) -> None:
        """Compile each part by itself: blocks of one kind share what is compiled for the first of them.

        Kinds differ by what is None and by attributes that are numbers, here the window. Every training compiles for
        itself, so a kind more costs seconds.
        """
        torch._dynamo.config.recompile_limit = 8 + DEPTH  # parts and kinds of block; what exceeds it is not compiled
        for part in (self.embeddings, *self.blocks, self.head):
            part.compile(dynamic=False)


def build_model(vocab_size: int) -> GPT:
    """Return the model, freshly initialised."""
    return GPT(vocab_size)


def orthogonalise(update: Tensor) -> Tensor:
    """Replace the singular values of each matrix (n, M, N) by values near 1, by Newton-Schulz iteration.

    Source: https://kellerjordan.github.io/posts/muon, with its quintic coefficients.
    """
    x = update.bfloat16() if update.is_cuda else update
    wide = x.size(-2) <= x.size(-1)
    x = x if wide else x.mT
    norm: Tensor = torch.linalg.matrix_norm(x, keepdim=True)
    x = x / (norm + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        factor = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, factor, x, beta=3.4445)  # sums inside the products: nothing is left to compile
    return (x if wide else x.mT).type_as(update)


def muon_update(gradient: Tensor, momentum: Tensor) -> Tensor:
    """Take gradients (n, M, N) into the momentum, and return the orthogonalised update."""
    momentum.lerp_(gradient, 1 - MATRIX_MOMENTUM)
    return orthogonalise(gradient.lerp(momentum, MATRIX_MOMENTUM))  # Nesterov


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for matrices (arXiv 2502.16982); equal shapes are stacked for speed."""

    def __init__(self, matrices: Iterable[Tensor]) -> None:
        by_shape = defaultdict(list)
        for matrix in matrices:
            by_shape[matrix.shape].append(matrix)
        super().__init__([{"params": same} for same in by_shape.values()], {"lr": MATRIX_LR})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update all matrices from their gradients."""
        for group in self.param_groups:
            matrices = group["params"]
            gradient = torch.stack([matrix.grad for matrix in matrices])  # (n, M, N)
            momentum = self.state[matrices[0]].setdefault("momentum", torch.zeros_like(gradient))
            update = muon_update(gradient, momentum)
            rows, columns = update.shape[-2:]
            torch._foreach_mul_(matrices, 1 - group["lr"] * MATRIX_WEIGHT_DECAY)
            torch._foreach_add_(matrices, update.unbind(), alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def build_optimizers(model: GPT) -> list[torch.optim.Optimizer]:
    """Return the optimisers of all parameters; every group remembers its peak learning rate."""
    adam = torch.optim.AdamW(
        [
            {"params": model.embeddings.parameters(), "lr": EMBEDDING_LR},
            {"params": model.head.parameters(), "lr": HEAD_LR},
            *([{"params": [model.scales], "lr": SCALAR_LR}] if RESIDUAL_SCALARS else ()),
        ],
        betas=(ADAM_BETA1, ADAM_BETA2),
        eps=1e-10,
        weight_decay=0.0,
        fused=True,
    )
    optimizers: list[torch.optim.Optimizer] = [Muon(model.blocks.parameters()), adam]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def lr_fraction(progress: float) -> float:
    """Return the learning rate at a point of the budget, as a fraction of its peak: up, constant, linearly down."""
    if progress < WARMUP_FRACTION:
        return progress / WARMUP_FRACTION
    decay = max(0.0, 1 - (1 - progress) / WARMDOWN_FRACTION)
    return 1 - (1 - FINAL_LR_FRACTION) * decay


def flops_per_token(model: GPT, tokens: int) -> float:
    """Return the arithmetic of training on a token in rows of T (PaLM, arXiv 2204.02311, appendix B)."""
    matrices = sum(parameter.numel() for parameter in (*model.blocks.parameters(), *model.head.parameters()))
    windows = (each.window for each in model.modules() if isinstance(each, Attention))
    seen = sum(min(tokens, window or tokens) for window in windows)
    return 6.0 * matrices + 12.0 * N_HEADS * HEAD_DIM * seen


def main() -> None:
    """Train until the time is up, then hand over the weights."""
    prepare.setup()
    device = prepare.device()
    model = build_model(prepare.vocab_size()).to(device)
    optimizers = build_optimizers(model)
    if device.type == "cuda":
        if importlib.util.find_spec("flash_attn_interface"):  # FlashAttention 3, where it is installed
            torch.nn.attention.activate_flash_attention_impl("FA3")
        model.compile_parts()
    tokens = prepare.sequence_tokens()
    passes = max(1, BATCH_TOKENS // max(tokens, MICRO_TOKENS))
    batches = prepare.batches(max(1, BATCH_TOKENS // tokens // passes), tokens)

    step, slowest_seconds, left = 0, 0.0, prepare.seconds_left()
    began = after_first = left
    while step == 0 or left > 1.5 * slowest_seconds:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * lr_fraction(prepare.progress())
        mean = torch.zeros((), device=device)
        for _ in range(passes):
            inputs, targets = next(batches)  # (B, T) each
            loss = model(inputs, targets) / passes
            loss.backward()
            mean += loss.detach()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        loss_nats = mean.item()  # waits for the device: the clock below sees the whole step
        if not math.isfinite(loss_nats):
            raise FloatingPointError(f"the training diverged: loss is {loss_nats} at step {step}")
        if step % REPORT_STEPS == 0:
            prepare.report(loss_nats)
        step += 1
        before, left = left, prepare.seconds_left()
        slowest_seconds = max(before - left, 0.9 * slowest_seconds)  # forgets the compilation of the first step
        after_first = left if step == 1 else after_first
    batch = inputs.numel() * passes
    speed = batch * (step - 1) / max(1e-9, after_first - left)  # tokens/s
    print(
        f"{step} steps of {batch} tokens, last loss {loss_nats:.4f} nats; first step {began - after_first:.1f} s, then "
        f"{speed:.0f} tokens/s, {speed * flops_per_token(model, tokens) / 1e12:.4g} TFLOP/s"
        + (f", {torch.cuda.max_memory_allocated() / 1e9:.2f} GB" if device.type == "cuda" else "")
    )
    prepare.finish(model)


if __name__ == "__main__":
    main()
