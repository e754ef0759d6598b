"""An acceptance rule: a candidate must beat the champion by a margin, on the same training seeds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from operators.population import Population
from operators.trial import Status, Trial
from search.acceptance import Measure, Verdict, training_seed


@dataclass(frozen=True)
class Margin:
    """Compares the means of a few trainings.

    Attributes:
        margin: The least gain that counts, in the unit of the metric.
        seeds: Trainings of each program.
        seed: Seed of the search, from which the training seeds derive.
    """

    margin: float = 0.1
    seeds: int = 3
    seed: int = 0

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Return the trainings that are still needed, or the verdict; it depends on nothing but the arguments."""
        seeds = [training_seed(self.seed, index) for index in range(self.seeds)]
        champion = population.champion
        for program in (trial,) if champion is None else (trial, champion):
            missing = [each for each in seeds if program.measurement(each) is None]
            if missing:
                return Measure(tuple((program.number, each) for each in missing))
        if champion is None:
            return Verdict(Status.BASELINE)
        gains = [champion.values[each] - trial.values[each] for each in seeds if each in champion.values]
        # values are lower for better programs, in every target; a champion that failed on all seeds loses
        return Verdict(Status.KEEP if not gains or statistics.fmean(gains) > self.margin else Status.DISCARD)

    def repeat(self, trial: Trial, population: Population) -> Measure | None:
        """Return None: a program that is proposed again is not trained again."""
