"""The job of an external target: the zygote forks a child that becomes a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from target.sandbox import Confinement


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandJob:
    """A child that becomes the user's command, as plain data that crosses a socket.

    Attributes:
        confinement: What it may use; the command starts in `out/` below its workspace.
        command: The program and its arguments.
        environment: All its variables.
    """

    confinement: Confinement
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON types."""
        return {
            "confinement": self.confinement.to_json(),
            "command": list(self.command),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild a job from `to_json`."""
        confinement = Confinement.from_json(record["confinement"])
        return cls(**{**record, "confinement": confinement, "command": tuple(record["command"])})
