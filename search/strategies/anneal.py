"""Simulated annealing: a walk that accepts worse steps, less and less often."""

from __future__ import annotations

import math
import random
import statistics

from operators.population import Population
from operators.trial import Proposal, Trial
from search.strategies.base import child_of, verdicts


class Anneal:
    """Mutates the current trial of a walk, which accepts a worse child with probability exp(-loss / temperature).

    The temperature is in units of the median distance between a child and its parent, so it means the same on every
    target. It falls geometrically with the number of verdicts. The walk returns to the best trial after `patience`
    verdicts away from it.

    Args:
        start: Temperature at the beginning.
        end: Temperature after `verdicts` verdicts, and from then on.
        verdicts: Number of verdicts over which it cools.
        patience: Verdicts after which a walk that has found nothing better returns to the best trial.

    Raises:
        ValueError: If a temperature or a number is not positive.

    Source: Kirkpatrick, Gelatt and Vecchi 1983, Optimization by simulated annealing.
    """

    def __init__(self, *, start: float, end: float, verdicts: int, patience: int) -> None:
        if min(start, end) <= 0 or min(verdicts, patience) < 1:
            raise ValueError(
                "start and end must be above 0, verdicts and patience at least 1, "
                f"got {start}, {end}, {verdicts} and {patience}"
            )
        self._start = start
        self._end = end
        self._verdicts = verdicts
        self._patience = patience

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate the current trial of the walk."""
        return child_of(self._stand(population), rng=rng)

    def ask_wider(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal like `ask`; but as its trial is marked, the walk is hot again when it steps to it."""
        return self.ask(population, rng)

    def _stand(self, population: Population) -> int:
        """Replay the walk over all verdicts."""
        unit = _typical_distance(population)
        scores, here, best, away = population.scores, 0, 0, 0
        for count, trial in enumerate(verdicts(population)):
            if trial.scored:
                temperature = self._start if trial.proposal.stuck else self._temperature(count)
                loss = scores[trial.number] - scores[here]
                if loss < 0 or _draw(trial) < math.exp(-loss / (unit * temperature)):
                    here = trial.number
            if scores[here] < scores[best]:
                best, away = here, 0
                continue
            away += 1
            if away >= self._patience:
                here, away = best, 0
        return here

    def _temperature(self, count: int) -> float:
        progress = min(count / self._verdicts, 1.0)
        return float(self._start * (self._end / self._start) ** progress)


def _draw(trial: Trial) -> float:
    """Return the uniform number that decides a step; it depends only on the trial, so each replay gets the same."""
    return random.Random(f"anneal {trial.proposal.seed}").random()


def _typical_distance(population: Population) -> float:
    scores = population.scores
    gaps = [
        abs(scores[trial.number] - scores[parent])
        for trial in population.scored
        for parent in trial.proposal.parents
        if scores.get(parent, scores[trial.number]) != scores[trial.number]
    ]
    return statistics.median(gaps) if gaps else 1.0
