"""The scorer's end of a model server: shared memory that the scorer owns, and one byte each way."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from target.clock import Excess, Limits
from target.evaluation import Outcome
from target.feedback import CandidateFailure, failure_from_log, refusal
from target.job import Job
from target.launcher import Child, Zygote
from target.logits import Buffers, LogitsBuffer, shared_array
from target.runlog import RunLog
from target.scorer import DeviceLogits
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


class _Unreachable(Exception):  # noqa: N818 -- an event: the next server gets another kind of buffer
    """The server cannot open the memory of the logits; no line of the candidate has run."""


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
        buffer: LogitsBuffer,
        limits: Limits,
        seconds: float,
    ) -> None:
        self.child = child
        self._control = control
        self._tokens = tokens
        self._buffer = buffer
        self._limits = limits
        self._seconds = seconds
        self._control.settimeout(_WATCH_SECONDS)
        self._expect(b"w", "loading weights.pt")
        self.n_parameters = int(tokens.flat[0])
        self._exchange(b"g", b"r", "building the model for scoring")

    def __call__(self, tokens: NDArray[np.int64]) -> NDArray[np.float32] | DeviceLogits:
        """Return the logits (B, T, V) for tokens (B, T), in memory that the server can still write to."""
        self._tokens[:] = tokens
        self._exchange(b"f", b"k", "forward() at scoring")
        return self._buffer.logits

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
        if reply == b"h" and expected == b"w":
            raise _Unreachable
        if reply != expected:
            raise _Stopped(stage, reply, self.child.wait_briefly(_LAST_WORDS_SECONDS))


@contextlib.contextmanager
def serve(
    zygote: Zygote, job: Job, weights: Weights, log: RunLog, limits: Limits, buffers: Buffers, *, seconds: float
) -> Iterator[ServedModel]:
    """Start a model server; leaving the block ends it.

    Args:
        zygote: Forks it.
        job: The job, of kind `SERVE`.
        weights: What it loads.
        log: Gets its output.
        limits: When it is stopped, beside that.
        buffers: Where its logits go.
        seconds: Wall-clock limit of each step, a forward pass for one.

    Raises:
        CandidateFailure: From inside the block too, when the server breaks the contract, fails or takes too long.
    """
    try:
        with contextlib.ExitStack() as stack:
            try:
                model = stack.enter_context(_start(zygote, job, weights, log, limits, buffers, seconds))
            except _Unreachable:
                buffers.fall_back()
                model = stack.enter_context(_start(zygote, job, weights, log, limits, buffers, seconds))
            yield model
    except _Stopped as stopped:
        raise _failure(stopped, log.tail(), seconds) from stopped


@contextlib.contextmanager
def _start(
    zygote: Zygote, job: Job, weights: Weights, log: RunLog, limits: Limits, buffers: Buffers, seconds: float
) -> Iterator[ServedModel]:
    shape = (job.batch_rows, job.sequence_tokens)
    with contextlib.ExitStack() as stack:
        log_fd = stack.enter_context(log.pipe())
        tokens_fd, tokens = shared_array(shape, np.int64)
        stack.callback(os.close, tokens_fd)
        buffer = stack.enter_context(contextlib.closing(buffers.allocate((*shape, job.vocab_size))))
        control, theirs = socket.socketpair()
        stack.enter_context(control)
        with theirs:
            job = dataclasses.replace(job, logits=buffer.kind)
            child = zygote.fork(job, (log_fd, theirs.fileno(), tokens_fd, buffer.fd, weights.fd))
        stack.enter_context(child)
        yield ServedModel(child, control, tokens, buffer, limits, seconds)


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
