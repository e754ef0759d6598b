"""The scorer's side of a model server: shared memory that the scorer owns, and one byte in each direction."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from target.boundary.job import Job
from target.evaluation import Outcome
from target.feedback import CandidateFailure, failure_from_log, refusal
from target.launch.launcher import Child, Zygote
from target.launch.workspace import Weights
from target.process.clock import Excess, Limits
from target.process.runlog import RunLog
from target.scoring.logits import Buffers, LogitsBuffer, shared_array
from target.scoring.scorer import DeviceLogits

_LAST_WORDS_SECONDS = 1.0
_WATCH_SECONDS = 0.1  # between checks of a server that computes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """The limits of a model server: its time limit covers its start and the passes it was asked for.

    Attributes:
        start_seconds: To load the weights and build the model, on the clock.
        pass_seconds: For each forward pass, on the clock.
        clock: CPU seconds of the server and all its processes, or wall seconds in which the scorer waits for it.
        stall_factor: With a CPU clock, the ratio of the scorer's waiting time to the CPU limit.
        holdings: Limits of memory and disk.
    """

    start_seconds: float
    pass_seconds: float
    clock: Literal["cpu", "wall"]
    stall_factor: float
    holdings: Limits

    def exceeded(self, passes: int, cpu_seconds: float, waited_seconds: float) -> Excess | None:
        """Return the limit that a server exceeded after so many passes, or None."""
        allowed = self.start_seconds + passes * self.pass_seconds
        budget = (
            f"{self.start_seconds:g} for the start and {self.pass_seconds:g} for each forward pass "
            "(target.scoring.start_seconds and pass_seconds)"
        )
        if self.clock == "cpu" and cpu_seconds > allowed:
            figures = f"{cpu_seconds:.1f} CPU seconds used, {allowed:.1f} are allowed: {budget}"
        elif waited_seconds > (longest := allowed * (self.stall_factor if self.clock == "cpu" else 1)):
            figures = f"{waited_seconds:.1f} seconds passed, {longest:.1f} are allowed: {budget}"
            figures += f", times {self.stall_factor:g} on the wall clock" if self.clock == "cpu" else ""
        else:
            return None
        return Excess(Outcome.TIMED_OUT, f"{figures}; after {passes} passes")


class _Stopped(Exception):  # noqa: N818 -- becomes a CandidateFailure once the log is complete
    """The server did not answer as required.

    Args:
        stage: What it was doing.
        reply: The byte received; empty for the end of the connection, None if it was stopped for a limit.
        status: Wait status of the server, if it has ended.
        excess: The limit it exceeded, if it was stopped for one.
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
    """The server cannot open the memory of the logits; no candidate code has run."""


class ServedModel:
    """Runs forward passes in a child; use it as a function from tokens to logits.

    Attributes:
        n_parameters: Values in the saved weights, counted before the candidate's code ran.
        child: The server process.
    """

    def __init__(
        self,
        child: Child,
        control: socket.socket,
        tokens: NDArray[np.int64],
        buffer: LogitsBuffer,
        limits: ServingLimits,
    ) -> None:
        self.child = child
        self._control = control
        self._tokens = tokens
        self._buffer = buffer
        self._limits = limits
        self._passes = 0
        self._waited_seconds = 0.0
        self._control.settimeout(_WATCH_SECONDS)
        self._expect(b"w", "loading weights.pt")
        self.n_parameters = int(tokens.flat[0])
        self._exchange(b"g", b"r", "building the model for scoring")

    def __call__(self, tokens: NDArray[np.int64]) -> NDArray[np.float32] | DeviceLogits:
        """Return the logits (B, T, V) for tokens (B, T), in memory that the server can still write to."""
        self._tokens[:] = tokens
        self._passes += 1
        self._exchange(b"f", b"k", "forward() at scoring")
        return self._buffer.logits

    def _exchange(self, request: bytes, reply: bytes, stage: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the missing reply shows it
            self._control.sendall(request)
        self._expect(reply, stage)

    def _expect(self, expected: bytes, stage: str) -> None:
        began = time.monotonic()
        reply: bytes | None = None
        while reply is None:
            try:
                reply = self._control.recv(1)
            except TimeoutError:
                excess = self.child.excess(self._limits.holdings)
                if excess := excess or self._over(self._waited_seconds + time.monotonic() - began):
                    raise _Stopped(stage, None, excess=excess) from None
            except ConnectionResetError:
                reply = b""
        self._waited_seconds += time.monotonic() - began
        if reply == b"h" and expected == b"w":
            raise _Unreachable
        if reply != expected:
            raise _Stopped(stage, reply, self.child.wait_briefly(_LAST_WORDS_SECONDS))
        self.child.clock.poll()
        if excess := self._over(self._waited_seconds):
            raise _Stopped(stage, None, excess=excess)

    def settle(self) -> None:
        """Check the time again, after every process of the server has ended and been counted.

        Raises:
            _Stopped: It has used too much.
        """
        if excess := self._over(self._waited_seconds):
            raise _Stopped("scoring", None, excess=excess)

    def _over(self, waited_seconds: float) -> Excess | None:
        return self._limits.exceeded(self._passes, self.child.clock.cpu_seconds, waited_seconds)


@contextlib.contextmanager
def serve(
    zygote: Zygote, job: Job, weights: Weights, log: RunLog, limits: ServingLimits, buffers: Buffers
) -> Iterator[ServedModel]:
    """Start a model server; leaving the block ends it.

    Args:
        zygote: Forks it.
        job: The job, of kind `SERVE`.
        weights: The weights that it loads.
        log: Gets its output.
        limits: Its limits.
        buffers: Makes the memory for its logits.

    Raises:
        CandidateFailure: From inside the block too, when the server breaks the contract, fails or takes too long.
    """
    try:
        with contextlib.ExitStack() as stack:
            try:
                model = stack.enter_context(_start(zygote, job, weights, log, limits, buffers))
            except _Unreachable:
                buffers.fall_back()
                model = stack.enter_context(_start(zygote, job, weights, log, limits, buffers))
            yield model
    except _Stopped as stopped:
        raise _failure(stopped, log.tail()) from stopped


@contextlib.contextmanager
def _start(
    zygote: Zygote, job: Job, weights: Weights, log: RunLog, limits: ServingLimits, buffers: Buffers
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
        with child:
            model = ServedModel(child, control, tokens, buffer, limits)
            yield model
        model.settle()


def _failure(stopped: _Stopped, tail: str) -> CandidateFailure:
    if stopped.excess:
        timed_out = stopped.excess.outcome is Outcome.TIMED_OUT
        verb = "exceeded its time limit" if timed_out else "was stopped"
        return CandidateFailure(stopped.excess.outcome, f"{stopped.stage} {verb}, {stopped.excess.words}")
    if stopped.reply == b"x":
        return CandidateFailure(Outcome.REJECTED, refusal(tail))
    if stopped.reply:
        return CandidateFailure(
            Outcome.REJECTED, f"{stopped.stage}: the server said {stopped.reply!r}, which is not a valid answer"
        )
    return failure_from_log(tail, stopped.status, stage=stopped.stage)
