"""A strategy: the children come from the best few programs in turn."""

from __future__ import annotations

import random
from dataclasses import dataclass

from operators.population import Population
from operators.trial import Proposal
from search.strategies.base import child_of


@dataclass(frozen=True)
class Leaders:
    """Mutates each of the best `n` programs in turn.

    Attributes:
        n: How many programs have children.
    """

    n: int = 3

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return the next proposal: it depends on nothing but the arguments, so a search can be resumed."""
        leaders = population.ranked()[: self.n]
        parent = leaders[len(population.trials) % len(leaders)]
        return child_of(parent.number, rng=rng)
