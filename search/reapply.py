"""After a keep, edits of the former champion that wait for a training are made to the new champion.

A proposal that was made ahead is an edit of what was the champion then. Once that champion is beaten, training it as it
is would compare it with a program that it does not build on. So its edit is made to the new champion, by a three-way
merge. If the two edits conflict, or the result is known, the trial ends there, and the strategy proposes anew.

This happens to a trial that has a program and no training, and whose only parent was the champion when it was proposed.
And the strategy must agree: asked again with the same randomness, it must give the same proposal with the new champion
as the parent. A proposal of a stuck search was asked for in a wider way, and is asked for in that way again, although
the keep has ended that. So a strategy that would still name the old parent, or would now do something else, keeps its
proposal.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from operators.constants import describe_changes
from operators.population import Population
from operators.trial import Trial
from search.decisions import Refusal, refuse
from search.settings import Settings
from search.strategies.base import NothingToProposeError, ask_again
from target.program import Program
from target.program.constants import Value
from target.program.merge import MergeError, merge


@dataclass(frozen=True, slots=True)
class Moved:
    """An edit that was made to another parent.

    Attributes:
        onto: The new parent.
        program: The new program.
        description: What it changes in the new parent; None if that is what the edit says of itself.
    """

    onto: int
    program: Program
    description: str | None = None


def reapply(trial: Trial, population: Population, settings: Settings) -> Moved | Refusal | None:
    """Return what becomes of an edit; None if it stays as it is, for example because its parent is still the champion.

    Args:
        trial: A pending trial for which nothing is under way.
        population: All trials.
        settings: The search.
    """
    champion = population.champion
    if champion is None or champion.program is None or not _is_due(trial, champion, population):
        return None
    if not _strategy_agrees(trial, champion, population, settings):
        return None
    (parent,) = trial.proposal.parents
    base = population.trials[parent].program
    assert trial.mutation is not None
    assert base is not None, f"trial {parent} was champion without a program"
    try:
        program = merge(base, champion.program, trial.mutation.program)
    except MergeError as conflict:
        return Refusal(
            f"trial {champion.number} became the champion while this edit of trial {parent} waited, and the edit does "
            f"not fit it: {conflict}"
        )
    if program.id != trial.mutation.program.id:
        known = refuse(replace(trial.mutation, program=program), population, settings.acceptance)
        if known:
            return Refusal(
                f"with its edit made to trial {champion.number}, the new champion: {known.reason}", known.again
            )
    return Moved(champion.number, program, _changes(trial, base, champion.program, program))


def _changes(trial: Trial, base: Program, onto: Program, program: Program) -> str | None:
    """Return the description of a moved edit that only lists constants: the new parent may have some of its values."""
    assert trial.mutation is not None
    moved, edited = program.constants, trial.mutation.program.constants
    listed = describe_changes(base.constants, _differing(base.constants, edited))
    if trial.mutation.description != listed:
        return None
    described = describe_changes(onto.constants, _differing(onto.constants, moved))
    return described if described != listed else None


def _differing(old: Mapping[str, Value], new: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in new.items() if name in old and repr(old[name]) != repr(value)}


def _is_due(trial: Trial, champion: Trial, population: Population) -> bool:
    """Return whether a trial waits with an edit of a former champion, which was the champion when it was proposed."""
    if trial.mutation is None or trial.evaluations or trial.imported or trial.known_verdicts is None:
        return False
    parents = trial.proposal.parents
    if len(parents) != 1 or parents[0] == champion.number or champion.number > trial.number:
        return False  # a parent always has a smaller number
    if trial.original:
        return True  # its present parent was the champion when the edit was made to it
    then = [each.number for each in population.champions if (each.decided or 0) < trial.known_verdicts]
    return then[-1:] == [parents[0]]


def _strategy_agrees(trial: Trial, champion: Trial, population: Population, settings: Settings) -> bool:
    rng = random.Random(f"proposal {settings.seed} {trial.number}")
    try:
        asked = ask_again(settings.strategy, trial.proposal, population, rng)
    except NothingToProposeError:
        return False
    known = trial.proposal
    return asked == replace(known, parents=(champion.number,), companions=asked.companions, model=asked.model)
