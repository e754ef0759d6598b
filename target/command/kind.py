"""The kind of target that runs a command in a copy of a directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, Self

from target.command.checkout import copy_checkout
from target.command.spec import CommandSpec
from target.device import ListedCard
from target.device.cards import list_cards


class CommandKind:
    """An external target, as executors see it.

    Args:
        spec: Its settings.
    """

    evaluator = "target.command.evaluator"

    def __init__(self, spec: CommandSpec) -> None:
        self.spec = spec

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where the command runs."""
        return self.spec.device

    @property
    def threads(self) -> int:
        """CPU threads of one training."""
        return self.spec.threads

    def cards(self) -> tuple[ListedCard, ...]:
        """Return the GPUs that the driver lists; none on a CPU. If none is found, the command may still find one."""
        return tuple(list_cards()) if self.device == "cuda" else ()

    def with_threads(self, threads: int) -> Self:
        """Return the same target with another number of CPU threads."""
        return type(self)(dataclasses.replace(self.spec, threads=threads))

    def describe(self, scratch: Path) -> dict[str, Any]:
        """Copy the directory to `scratch`, and return its place and the settings as plain JSON types.

        Raises:
            TargetError: It cannot be copied.
        """
        snapshot = copy_checkout(self.spec, scratch / "checkout")
        return {"spec": self.spec.to_json(), "checkout": str(snapshot.root)}
