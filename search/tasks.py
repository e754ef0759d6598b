"""What a search has under way."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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
