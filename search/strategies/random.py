"""Best of n: every child comes from the seed program. The control that a strategy has to beat."""

from __future__ import annotations

import random

from operators.population import Population
from operators.trial import Proposal
from search.strategies.base import child_of


class RandomSearch:
    """Mutates the seed program, whatever the earlier results.

    Source: random search as the baseline, Bergstra and Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html.
    """

    def ask(self, population: Population, rng: random.Random) -> Proposal:  # noqa: ARG002  (the protocol's signature)
        """Return a proposal to mutate trial 0."""
        return child_of(0, rng=rng)
