"""What the evaluator asks the zygote to fork a child for."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

from target.sandbox.access import NO_DEVICE, Access

PACKET_BYTES: Final = 65_536  # largest message between the evaluator and the zygote
KILL_SECONDS: Final = 10.0  # after the evaluator hangs up, for everything below the zygote to end
REHEARSAL: Final = "rehearsal:"  # and a device file, in place of a device: what a GPU driver does at its start


class Kind(enum.StrEnum):
    """What the child does, and which descriptors come with the job, the log's pipe first."""

    PREFLIGHT = "preflight"  # log, stage marks
    TRAIN = "train"  # log
    SERVE = "serve"  # log, control, tokens, logits, weights
    COMMAND = "command"  # log
    START_DEVICE = "start-device"  # log; no line of a candidate runs


# What a pre-flight child writes: one byte for each stage as it begins, then one for the result.
IMPORT, BUILD, STEP, PROBE, PASSED, REFUSED = b"i", b"b", b"s", b"c", b"p", b"x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One child, as plain data that crosses a socket.

    Attributes:
        kind: What it does.
        workspace: Its directory.
        device: Where the model runs.
        threads: CPU threads.
        memory_bytes: Address space; None for no limit.
        file_bytes: Largest file.
        cpu_seconds: CPU time of each single process; None for no limit.
        vocab_size: Tokens of the vocabulary, V.
        batch_rows: Rows of a forward pass, B.
        sequence_tokens: Tokens of a row, T.
        layers: Layers of isolation that are put up in the child where the machine has them.
        access: What it needs for the device.
        processes: Whether it may start others.
        all_packages: Whether it may use all installed packages, or only those that torch and numpy need.
        readable: Paths that it may read beside its workspace.
        withheld: Paths that it may not read, wherever they are.
        logits: What the descriptor of the logits is: `mapped` memory, or the `device` handle of memory on a GPU.
        tolerance_nats: Largest accepted change of a log-probability that must not change.
    """

    kind: Kind
    workspace: str
    device: str
    threads: int
    memory_bytes: int | None
    file_bytes: int
    cpu_seconds: int | None
    vocab_size: int
    batch_rows: int
    sequence_tokens: int
    tolerance_nats: float
    logits: Literal["mapped", "device"] = "mapped"
    layers: tuple[str, ...]
    access: Access = NO_DEVICE
    processes: bool = True
    all_packages: bool = False
    readable: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Rebuild a job from `to_json`."""
        lists = {name: tuple(record[name]) for name in ("layers", "readable", "withheld")}
        return cls(**{**record, **lists, "kind": Kind(record["kind"]), "access": Access.from_json(record["access"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandJob:
    """A child that becomes a command of the user's, as plain data that crosses a socket.

    Attributes:
        workspace: Its directory; the command starts in `out/` below it, which it may write.
        command: The program and its arguments.
        environment: All its variables.
        layers: Layers of isolation that are put up in the child where the machine has them.
        access: What it needs for its device.
        readable: Paths that it may read beside its workspace.
        runnable: Paths that it may read and execute from.
        file_bytes: Largest file that it can write.
    """

    workspace: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[str, ...]
    access: Access
    readable: tuple[str, ...]
    runnable: tuple[str, ...]
    file_bytes: int

    @property
    def kind(self) -> Kind:
        """What the child does."""
        return Kind.COMMAND

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON types."""
        return {**asdict(self), "environment": dict(self.environment)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Rebuild a job from `to_json`."""
        lists = {name: tuple(record[name]) for name in ("command", "layers", "readable", "runnable")}
        return cls(**{**record, **lists, "access": Access.from_json(record["access"])})


AnyJob = Job | CommandJob


def parse_job(record: dict[str, Any]) -> AnyJob:
    """Rebuild a job of either kind from its `to_json`."""
    return CommandJob.from_json(record) if "command" in record else Job.from_json(record)
