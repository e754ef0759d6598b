"""Greedy hill climbing: every child comes from the champion."""

from __future__ import annotations

import random

from operators.population import Population
from operators.trial import Proposal
from search.strategies.base import child_of, one_of_the_best


class Greedy:
    """Mutates the champion, as the acceptance rule knows it.

    Source: the loop of karpathy/autoresearch (keep if better, else revert); a (1+1) evolution strategy,
    Rechenberg 1973.
    """

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate the champion."""
        champion = population.champion
        return child_of(champion.number if champion else 0, rng=rng)

    def ask_wider(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate one of the best few trials."""
        return child_of(one_of_the_best(population, rng), rng=rng)
