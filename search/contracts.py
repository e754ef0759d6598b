"""What a strategy, an operator and an acceptance rule must be and return: those of users are not type-checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from operators.population import Population
from operators.trial import Mutation, Proposal
from search.errors import PartError, UserError

_CALLS: Final = {
    "strategy": ("ask(population, rng)",),
    "operator": ("mutate(proposal, population)",),
    "acceptance": ("step(trial, population)", "repeat(trial, population)"),
}
_WHERE: Final = "docs/extending.md has an example"


def require_methods(part: object, group: str) -> None:
    """Refuse an object that lacks a method of its group.

    Args:
        part: A strategy, an operator or an acceptance rule.
        group: Which of them: `strategy`, `operator` or `acceptance`.

    Raises:
        UserError: It lacks one.
    """
    missing = [call for call in _CALLS[group] if not callable(getattr(part, call.partition("(")[0], None))]
    if missing:
        kind = type(part)
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise UserError(f"{group}: {name} must have the method {' and '.join(missing)}; {_WHERE}")


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
        calls: Sequence[str] = _CALLS[group]
        got = "None" if found is None else f"{type(found).__name__} {found!r:.60}"
        raise PartError(
            f"the {group} {name} must return a {wanted.__name__} from {calls[0]}, {advice}; got {got}; {_WHERE}"
        )
