"""The size of a model, found without memory for it: it is built of torch's fake tensors. Runs in a confined child.

A fake tensor is a meta tensor that names a device, as `torch.autocast` requires. It has a shape and no values, so some
honest programs cannot be built of them: for example, they read a value. Then nothing is known here, and nothing is
refused: the build with memory decides.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from target.boundary.job import EARLIER, Job
from target.inside.model_server import build, forward, load_program
from target.program.contract import ContractError

_ROWS = 2


class TooLargeError(ContractError):
    """A program cannot fit into the memory of a training."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a model takes.

    Attributes:
        trained: Numbers in the parameters that are trained.
        bytes: Size of all parameters and buffers as built.
        saved_bytes: What a forward pass over a few rows keeps for the backward pass; None if it is not known.
    """

    trained: int
    bytes: int
    saved_bytes: int | None

    def at_least(self, other: Size) -> bool:
        """Return whether it is known to take no less than another model, in everything."""
        if self.saved_bytes is None or other.saved_bytes is None:
            return False
        return self.bytes >= other.bytes and self.saved_bytes >= other.saved_bytes


def refuse_too_large(job: Job) -> None:
    """Refuse the program of a pre-flight if it cannot fit: by its size alone, or by what earlier trainings say.

    Only a program that is at least as large as a comparable one that ran out of memory is refused, and only if none as
    large was trained.

    Raises:
        TooLargeError: It cannot fit into memory.
        ContractError: Its weights cannot fit into their file.
    """
    workspace = job.confinement.workspace
    earlier = workspace / EARLIER
    size = measure(workspace / "train.py", job, saved=earlier.exists())
    if size is None:
        return
    numbers = f"the model trains {size.trained:,} numbers, which at a byte each are more than"
    if job.weights_bytes is not None and size.trained > job.weights_bytes:
        raise ContractError(f"weights: {numbers} weights.pt may have: {job.weights_bytes:,} bytes")
    if job.memory_bytes is not None and size.trained > job.memory_bytes:
        raise TooLargeError(f"{numbers} the memory of a training: {job.memory_bytes:,} bytes")
    for failed in sorted(earlier.glob("failed-*.py")):
        other = measure(failed, job, saved=True)
        if other and size.at_least(other):
            trained = (measure(each, job, saved=True) for each in earlier.glob("trained-*.py"))
            if any(each and each.at_least(size) for each in trained):
                return
            raise TooLargeError(
                f"trial {failed.stem.partition('-')[2]} ran out of memory with a model that is no larger: "
                f"{other.bytes:,} bytes of parameters and buffers, here {size.bytes:,}; for the backward pass over "
                f"{_ROWS} rows of {job.sequence_tokens} tokens {other.saved_bytes:,} bytes, here {size.saved_bytes:,}; "
                "the rest of the training is the same"
            )


def measure(path: Path, job: Job, *, saved: bool) -> Size | None:
    """Return the size of a program's model; None if it cannot be built without memory.

    The program is imported anew, so that nothing it remembers of this build is found by the next one.

    Args:
        path: Its file.
        job: The pre-flight.
        saved: Whether to run a forward pass for `saved_bytes`.
    """
    try:
        with _aside(), FakeTensorMode():
            model = build(load_program(path), job.vocab_size)
            tensors = [*model.parameters(), *model.buffers()]
            return Size(
                trained=sum(each.numel() for each in model.parameters() if each.requires_grad),
                bytes=sum(each.numel() * each.element_size() for each in tensors),
                saved_bytes=_saved_bytes(model, job) if saved else None,
            )
    except (Exception, SystemExit):  # noqa: BLE001 -- the candidate's, of any kind: the real build shows it, if it is real
        return None


def _saved_bytes(model: nn.Module, job: Job) -> int | None:
    saved = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    tokens = torch.zeros((_ROWS, job.sequence_tokens), dtype=torch.int64)
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = forward(model, tokens, job.vocab_size)
            F.cross_entropy(logits.reshape(-1, job.vocab_size), tokens.reshape(-1))
    except (Exception, SystemExit):  # noqa: BLE001 -- as above
        return None
    return saved


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """Leave the module `train` and the random numbers as they were."""
    before: types.ModuleType | None = sys.modules.get("train")
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if before is not None:
            sys.modules["train"] = before
