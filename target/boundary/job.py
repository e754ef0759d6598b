"""The jobs for which an evaluator asks the zygote to fork a child."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Protocol, Self

from target.sandbox import Confinement

PACKET_BYTES: Final = 65_536  # largest message between the evaluator and the zygote
KILL_SECONDS: Final = 10.0  # for all descendants of the zygote to end after the evaluator hangs up
REHEARSAL: Final = "rehearsal:"  # followed by a device file, in place of a device: rehearses the start of a GPU driver


class AnyJob(Protocol):
    """One child, as plain data that crosses a socket. The zygote's child module knows its fields."""

    @property
    def confinement(self) -> Confinement:
        """What the child may use."""

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON types."""


class Role(enum.StrEnum):
    """What a child does with a program. The comments list the descriptors of the job; the log's pipe is first."""

    PREFLIGHT = "preflight"  # log, stage marks
    TRAIN = "train"  # log
    SERVE = "serve"  # log, control, tokens, logits, weights
    START_DEVICE = "start-device"  # log; no candidate code runs


# A pre-flight child writes one byte when each stage begins, then one for the result.
IMPORT, BUILD, STEP, PROBE, PASSED, REFUSED, TOO_LARGE = b"i", b"b", b"s", b"c", b"p", b"x", b"m"
EARLIER: Final = "earlier"  # of a pre-flight's workspace: programs of its evidence, failed-NUMBER.py and trained-N.py


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A child that does something with a program, or starts a device.

    Attributes:
        role: What it does.
        confinement: What it may use.
        device: The device that the model runs on.
        threads: CPU threads.
        vocab_size: Tokens of the vocabulary, V.
        batch_rows: Rows of a forward pass, B.
        sequence_tokens: Tokens of a row, T.
        logits: What the descriptor of the logits is: `mapped` memory, or the `device` handle of memory on a GPU.
        tolerance_nats: Largest accepted change of a log-probability that must not change.
        memory_bytes: What a training may use at most, for a pre-flight; None if that is not known.
        weights_bytes: Largest file of weights, for a pre-flight.
    """

    role: Role
    confinement: Confinement
    device: str
    threads: int
    vocab_size: int
    batch_rows: int
    sequence_tokens: int
    tolerance_nats: float
    memory_bytes: int | None = None
    weights_bytes: int | None = None
    logits: Literal["mapped", "device"] = "mapped"

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON types."""
        return {**asdict(self), "confinement": self.confinement.to_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild a job from `to_json`."""
        confinement = Confinement.from_json(record["confinement"])
        return cls(**{**record, "role": Role(record["role"]), "confinement": confinement})
