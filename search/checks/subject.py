"""The search that is checked, as far as checks need to know it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from search.construct import instantiate
from search.names import folder_of
from search.rundir import RunDirectory
from target.command_spec import CommandSpec
from target.spec import Sandbox, TargetSpec

_COMMAND_TARGET: Final = "target.command.command_target"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A composed search.

    Attributes:
        config: Its configuration, as plain types.
        overrides: The command line's part of it.
        spec: Settings of a target that trains; None for one that does not, such as a simulated one.
    """

    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    spec: TargetSpec | CommandSpec | None

    @property
    def run(self) -> RunDirectory:
        """The folder of the search.

        Raises:
            UserError: Its name does not fit.
        """
        return folder_of(self.config["outputs"], self.config["name"])

    @property
    def outputs(self) -> Path:
        """Where the folders of searches are."""
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
        """How candidates are confined; simulated ones are not run at all."""
        return self.spec.sandbox if self.spec else "off"

    @functools.cached_property
    def slots(self) -> int:
        """Trainings side by side, as the executor has them.

        Raises:
            UserError: Its settings do not fit.
            TargetError: There is no place for them here.
        """
        executor = instantiate(self.config["executor"], "executor")
        return int(executor(self.spec).slots) if self.spec else 1


def make_subject(config: Mapping[str, Any], overrides: Sequence[str]) -> Subject:
    """Return the search that a configuration describes.

    Raises:
        TargetError: The settings of the target do not fit.
    """
    settings = {key: value for key, value in config["target"].items() if key not in ("_target_", "_convert_")}
    spec: TargetSpec | CommandSpec | None = None
    if "_target_" not in config["target"]:
        spec = TargetSpec.from_config(settings)
    elif config["target"]["_target_"] == _COMMAND_TARGET:
        spec = CommandSpec.from_config(settings)
    return Subject(config=config, overrides=tuple(overrides), spec=spec)
