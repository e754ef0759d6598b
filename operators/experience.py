"""What a search has learned about the constants of one skeleton: the relevant trials, as points and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from operators.population import Population
from operators.trial import Status, Trial
from target.evaluation import Outcome
from target.program import Program
from target.program.constants import Value, parse_constants
from target.program.space import Axis, axes_of

FAILED = frozenset({Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT})


@dataclass(frozen=True, slots=True)
class Seen:
    """One trial that tells something about the constants.

    Attributes:
        constants: Its constants.
        score: Its score, comparable between seeds; None if it failed or is pending. A training that was stopped early
            counts as bad as the worst one known: it was clearly worse than the champion.
        failed: Whether its training failed; None while pending.
        foreign: Whether it belongs to the skeleton from which this one was made.
    """

    constants: Mapping[str, Value]
    score: float | None
    failed: bool | None
    foreign: bool


@dataclass(frozen=True, slots=True)
class Experience:
    """The trials that tell something about a program's constants.

    Attributes:
        axes: The constants that can change, as coordinates.
        default: Constants of the program.
        seen: The trials, by number.
        seconds: Mean training time of the trials that scored, and of those that failed.
    """

    axes: tuple[Axis, ...]
    default: Mapping[str, Value]
    seen: tuple[Seen, ...]
    seconds: tuple[float, float]

    @property
    def scored(self) -> tuple[Seen, ...]:
        """The trials with a score."""
        return tuple(each for each in self.seen if each.score is not None)


def gather(program: Program, population: Population, *, limit: int) -> Experience:
    """Return the experience with a program's skeleton, and within the limit with the skeleton it was made from.

    Args:
        program: The program.
        population: All trials.
        limit: Largest number of trials to use: half of them the best ones, the rest the latest.

    Raises:
        SyntaxError: If the program does not parse.
        ValueError: If one of its knob comments does not parse.
    """
    own = [trial for trial in population.trials if trial.program and trial.program.skeleton_id == program.skeleton_id]
    chosen = _limited(own, population, limit)
    ancestor = _ancestor(own, population)
    foreign = (
        []
        if ancestor is None
        else [trial for trial in population.trials if trial.program and trial.program.skeleton_id == ancestor]
    )
    foreign = _limited(foreign, population, max(limit // 2 - len(chosen), 0))
    worst = max((population.scores[trial.number] for trial in chosen + foreign if trial.scored), default=None)
    seen = [_seen(trial, population, worst, foreign=False) for trial in chosen]
    seen += [_seen(trial, population, worst, foreign=True) for trial in foreign]
    return Experience(
        axes=axes_of(parse_constants(program.source)),
        default=program.constants,
        seen=tuple(each for each in seen if each is not None),
        seconds=(_mean_seconds(own, failed=False), _mean_seconds(own, failed=True)),
    )


def _seen(trial: Trial, population: Population, worst: float | None, *, foreign: bool) -> Seen | None:
    assert trial.program is not None
    score = worst if trial.status is Status.PRUNED else population.scores.get(trial.number)
    if score is None and trial.decided is not None and trial.status not in FAILED:
        return None  # refused before it trained, or stopped with nothing to compare it with
    failed = None if score is None and trial.decided is None else score is None
    return Seen(trial.program.constants, score, failed, foreign)


def _limited(trials: list[Trial], population: Population, limit: int) -> list[Trial]:
    if len(trials) <= limit:
        return trials
    best = sorted(trials, key=lambda trial: population.scores.get(trial.number, float("inf")))[: limit // 2]
    numbers = {trial.number for trial in best}
    latest = [trial for trial in reversed(trials) if trial.number not in numbers][: limit - len(best)]
    return sorted([*best, *latest], key=lambda trial: trial.number)


def _ancestor(own: list[Trial], population: Population) -> str | None:
    """Return the skeleton from which the first of these trials was made."""
    for trial in own:
        for parent in trial.proposal.parents:
            program = population.trials[parent].program
            if program and trial.program and program.skeleton_id != trial.program.skeleton_id:
                return program.skeleton_id
    return None


def _mean_seconds(trials: list[Trial], *, failed: bool) -> float:
    ended = [run for trial in trials for run in trial.evaluations if run.outcome is not Outcome.PRUNED]
    runs = [run for run in ended if (run.score is None) == failed]
    return sum(run.train_seconds for run in runs) / len(runs) if runs else 0.0
