"""Checks the cheap part of the contract on the CPU, before a training is spent. Runs in a confined child.

A pass is not trusted, because the same process ran the candidate's code. The check saves trainings and gives early
feedback; the probes after the scored pass decide.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from target.boundary.job import BUILD, IMPORT, PASSED, PROBE, REFUSED, STEP, TOO_LARGE, Job
from target.inside.model_server import build, forward, import_program
from target.inside.size import TooLargeError, refuse_too_large
from target.process.processes import children
from target.process.trees import files_below
from target.program.contract import ContractError

_PROBE_ROWS = 4  # fewer rows than a scored batch: both sides of each comparison have this shape
_PROBE_ROUNDS = 2
_SHOWN_FILES = 3


def check(job: Job, marks_fd: int) -> None:
    """Import the program, judge its size, build its model, take a step and probe it; write one byte for each stage.

    Raises:
        ContractError: The program breaks the contract.
    """

    def mark(stage: bytes) -> None:
        os.write(marks_fd, stage)

    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    try:
        _check(job, mark)
    except ContractError as error:
        mark(TOO_LARGE if isinstance(error, TooLargeError) else REFUSED)
        raise
    mark(PASSED)


def _check(job: Job, mark: Callable[[bytes], None]) -> None:
    workspace = job.confinement.workspace
    mark(IMPORT)
    files = {path for path, _ in files_below(workspace)}
    module = import_program(workspace)
    new = (path for path, _ in files_below(workspace) if path not in files)
    _refuse_side_effects(set(itertools.islice(new, _SHOWN_FILES)))
    mark(BUILD)
    refuse_too_large(job)
    model = build(module, job.vocab_size)
    mark(STEP)
    _take_step(model, job)
    mark(PROBE)
    _probe(model.eval(), job)


def _refuse_side_effects(new_files: set[str]) -> None:
    done = []
    if new_files:
        done.append(f"wrote {', '.join(sorted(new_files))}")
    if children(os.getpid()):
        done.append("started a process")
    if threading.active_count() > 1:
        done.append("started a thread")
    if done:
        raise ContractError(
            f"import: importing train.py must do nothing, but it {' and '.join(done)}; move it into main()"
        )


def _tokens(job: Job, rows: int) -> Tensor:
    return torch.randint(job.vocab_size, (rows, job.sequence_tokens))  # (rows, T)


def _take_step(model: nn.Module, job: Job) -> None:
    """Run forward, loss and backward on the weights as built; randomised weights may overflow legitimately."""
    tokens = _tokens(job, 2)
    logits = forward(model, tokens[:, :], job.vocab_size)
    loss = F.cross_entropy(logits[:, :-1].reshape(-1, job.vocab_size), tokens[:, 1:].reshape(-1))
    if not torch.isfinite(loss):
        raise ContractError(f"step: the loss of the untrained model must be finite, got {loss.item()}")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ContractError("step: the model must have a parameter to train")
    loss.backward()  # type: ignore[no-untyped-call]
    broken = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all()
    ]
    if broken:
        raise ContractError(f"step: the first gradients must be finite, those of {', '.join(broken[:3])} are not")


@torch.inference_mode()
def _probe(model: nn.Module, job: Job) -> None:
    """Compare forward passes that must agree, at random weights, because a zero-initialised projection hides leaks."""
    for parameter in model.parameters():
        _randomise(parameter)

    def log_probs(tokens: Tensor) -> Tensor:
        return F.log_softmax(forward(model, tokens, job.vocab_size), dim=-1)  # (rows, T, V)

    tokens = _tokens(job, _PROBE_ROWS)
    reference = log_probs(tokens)
    if not torch.isfinite(reference).all():
        return  # nothing can be concluded; the probes after the training use real weights

    def refuse(name: str, changed: Tensor, required: str) -> None:
        if not changed.numel():
            return
        worst = changed.abs().max().item()
        if not worst <= job.tolerance_nats:
            raise ContractError(f"{name}: {required}; log-probabilities changed by up to {worst:.2g} nats")

    again = log_probs(tokens) - reference
    refuse(
        "state", again, "in eval() the same batch must give the same logits (no dropout, no memory of earlier calls)"
    )
    others = torch.cat([tokens[:1], _tokens(job, _PROBE_ROWS - 1)])
    refuse("rows", (log_probs(others) - reference)[:1], "a row's logits must not depend on the other rows of the batch")
    for _ in range(_PROBE_ROUNDS):
        cuts = torch.randint(1, job.sequence_tokens, (_PROBE_ROWS, 1)) if job.sequence_tokens > 1 else torch.zeros(1, 1)
        before = torch.arange(job.sequence_tokens) < cuts  # (rows, T)
        changed = log_probs(torch.where(before, tokens, _tokens(job, _PROBE_ROWS))) - reference
        refuse("causality", changed[before], "logits at position t must depend on tokens 0..t only, not on later ones")


def _randomise(parameter: Tensor) -> None:
    if not parameter.is_floating_point():
        return
    if parameter.ndim < 2:
        parameter.normal_(0.5, 0.5)  # gates and gains: away from 0 and 1
    else:
        parameter.normal_(0.0, parameter.shape[-1] ** -0.5)
