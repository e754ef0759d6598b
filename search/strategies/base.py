"""What a strategy is."""

from __future__ import annotations

import random
from typing import Protocol

from operators.population import Population
from operators.trial import Label, Proposal


class Strategy(Protocol):
    """Decides what to mutate next: a pure function of the population.

    A strategy keeps no state between calls, so a search resumes by rebuilding the population from the ledger.
    """

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return the next proposal.

        Args:
            population: All trials so far; trial 0 is scored, others may be pending.
            rng: Randomness of this proposal alone, derived from the seed of the search and the proposal's number.

        Raises:
            NothingToProposeError: There is nothing to do, for now or for good.
        """


class NothingToProposeError(Exception):
    """A strategy waits for what is under way; if nothing is, the search ends, and this is why."""


def child_of(*parents: int, rng: random.Random, **labels: Label) -> Proposal:
    """Return a proposal to mutate some trials, with a seed for the operator drawn from `rng`."""
    return Proposal(parents=parents, seed=rng.getrandbits(32), labels=labels)
