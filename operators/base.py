"""What an operator is, and how it may fail."""

from __future__ import annotations

from typing import Protocol

from operators.population import Population
from operators.trial import Mutation, Proposal


class Operator(Protocol):
    """Builds the next program. Calls may block, and run side by side in threads."""

    @property
    def name(self) -> str:
        """Name, as recorded with every trial that it makes."""

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return a new program made from the parents of a proposal.

        All randomness derives from `proposal.seed`, so a proposal that was interrupted can be asked for again.

        Raises:
            MutationError: No program came of it; the trial is recorded as `not_built`.
            ProviderError: The provider is out of order; the search stops and can be resumed.
        """


class MutationError(Exception):
    """The operator could not build a program from this proposal.

    Args:
        message: Why, as feedback for the next attempt.
        cost_usd: What was spent on it.
    """

    def __init__(self, message: str, *, cost_usd: float = 0.0) -> None:
        super().__init__(message)
        self.cost_usd = cost_usd


class ProviderError(Exception):
    """Whoever provides the mutations cannot: an outage, a wrong key. No trial is consumed."""
