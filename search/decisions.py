"""The decisions of a search as pure functions, shared by `search.loop` and `search.simulate`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Acceptance, Measure, Verdict
from search.contracts import checked_proposal, checked_repeat, checked_step
from search.gates import NO_GATES, Gates
from search.settings import THE_SAME, Settings
from search.strategies.base import NothingToProposeError
from target.evaluation import Outcome

_LUCK: Final = frozenset({Outcome.CRASHED, Outcome.OUT_OF_MEMORY, Outcome.TIMED_OUT})
_ENDED: Final = {Outcome.OK: "scored", Outcome.OUT_OF_MEMORY: "ran out of memory", Outcome.TIMED_OUT: "timed out"}

_ASKED_TWICE: Final = 3  # the least number of earlier trials: by then there may be several parents
_IMPURE: Final = (
    "warning: the strategy {name}, asked twice with the same trials and randomness, gave two proposals: it must "
    "draw from `rng` only, and read no clock, no file and no attribute that changes; the search goes on, but the same "
    "seed gives another search, and edits that wait are not made to a new champion"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A new program that is not trained.

    Attributes:
        reason: Why it is not trained.
        again: Trainings, (trial number, seed), that an earlier trial gets because its program was proposed again.
    """

    reason: str
    again: tuple[tuple[int, int], ...] = ()


class Proposer:
    """Asks the strategy, and once more for one early trial after a later verdict, to see whether it is pure.

    A clock that it reads has gone on by then for as long as a training takes, and a counter that it keeps has counted.

    Args:
        settings: The search.
        say: Is told if the second proposal is another.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._early: tuple[Population, Proposal] | None = None
        self._was_asked_twice = False

    def propose(self, population: Population) -> Proposal:
        """Return the next proposal; errors as in the function `propose`."""
        proposal = propose(self._settings, population)
        if self._early is None and len(population.trials) >= _ASKED_TWICE:
            self._early = population, proposal
        elif self._early and not self._was_asked_twice and len(population.decided) > len(self._early[0].decided):
            self._ask_again(*self._early)
        return proposal

    def _ask_again(self, population: Population, before: Proposal) -> None:
        self._was_asked_twice = True
        try:
            same = propose(self._settings, population) == before
        except NothingToProposeError:
            same = False
        if not same:
            self._say(_IMPURE.format(name=self._settings.strategy_name))


def propose(settings: Settings, population: Population) -> Proposal:
    """Return the next proposal; its randomness depends on the seed of the search and the number of the trial only.

    Args:
        settings: The search.
        population: All trials.

    Raises:
        NothingToProposeError: The strategy has nothing left.
        PartError: The strategy returned something else.
    """
    rng = random.Random(f"proposal {settings.seed} {len(population.trials)}")
    return checked_proposal(settings.strategy.ask(population, rng), settings.strategy_name, population)


def refuse(mutation: Mutation, population: Population, acceptance: Acceptance) -> Refusal | None:
    """Return why a new program is not trained (it is not text, or was tried before); None if it is trained.

    Raises:
        PartError: The rule returned something else than it must.
    """
    if not mutation.program.is_text:
        return Refusal("the program is not valid UTF-8 text: it has a lone surrogate")
    twin = population.find(mutation.program.id)
    if twin is None:
        left_out = population.spare(mutation.program.id)
        if left_out is None:
            return None
        return Refusal(f"{THE_SAME} one that was made for trial {left_out.number} and left out")
    again = checked_repeat(acceptance.repeat(twin, population), acceptance, population) if twin.scored else None
    return Refusal(f"{THE_SAME} trial {twin.number}", again.trainings if again else ())


def next_step(
    trial: Trial, population: Population, acceptance: Acceptance, gates: Gates = NO_GATES
) -> Measure | Verdict:
    """Return what a built, undecided trial needs next.

    A trial with a failed training has failed, and one beyond a gate is rejected: acceptance rules compare only scores.
    The seed program may fail once, which may be bad luck: the rule decides by its other trainings. So a night is not
    lost, and a program that fails on two seeds still ends the search.

    Raises:
        PartError: The rule returned something else than it must.
    """
    failure = failed(trial)
    if failure is None:
        return gates.check_figures(trial) or _step(trial, population, acceptance)
    if not _may_be_luck(trial):
        return failure
    others = replace(trial, evaluations=tuple(run for run in trial.evaluations if run.outcome is Outcome.OK))
    step = gates.check_figures(others) or _step(others, population, acceptance)
    if isinstance(step, Measure):
        return failure if any(trial.measurement(seed) for _, seed in step.trainings) else step
    return replace(step, detail=failure.detail) if others.evaluations else failure


def _step(trial: Trial, population: Population, acceptance: Acceptance) -> Measure | Verdict:
    return checked_step(acceptance.step(trial, population), acceptance, trial, population)


def failed(trial: Trial) -> Verdict | None:
    """Return the verdict on a trial with a failed training; None if it has none.

    If the seed program has scored too, the detail says what became of each seed.
    """
    first = next((run for run in trial.evaluations if run.outcome is not Outcome.OK), None)
    if first is None:
        return None
    seeds = [f"{_ENDED.get(run.outcome, run.outcome.value)} on seed {run.seed}" for run in trial.evaluations]
    each = f"it {', '.join(seeds)}" if trial.number == 0 and trial.values else ""
    return Verdict(Status(first.outcome.value), "; ".join(filter(None, (first.detail, each))))


def _may_be_luck(trial: Trial) -> bool:
    """Return whether a failure may be bad luck of a seed program that works: its only one, after which it may score.

    Nothing is waited for after a time limit without a score: it is too low, and the next training would take as long.
    """
    failures = [run for run in trial.evaluations if run.outcome is not Outcome.OK]
    lucky = _LUCK if trial.values else _LUCK - {Outcome.TIMED_OUT}
    return trial.number == 0 and len(failures) == 1 and failures[0].trained and failures[0].outcome in lucky


def trainings_wanted(
    steps: Iterable[Measure],
    repeats: Iterable[tuple[int, int]],
    under_way: set[tuple[int, int]],
    population: Population,
) -> dict[tuple[int, int], None]:
    """Return the trainings, (number, seed), that verdicts need and that are not under way, in order.

    The result of a candidate's first training decides whether there is a second, even if a keep rotates the seeds.

    Args:
        steps: What pending trials need.
        repeats: Trainings of programs that were proposed again.
        under_way: The trainings under way.
        population: All trials.
    """
    undecided = {number for number, _ in under_way if number and not population.trials[number].evaluations}
    trainings = (*(training for step in steps for training in step.trainings), *repeats)
    return {each: None for each in trainings if each not in under_way and each[0] not in undecided}
