"""The kind of target that runs a command in a copy of a directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from target.command.checkout import copy_checkout
from target.command.spec import CommandSpec
from target.device import ListedCard
from target.device.cards import list_cards

OUR_EVALUATOR: Final = "target.command.evaluator"
"""The module whose score is the number that a command reports."""


class CommandKind:
    """An external target, as executors see it.

    Args:
        spec: Its settings.
        evaluator: Name of the module with `open_evaluator`; another than ours scores the commands itself.
        describe_more: Returns further settings for that module when workers start.
    """

    def __init__(
        self,
        spec: CommandSpec,
        *,
        evaluator: str = OUR_EVALUATOR,
        describe_more: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.spec = spec
        self.evaluator = evaluator
        self._describe_more = describe_more

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
        spec = dataclasses.replace(self.spec, threads=threads)
        return type(self)(spec, evaluator=self.evaluator, describe_more=self._describe_more)

    def describe(self, scratch: Path) -> dict[str, Any]:
        """Copy the directory to `scratch`, and return its place and the settings as plain JSON types.

        Raises:
            TargetError: It cannot be copied.
        """
        more = self._describe_more()
        snapshot = copy_checkout(self.spec, scratch / "checkout")
        return {"spec": self.spec.to_json(), "checkout": str(snapshot.root), "checkout_hash": snapshot.hash, **more}

    def data_hashes(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the hash of the directory, without the file that programs replace."""
        return {"the directory": settings["checkout_hash"]}
