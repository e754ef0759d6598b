"""The work that a search has under way, and the threads in which operators run."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from operators.base import MutationError, ProviderError
from search.observer import Running
from search.runs.ledger import Ledger
from target.errors import DiskFullError, TargetError
from target.evaluation import Evaluation, Outcome
from target.in_thread import run_in_thread

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_EXPECTED: Final = (MutationError, ProviderError, TargetError)

ATTEMPTS: Final = 3
"""Attempts at one evaluation, each in its own session. If all fail, the program is at fault, not the machine."""


class Stage(enum.StrEnum):
    """What is being done for a trial."""

    PROPOSE = "propose"
    PREFLIGHT = "pre-flight"
    MEASURE = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of work that is under way.

    Attributes:
        stage: What is done.
        number: Number of the trial.
        seed: Training seed, if it is a training.
        started: Start time, by the clock of the loop.
        begun_verdicts: Number of verdicts at its start, if it is a training.
    """

    stage: Stage
    number: int
    seed: int | None = None
    started: float
    begun_verdicts: int | None = None


def running(tasks: Iterable[Task], now: float) -> list[Running]:
    """Return what the observer sees of the work under way; `now` is the time by the clock of the loop."""
    return [Running(number=task.number, stage=task.stage.value, seconds=now - task.started) for task in tasks]


def given_up(task: Task, error: TargetError, ledger: Ledger) -> Future[Evaluation] | None:
    """Count an attempt that ended with an error of the machine; after the last one, return the evaluation instead.

    The seed program is never given up, since there is no search without it.

    Args:
        task: What was attempted.
        error: How it ended.
        ledger: Has the count.

    Returns:
        The evaluation of a program whose attempts have all ended so; None to stop the search, and try again.
    """
    never = task.stage is Stage.PROPOSE or not task.number or isinstance(error, DiskFullError)
    if never or ledger.attempt_failed(task.number, task.seed) < ATTEMPTS:
        return None
    evaluation: Future[Evaluation] = Future()
    evaluation.set_result(
        Evaluation(
            outcome=Outcome.CRASHED,
            seed=task.seed or 0,
            trained=task.stage is Stage.MEASURE,
            detail=f"given up: each of {ATTEMPTS} attempts ended by an error outside of the program: {error}",
        )
    )
    return evaluation


def call_in_thread(
    call: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> Future[_Result]:
    """Return the future of an operator's call, made in a daemon thread of its own.

    A thread that waits forever for a model must not keep an interrupted search from exiting.
    """
    return run_in_thread(functools.partial(call, *args, **kwargs), expected=_EXPECTED, name="propose")
