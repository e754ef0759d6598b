"""Operators that leave a proposal to another one."""

from __future__ import annotations

from dataclasses import replace

from operators.base import MutationError, Operator
from operators.population import Population
from operators.trial import Mutation, Proposal


def delegate(name: str, operator: Operator, proposal: Proposal, population: Population) -> Mutation:
    """Return what another operator makes of a proposal, recorded as `NAME/OTHER`.

    Args:
        name: Operator that was asked.
        operator: Operator that does the work.
        proposal: What to do.
        population: What is known.

    Raises:
        MutationError: The other one failed; the error says which.
        ProviderError: The provider is out of order.
    """
    try:
        mutation = operator.mutate(proposal, population)
    except MutationError as error:
        error.operator = f"{name}/{error.operator or operator.name}"
        raise
    return replace(mutation, operator=f"{name}/{mutation.operator}")
