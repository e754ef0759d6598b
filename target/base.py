"""What a search needs from its target: a program to begin with, and an executor that evaluates programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from target.executor import Executor
from target.kind import Kind
from target.program import Program
from target.program.contract import Contract

MakeExecutor = Callable[[Kind], Executor]
"""Makes an executor that trains programs, as `conf/executor` configures it; it is not started yet."""


class Target(Protocol):
    """What is searched, and how it is scored. A YAML file in `conf/target` with a `_target_` names its own class."""

    @property
    def limits(self) -> tuple[str, ...]:
        """Limits of a training, as sentences for the author of a program."""

    @property
    def kind(self) -> Kind | None:
        """What an executor runs, before it is fitted to the machine; None if nothing is run."""

    @property
    def contract(self) -> Contract:
        """What a program must be."""

    @property
    def direction(self) -> Path | None:
        """The human's direction that comes with the target; None if there is none."""

    @property
    def ahead_per_slot(self) -> int:
        """Programs to propose and pre-flight for each slot while it trains, with an operator that answers at once.

        1 if the pre-flight would keep an expensive device waiting, and does not disturb its trainings; else 0. With an
        operator that asks a model or runs an agent it is at least 1 (`search.ahead`). `propose_ahead` overrules both.
        """

    @property
    def curve_seconds(self) -> float | None:
        """Time of a training, by the clock of the loss curve that it reports; None if trainings report no curve."""

    def seed_program(self) -> Program:
        """Return the program that a search begins with; raises `TargetError` if there is none."""

    def make_executor(self, make: MakeExecutor) -> Executor:
        """Return what evaluates programs, not started yet.

        Args:
            make: Makes the configured executor, for targets that train.
        """

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Get ready, and return what environment.json records of the target.

        Args:
            say: Shows a message to the user: about slow steps, and warnings.
        """
