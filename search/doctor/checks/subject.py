"""The search that is checked, as far as the checks need it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from search.composed import make_target
from search.construct import instantiate
from search.names import folder_of
from search.runs.rundir import RunDirectory
from target.command.kind import CommandKind
from target.command.spec import CommandSpec
from target.kind import Kind
from target.spec import Sandbox, TargetSpec
from target.trained import TrainedKind


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A composed search.

    Attributes:
        config: Its configuration, as plain types.
        overrides: The part of it from the command line.
        kind: What an executor would run; None for a target that computes scores.
    """

    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    kind: Kind | None

    @property
    def spec(self) -> TargetSpec | CommandSpec | None:
        """Settings of the target, if its programs are run."""
        return self.kind.spec if isinstance(self.kind, TrainedKind | CommandKind) else None

    @property
    def run(self) -> RunDirectory:
        """The folder of the search.

        Raises:
            UserError: Its name does not fit.
        """
        return folder_of(self.config["outputs"], self.config["name"])

    @property
    def outputs(self) -> Path:
        """The folder that holds all searches."""
        return Path(self.config["outputs"]).expanduser()

    @property
    def target(self) -> str:
        """Name of the target."""
        settings = self.config["target"]
        return str(self.spec.name if self.spec else settings.get("name", settings["_target_"]))

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where programs are trained."""
        return self.spec.device if self.spec else "cpu"

    @property
    def sandbox(self) -> Sandbox:
        """How candidates are confined; candidates of simulated targets are not run at all."""
        return self.spec.sandbox if self.spec else "off"

    @functools.cached_property
    def slots(self) -> int:
        """Number of parallel trainings, as the executor determines it.

        Raises:
            UserError: Its settings do not fit.
            TargetError: This machine has no place for them.
        """
        executor = instantiate(self.config["executor"], "executor")
        return int(executor(self.kind).slots) if self.kind else 1


def make_subject(config: Mapping[str, Any], overrides: Sequence[str]) -> Subject:
    """Return the search that a configuration describes.

    Raises:
        TargetError: The settings of the target do not fit.
    """
    kind = make_target(config["target"]).kind
    return Subject(config=config, overrides=tuple(overrides), kind=kind)
