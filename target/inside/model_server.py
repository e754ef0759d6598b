"""Serves forward passes of a trained model to the scorer. Runs in a confined child, together with the candidate's code.

Protocol, one byte each way over a socket, values in shared memory that the scorer allocated:

    server  w  weights are loaded, no candidate code has run; the first entry of the tokens is their number of values
    server  h  the GPU memory for the logits cannot be opened here, no candidate code has run; try host memory
    scorer  g  go on
    server  r  the model is built and has the weights
    scorer  f  run a forward pass over tokens (B, T)
    server  k  logits (B, T, V) are written
    server  x  the contract is broken; the reason is the last line of the log

The scorer trusts nothing from the server: it has the targets, the softmax and the clock itself.
"""

from __future__ import annotations

import importlib.util
import mmap
import socket
import sys
import types
from pathlib import Path

import torch
from torch import Tensor, nn

from target.boundary.device_memory import DeviceMemoryError
from target.boundary.job import Job
from target.boundary.logits_tensor import open_logits
from target.inside.saved_weights import load_weights
from target.program.contract import ContractError


def import_program(workspace: Path) -> types.ModuleType:
    """Import the candidate's train.py as the module `train`."""
    return load_program(workspace / "train.py")


def load_program(path: Path) -> types.ModuleType:
    """Import a program from a file as the module `train`."""
    spec = importlib.util.spec_from_file_location("train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train"] = module
    spec.loader.exec_module(module)
    return module


def build(module: types.ModuleType, vocab_size: int) -> nn.Module:
    """Call the candidate's build_model.

    Raises:
        ContractError: The returned object is not a module.
    """
    model = module.build_model(vocab_size=vocab_size)
    if not isinstance(model, nn.Module):
        raise ContractError(f"model: build_model must return a torch.nn.Module, got {type(model).__name__}")
    return model


def forward(model: nn.Module, tokens: Tensor, vocab_size: int) -> Tensor:
    """Return the logits (B, T, V) of a model for tokens (B, T), in fp32, columns beyond the vocabulary cut off.

    Raises:
        ContractError: The model returns something else.
    """
    logits = model(tokens)
    rows, length = tokens.shape
    required = f"forward(idx ({rows}, {length})) must return logits ({rows}, {length}, >= {vocab_size})"
    if not isinstance(logits, Tensor):
        raise ContractError(f"shape: {required}, got {type(logits).__name__}; in training, compute the loss in main()")
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape or logits.shape[2] < vocab_size:
        raise ContractError(f"shape: {required}, got {tuple(logits.shape)}")
    return logits[:, :, :vocab_size].float()


def serve(job: Job, control_fd: int, tokens_fd: int, logits_fd: int, weights_fd: int) -> None:
    """Load weights and model, then answer until the scorer hangs up."""
    control = socket.socket(fileno=control_fd)
    shape = (job.batch_rows, job.sequence_tokens)
    tokens = torch.frombuffer(mmap.mmap(tokens_fd, 0), dtype=torch.int64).view(shape)
    torch.set_num_threads(job.threads)
    try:
        logits = open_logits(job.logits, logits_fd, (*shape, job.vocab_size))
    except DeviceMemoryError as error:
        print(f"scoring uses host memory: {error}")  # noqa: T201 -- the log is for people
        control.sendall(b"h")
        return
    try:
        state, tokens.view(-1)[0] = load_weights(weights_fd)
        control.sendall(b"w")
        if control.recv(1) != b"g":
            return
        model = build(import_program(job.confinement.workspace), job.vocab_size)
        _load_into(model, state)
        model = model.to(job.device).eval()
        control.sendall(b"r")
        while control.recv(1) == b"f":
            with torch.inference_mode():
                logits.copy_(forward(model, tokens.clone().to(job.device), job.vocab_size))
                if job.device == "cuda":
                    torch.cuda.synchronize()  # the logits must be written before the reply says so
            control.sendall(b"k")
    except ContractError:
        control.sendall(b"x")
        raise


def _load_into(model: nn.Module, state: dict[str, Tensor]) -> None:
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ContractError(
            f"weights: the saved weights must fit build_model(vocab_size) exactly: {' '.join(str(error).split())[:400]}"
        ) from error
