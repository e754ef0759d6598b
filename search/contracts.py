"""What a strategy, an operator and an acceptance rule must return: those of users are not type-checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Acceptance, Measure, Verdict
from search.errors import PartError

_CALLS: Final = {"strategy": "ask(population, rng)", "operator": "mutate(proposal, population)"}
_VERDICTS: Final = frozenset(Status) - {Status.PENDING, Status.NOT_BUILT, Status.UNMEASURED}
_FIRST: Final = _VERDICTS - {Status.KEEP, Status.DISCARD}  # of the seed program
_LATER: Final = _VERDICTS - {Status.BASELINE}
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


def checked_step(found: Any, rule: Acceptance, trial: Trial, population: Population) -> Measure | Verdict:
    """Return what an acceptance rule said about a candidate, if a search can do it.

    Args:
        found: What `step` returned.
        rule: The rule.
        trial: The candidate.
        population: All trials.

    Raises:
        PartError: It is something else, asks for a training that cannot be or has been, or is no verdict here.
    """
    if isinstance(found, Measure):
        return _checked_trainings(found, rule, "step", {trial.number: trial}, population)
    call = f"the acceptance rule {type(rule).__name__} must return a Measure or a Verdict from step(trial, population)"
    if not isinstance(found, Verdict):
        raise PartError(f"{call}; got {_shown(found)}; {_WHERE}")
    allowed = _LATER if population.champion else _FIRST
    if found.status not in allowed:
        which = "a candidate, when there is a champion" if population.champion else "the seed program"
        usual = "Status.KEEP or Status.DISCARD" if population.champion else "Status.BASELINE"
        raise PartError(
            f"{call}, for {which} with {usual}; got {_shown(found.status)} for trial {trial.number}; {_WHERE}"
        )
    return found


def checked_repeat(found: Any, rule: Acceptance, population: Population) -> Measure | None:
    """Return what an acceptance rule said about a program that is proposed again, if a search can do it.

    Args:
        found: What `repeat` returned.
        rule: The rule.
        population: All trials.

    Raises:
        PartError: It is something else, or asks for a training that cannot be or has been.
    """
    if found is None:
        return None
    if not isinstance(found, Measure):
        name = type(rule).__name__
        raise PartError(
            f"the acceptance rule {name} must return a Measure or None from repeat(trial, population); "
            f"got {_shown(found)}; {_WHERE}"
        )
    return _checked_trainings(found, rule, "repeat", {}, population)


def _checked_trainings(
    found: Measure, rule: Acceptance, method: str, known: Mapping[int, Trial], population: Population
) -> Measure:
    """Refuse trainings that cannot be done, or were.

    Args:
        found: The trainings.
        rule: Who asks for them.
        method: The method that does.
        known: Trials as the rule sees them, if they differ from those of the population.
        population: All trials.
    """
    begin = f"the acceptance rule {type(rule).__name__} must ask in {method}(trial, population) for"
    pairs = found.trainings
    if not isinstance(pairs, tuple) or not pairs or not all(_is_pair(each) for each in pairs):
        raise PartError(f"{begin} trainings as Measure(((number, seed), ...)); got {_shown(found)}; {_WHERE}")
    for number, seed in pairs:
        trial = known.get(number) or (population.trials[number] if 0 <= number < len(population.trials) else None)
        if trial is None or trial.program is None:
            raise PartError(f"{begin} trainings of trials that have a program; got trial {number}; {_WHERE}")
        if trial.measurement(seed):
            raise PartError(
                f"{begin} trainings that are missing; got trial {number} on seed {seed}, which it has; {_WHERE}"
            )
    return found


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and all(type(each) is int for each in pair)


def _shown(found: Any) -> str:
    return "None" if found is None else f"{type(found).__name__} {found!r:.60}"


def _require_type(found: Any, wanted: type, name: str, group: str, advice: str) -> None:
    if not isinstance(found, wanted):
        must = f"the {group} {name} must return a {wanted.__name__} from {_CALLS[group]}, {advice}"
        raise PartError(f"{must}; got {_shown(found)}; {_WHERE}")
