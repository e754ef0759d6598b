"""External targets: an autoresearch checkout, or any directory with a file to edit and a command."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from target.base import MakeExecutor
from target.command.checkout import describe_checkout
from target.command.evaluator import SEED_VARIABLE, check_program
from target.command.kind import CommandKind
from target.command.programs import find_command
from target.command.spec import CommandSpec
from target.device import name_cards, record_cards
from target.errors import TargetError
from target.executor import Executor
from target.metric import Metric, usual_direction
from target.program import Program
from target.program.contract import Contract
from target.program.reading import read_program
from target.program.subject import NETWORK, PROGRAM
from target.sandbox import isolation_warning


class CommandTarget:
    """A target whose programs report their own score.

    Args:
        spec: Its settings. They are checked only when the target is used: a finished search may be read elsewhere.
    """

    def __init__(self, spec: CommandSpec) -> None:
        self._spec = spec
        self._slots: int | None = None

    @property
    def limits(self) -> tuple[str, ...]:
        """Limits of a trial, as sentences for the author of a program."""
        spec = self._spec
        return (
            f"A trial has {spec.limit_seconds:g} seconds of wall time, start-up included; then it is killed.",
            "There is no network. Files can be written to the working directory, the home and the temporary directory "
            "only, which are new for each trial and vanish with it.",
        )

    @property
    def kind(self) -> CommandKind:
        """What an executor runs."""
        return CommandKind(self._spec)

    @property
    def contract(self) -> Contract:
        """What a program must be."""
        spec = self._spec
        better = "Higher is better" if spec.maximize else "Lower is better"
        place = "the last line of its output that has the form `{metric}: NUMBER`"
        if spec.metric_pattern:
            place = "the last number of its output in a line that matches `{pattern}`"
        elif spec.metric_file:
            place = "the number `{metric}` of the JSON object in {file}"
        place = place.format(metric=spec.metric, file=spec.metric_file, pattern=spec.metric_pattern)
        metric = Metric(name=spec.metric, is_maximized=spec.maximize, file=spec.file)
        rules = [
            f"Everything in `{spec.file}` may change, as long as `{spec.command}` runs it and {place} is the result.",
            "The measurement itself stays as it is: a program that reports anything but an honest result is worthless.",
        ]
        if spec.fixed:
            rules.append(f"Other files cannot be changed: {', '.join(spec.fixed)} are compared after the run.")
        return Contract(
            brief=f"Improve `{spec.metric}` of `{spec.file}`. {better}.",
            goal=f"You improve `{spec.file}`. One of your answers is one trial: `{spec.command}` runs the program that "
            f"comes of it, and it is scored by {place}. {better}, and nothing else counts.",
            rules=tuple(rules),
            check=functools.partial(check_program, spec),
            metric=metric,
            subject=NETWORK if metric.is_usual else PROGRAM,
            seed_variable=SEED_VARIABLE,
        )

    @property
    def direction(self) -> Path | None:
        """The human's direction, if the directory has one."""
        guide = self._spec.root / self._spec.guide if self._spec.guide else None
        return guide if guide and guide.is_file() else None

    @property
    def ahead_per_slot(self) -> int:
        """One if the command has a GPU, which would wait while the next program is made."""
        return int(self._spec.device == "cuda")

    @property
    def curve_seconds(self) -> None:
        """None: a command reports no curve."""
        return

    def seed_program(self) -> Program:
        """Return the program that a search begins with.

        Raises:
            TargetError: The directory or the file is not there, or the command cannot be found.
        """
        self._require_root()
        path = self._spec.program or self._spec.root / self._spec.file
        return read_program(path)

    def make_executor(self, make: MakeExecutor) -> Executor:
        """Return the configured executor.

        Raises:
            TargetError: The directory is not there, or the command cannot be found.
        """
        self._require_root()
        executor = make(self.kind)
        self._slots = executor.slots
        return executor

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Say that the number is not checked, and describe the directory."""
        spec = self._spec
        if warning := isolation_warning(spec.sandbox):
            say(f"warning: {warning}")
        if doubt := self.contract.metric.doubt:
            say(f"warning: {doubt}; if so, set target.direction={usual_direction(spec.metric)}")
        cards = self.kind.cards()
        if cards:
            say(f"device: {name_cards(cards, slots=self._slots)}")
        elif spec.device == "cuda":
            say("warning: target.device=cuda, but no GPU was found here; look at nvidia-smi")
        snapshot = describe_checkout(spec)
        say(f"unverified: {spec.metric} is reported by {spec.file} itself and not checked")
        return {
            "kind": spec.device,
            **record_cards(cards[: self._slots]),
            "metric": {"name": spec.metric, "direction": spec.direction, "verified": False},
            "file": spec.file,
            "checkout": {"root": str(spec.root), "commit": snapshot.commit, "hash": snapshot.hash},
            "seed_variable": SEED_VARIABLE,
        }

    def _require_root(self) -> None:
        if not self._spec.root.is_dir():
            raise TargetError(f"target.root must be a directory, got {self._spec.root}")
        find_command(self._spec)


def command_target(**settings: Any) -> CommandTarget:
    """Build a target from the settings of its YAML file; see `CommandSpec`."""
    return CommandTarget(CommandSpec.from_config(settings))
