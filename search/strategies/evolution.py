"""Regularised evolution: tournament selection; the oldest trials leave first, however good they are."""

from __future__ import annotations

import random

from operators.population import Population
from operators.trial import Proposal
from search.strategies.base import best_first, child_of


class RegularisedEvolution:
    """Mutates the winner of a tournament among the youngest scored trials.

    The population starts from the seed program alone instead of random individuals, because a mutation operator can
    only vary existing programs.

    Args:
        population_size: Scored trials that may become parents, the youngest; P in the paper.
        tournament_size: Trials drawn, with replacement, to find a parent; S in the paper.

    Raises:
        ValueError: If a size is below 1.

    Source: Real et al. 2019, https://arxiv.org/abs/1802.01548, Algorithm 1.
    """

    def __init__(self, *, population_size: int, tournament_size: int) -> None:
        if min(population_size, tournament_size) < 1:
            raise ValueError(
                f"population_size and tournament_size must be at least 1, got {population_size} and {tournament_size}"
            )
        self._population_size = population_size
        self._tournament_size = tournament_size

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate the winner of a tournament; its companions are the youngest scored trials."""
        alive = [trial.number for trial in population.scored[-self._population_size :]]
        rivals = rng.choices(alive, k=self._tournament_size)
        return child_of(best_first(rivals, population)[0], rng=rng, companions=best_first(alive, population))
