"""Passes a proposal from one operator to another."""

from __future__ import annotations

from dataclasses import replace

from operators.base import MutationError, Operator
from operators.population import Population
from operators.trial import Mutation, Proposal


def delegate(name: str, operator: Operator, proposal: Proposal, population: Population) -> Mutation:
    """Return the mutation that another operator makes for a proposal, recorded as `NAME/OTHER`.

    Args:
        name: Operator that was called.
        operator: Operator that does the work.
        proposal: The proposal.
        population: All trials.

    Raises:
        MutationError: The other operator failed; the error names it.
        ProviderError: The provider does not work.
    """
    try:
        mutation = operator.mutate(proposal, population)
    except MutationError as error:
        failed = replace(error.attempt, operator=f"{name}/{error.attempt.operator or operator.name}")
        raise type(error)(str(error), failed) from error
    return replace(mutation, operator=f"{name}/{mutation.operator}")
