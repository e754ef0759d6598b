"""One search of an arm: what it used, and when its best so far changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from operators.trial import Trial
from search.champions import reigns
from search.runs.finished import SearchRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One search of an arm.

    Attributes:
        search: Its folder.
        seed: Its seed.
        trainings: In all, like the next two.
        gpu_hours: Of its device, which may be a CPU.
        usd: For models.
        steps: When the best so far changed: (trainings, hours, dollars, score) of each champion.
    """

    search: str
    seed: int
    trainings: int
    gpu_hours: float
    usd: float
    steps: tuple[tuple[int, float, float, float], ...]


def repetition(run: SearchRun, value: Callable[[Trial], float]) -> Repetition:
    """Return what a search contributes; `value` is the score of a champion."""
    return Repetition(
        search=str(run.root),
        seed=run.summary.seed,
        trainings=run.summary.trainings,
        gpu_hours=run.summary.gpu_seconds / 3600,
        usd=run.summary.cost_usd,
        steps=tuple(
            (reign.trainings, reign.gpu_hours, reign.usd, value(reign.champion)) for reign in reigns(run.population)
        ),
    )
