"""What a strategy and an operator must return: those of users are not type-checked."""

from __future__ import annotations

from typing import Any, Final

from operators.population import Population
from operators.trial import Mutation, Proposal
from search.errors import PartError

_CALLS: Final = {"strategy": "ask(population, rng)", "operator": "mutate(proposal, population)"}
_WHERE: Final = "docs/extending.md has an example"


def checked_proposal(found: Any, name: str, population: Population) -> Proposal:
    """Return what a strategy returned, if it is a proposal that can be built.

    Args:
        found: What it returned.
        name: Of the strategy.
        population: All trials.

    Raises:
        PartError: It is something else, or names a parent that cannot be one.
    """
    _require_type(found, Proposal, name, "strategy", "such as child_of(number, rng=rng) of search.strategies.base")
    assert isinstance(found, Proposal)
    trials = population.trials
    sound = [0 <= number < len(trials) and trials[number].program is not None for number in found.parents]
    if not sound or not all(sound):
        wrong = [number for number, is_sound in zip(found.parents, sound, strict=True) if not is_sound]
        got = f"trial {wrong[0]}" if wrong else "no parent"
        raise PartError(
            f"the strategy {name} must propose parents among the trials that have a program, got {got} "
            f"when there were {len(trials)} trials; population.scores has the numbers of those with a score"
        )
    return found


def checked_mutation(found: Any, name: str) -> Mutation:
    """Return what an operator returned, if it is a mutation.

    Args:
        found: What it returned.
        name: Of the operator.

    Raises:
        PartError: It is something else.
    """
    _require_type(found, Mutation, name, "operator", "which has the program; if there is none, raise MutationError")
    assert isinstance(found, Mutation)
    return found


def _require_type(found: Any, wanted: type, name: str, group: str, advice: str) -> None:
    if not isinstance(found, wanted):
        got = "None" if found is None else f"{type(found).__name__} {found!r:.60}"
        raise PartError(
            f"the {group} {name} must return a {wanted.__name__} from {_CALLS[group]}, {advice}; got {got}; {_WHERE}"
        )
