"""The target: its settings, its rules for programs, and its kind for the executor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accuracy.rows import CLASSES, QUESTIONS, make_rows
from accuracy.scorer import PREDICTIONS
from target.base import MakeExecutor
from target.command.checkout import describe_checkout
from target.command.evaluator import check_program
from target.command.kind import CommandKind
from target.command.spec import CommandSpec
from target.executor import Executor
from target.metric import Metric
from target.program import Program
from target.program.contract import Contract
from target.sandbox import isolation_warning

SEED_PROGRAM = Path(__file__).with_name("train.py")


class AccuracyTarget:
    """Programs predict labels; we count the right ones.

    Args:
        spec: How programs run.
        data: The directory of the rows; made when it is first needed.
    """

    ahead_per_slot = 0
    curve_seconds = None
    direction = None

    def __init__(self, spec: CommandSpec, data: Path) -> None:
        self._spec = spec
        self._data = data

    @property
    def limits(self) -> tuple[str, ...]:
        """Limits of a trial, as sentences for the author of a program."""
        return (f"A trial has {self._spec.limit_seconds:g} seconds of wall time; then it is killed.",)

    @property
    def kind(self) -> CommandKind:
        """What an executor runs: a command, with our scorer."""
        return CommandKind(self._spec, evaluator="accuracy.scorer", describe_more=self._describe)

    @property
    def contract(self) -> Contract:
        """The rules for a program."""
        return Contract(
            brief="Raise the `accuracy` of `train.py`. Higher is better.",
            goal="You improve `train.py`, which learns to classify rows of numbers. One of your answers is one trial: "
            "`python train.py` runs the program that comes of it, and its predictions are compared with labels that it "
            "does not have. Higher `accuracy` is better.",
            rules=(
                "The program reads `rows.csv` (numbers, then the label, in each line) and `questions.csv` (numbers "
                f"only), and writes `{PREDICTIONS}`: {QUESTIONS} lines, each a label from 0 to {CLASSES - 1}.",
                "Everything else in `train.py` may change. It may use numpy. GRAFT_SEED has the seed of the training.",
            ),
            check=functools.partial(check_program, self._spec),
            metric=Metric(name="accuracy", is_maximized=True),
            seed_variable="GRAFT_SEED",
        )

    def seed_program(self) -> Program:
        """Return the program that a search begins with."""
        return Program(SEED_PROGRAM.read_text(encoding="utf-8"))

    def make_executor(self, make: MakeExecutor) -> Executor:
        """Return the configured executor."""
        return make(self.kind)

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Draw the rows if there are none, and describe the target for environment.json."""
        if warning := isolation_warning(self._spec.sandbox):
            say(f"warning: {warning}")
        self._describe()
        return {
            "kind": "cpu",
            "metric": {"name": "accuracy", "direction": "maximize", "verified": True},
            "checkout": {"hash": describe_checkout(self._spec).hash},
        }

    def _describe(self) -> dict[str, Any]:
        make_rows(self._data)
        return {"data": str(self._data)}


def accuracy_target(*, data: str, **settings: Any) -> AccuracyTarget:
    """Build the target from its YAML file.

    Args:
        data: The directory of the rows.
        **settings: Settings of `CommandSpec` that a user may change.
    """
    folder = Path(data).expanduser().absolute()
    fixed = {
        "root": folder / "public",
        "file": "train.py",
        "command": "python train.py",
        "metric": "accuracy",
        "direction": "maximize",
        "device": "cpu",
        "fixed": ["rows.csv", "questions.csv"],
    }
    return AccuracyTarget(CommandSpec.from_config({**settings, **fixed}), folder)
