"""The champions of a search over time, derived from its trials: for reports, comparisons, MLflow and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from operators.population import Population
from operators.trial import Status, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The champion after a verdict.

    Attributes:
        verdicts: Number of verdicts by then, this one included.
        trainings: Trainings of all trials decided by then.
        gpu_hours: Their training and scoring time, by the clock of the target.
        usd: Cost of their model calls.
        champion: The champion.
    """

    verdicts: int
    trainings: int
    gpu_hours: float
    usd: float
    champion: Trial


def champions(population: Population) -> Iterator[Point]:
    """Yield the champion after each verdict, beginning with that on the baseline."""
    trainings, seconds, usd = 0, 0.0, 0.0
    champion: Trial | None = None
    for count, trial in enumerate(population.decided, start=1):
        trainings += trial.trainings
        seconds += trial.device_seconds
        usd += 0.0 if trial.imported else trial.cost_usd
        if trial.status in (Status.BASELINE, Status.KEEP):
            champion = trial
        if champion:
            yield Point(verdicts=count, trainings=trainings, gpu_hours=seconds / 3600, usd=usd, champion=champion)


def reigns(population: Population) -> Iterator[Point]:
    """Yield each champion once, at the verdict that made it champion; the baseline first."""
    current: Trial | None = None
    for point in champions(population):
        if point.champion is not current:
            yield point
        current = point.champion


def best_by_training(population: Population) -> dict[int, float]:
    """Return the score of the champion after each number of trainings, from the first one that made a champion.

    Every number has a value, so that a chart shows steps, and a mean over searches is one over all of them.
    """
    steps: dict[int, float] = {}
    for reign in reigns(population):
        score = population.scores[reign.champion.number]
        if steps:
            last, before = next(reversed(steps.items()))
            steps |= dict.fromkeys(range(last + 1, reign.trainings), before)
        steps[reign.trainings] = score
    if steps:
        last, score = next(reversed(steps.items()))
        steps |= dict.fromkeys(range(last + 1, population.trainings + 1), score)
    return steps
