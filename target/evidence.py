"""What earlier trainings of a search say about memory: with it a pre-flight refuses a program that cannot fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from target.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfMemory:
    """A training that ran out of memory.

    Attributes:
        number: Its trial.
        program: Its program.
        memory_bytes: Memory of the card, or the limit, that was not enough.
    """

    number: int
    program: Program
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Trainings of programs that are comparable with a new one (`target.program.comparable`).

    Attributes:
        failed: Those that ran out of memory.
        trained: Programs that did not.
    """

    failed: tuple[OutOfMemory, ...] = ()
    trained: tuple[Program, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as plain JSON types."""
        failed = [[each.number, each.program.source, each.memory_bytes] for each in self.failed]
        return {"failed": failed, "trained": [each.source for each in self.trained]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild evidence from `to_json`."""
        failed = (
            OutOfMemory(number=number, program=Program(source), memory_bytes=memory_bytes)
            for number, source, memory_bytes in record["failed"]
        )
        return cls(failed=tuple(failed), trained=tuple(map(Program, record["trained"])))


NO_EVIDENCE = Evidence()
