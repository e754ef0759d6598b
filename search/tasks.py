"""What a search has under way."""

from __future__ import annotations

import enum
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from target.errors import TargetError
from target.evaluation import Evaluation, Outcome

ATTEMPTS: Final = 3
"""At one evaluation, in as many sessions: then the program is at fault, not the machine."""


class Stage(enum.StrEnum):
    """What is being done about a trial."""

    PROPOSE = "propose"
    PREFLIGHT = "pre-flight"
    MEASURE = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of work that is under way.

    Attributes:
        stage: What is done.
        number: For which trial.
        seed: Training seed, if it is a training.
        started: When, by the clock of the loop.
    """

    stage: Stage
    number: int
    seed: int | None = None
    started: float


def given_up(task: Task, error: TargetError) -> Future[Evaluation]:
    """Return the evaluation of a program all of whose attempts ended by an error of the machine."""
    evaluation: Future[Evaluation] = Future()
    evaluation.set_result(
        Evaluation(
            outcome=Outcome.CRASHED,
            seed=task.seed or 0,
            trained=task.stage is Stage.MEASURE,
            detail=f"given up: each of {ATTEMPTS} attempts ended by an error outside of the program: {error}",
        )
    )
    return evaluation
