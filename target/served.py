"""The scorer's end of a model server: shared memory that the scorer owns, and one byte each way."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from target.clock import Excess, Limits
from target.evaluation import Outcome
from target.feedback import CandidateFailure, failure_from_log, refusal
from target.job import Job
from target.launcher import Child, Zygote
from target.runlog import RunLog
from target.workspace import Weights

_LAST_WORDS_SECONDS = 1.0
_WATCH_SECONDS = 0.1  # how often a server that computes is looked at


class _Stopped(Exception):  # noqa: N818 -- becomes a CandidateFailure once the log is complete
    """The server did not answer as it must.

    Args:
        stage: What it was doing.
        reply: The byte that came; empty for the end of the connection, None for none in time.
        status: Wait status of the server, if it has ended.
        excess: Which limit it was over, if it was stopped for one.
    """

    def __init__(
        self, stage: str, reply: bytes | None, status: int | None = None, excess: Excess | None = None
    ) -> None:
        super().__init__(stage)
        self.stage = stage
        self.reply = reply
        self.status = status
        self.excess = excess


class ServedModel:
    """Runs forward passes in a child; use it as a function from tokens to logits.

    Attributes:
        n_parameters: Floating-point values in the saved weights, counted before the candidate's code ran.
        child: The server process.
    """

    def __init__(
        self,
        child: Child,
        control: socket.socket,
        tokens: NDArray[np.int64],
        logits: NDArray[np.float32],
        limits: Limits,
        seconds: float,
    ) -> None:
        self.child = child
        self._control = control
        self._tokens = tokens
        self._logits = logits
        self._limits = limits
        self._seconds = seconds
        self._control.settimeout(_WATCH_SECONDS)
        self._expect(b"w", "loading weights.pt")
        self.n_parameters = int(logits.reshape(-1)[:2].view(np.int64)[0])
        self._exchange(b"g", b"r", "building the model for scoring")

    def __call__(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits (B, T, V) for tokens (B, T), in memory that the server can still write to."""
        self._tokens[:] = tokens
        self._exchange(b"f", b"k", "forward() at scoring")
        return self._logits

    def _exchange(self, request: bytes, reply: bytes, stage: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the missing reply says it
            self._control.sendall(request)
        self._expect(reply, stage)

    def _expect(self, expected: bytes, stage: str) -> None:
        deadline = time.monotonic() + self._seconds
        reply: bytes | None = None
        while reply is None:
            try:
                reply = self._control.recv(1)
            except TimeoutError:
                if excess := self.child.excess(self._limits):
                    raise _Stopped(stage, None, excess=excess) from None
                if time.monotonic() > deadline:
                    raise _Stopped(stage, None) from None
            except ConnectionResetError:
                reply = b""
        if reply != expected:
            raise _Stopped(stage, reply, self.child.wait_briefly(_LAST_WORDS_SECONDS))


@contextlib.contextmanager
def serve(
    zygote: Zygote, job: Job, weights: Weights, log: RunLog, limits: Limits, *, seconds: float
) -> Iterator[ServedModel]:
    """Start a model server; leaving the block ends it.

    Args:
        zygote: Forks it.
        job: The job, of kind `SERVE`.
        weights: What it loads.
        log: Gets its output.
        limits: When it is stopped, beside that.
        seconds: Wall-clock limit of each step, a forward pass for one.

    Raises:
        CandidateFailure: From inside the block too, when the server breaks the contract, fails or takes too long.
    """
    shape = (job.batch_rows, job.sequence_tokens)
    try:
        with contextlib.ExitStack() as stack:
            log_fd = stack.enter_context(log.pipe())
            tokens_fd, tokens = _shared(shape, np.int64)
            stack.callback(os.close, tokens_fd)
            logits_fd, logits = _shared((*shape, job.vocab_size), np.float32)
            stack.callback(os.close, logits_fd)
            control, theirs = socket.socketpair()
            stack.enter_context(control)
            with theirs:
                child = zygote.fork(job, (log_fd, theirs.fileno(), tokens_fd, logits_fd, weights.fd))
            stack.enter_context(child)
            yield ServedModel(child, control, tokens, logits, limits, seconds)
    except _Stopped as stopped:
        raise _failure(stopped, log.tail(), seconds) from stopped


def _failure(stopped: _Stopped, tail: str, seconds: float) -> CandidateFailure:
    if stopped.excess:
        return CandidateFailure(stopped.excess.outcome, f"{stopped.stage} was stopped, {stopped.excess.words}")
    if stopped.reply is None:
        return CandidateFailure(Outcome.TIMED_OUT, f"{stopped.stage} took longer than {seconds:g} seconds")
    if stopped.reply == b"x":
        return CandidateFailure(Outcome.REJECTED, refusal(tail))
    if stopped.reply:
        return CandidateFailure(
            Outcome.REJECTED, f"{stopped.stage}: the server said {stopped.reply!r}, which is no answer"
        )
    return failure_from_log(tail, stopped.status, stage=stopped.stage)


def _shared(shape: tuple[int, ...], dtype: type[np.generic]) -> tuple[int, NDArray[Any]]:
    """Allocate an array in a memory file whose size nobody can change."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    fd = os.memfd_create("graft", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd, np.frombuffer(mmap.mmap(fd, size), dtype=dtype).reshape(shape)
