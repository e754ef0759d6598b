"""A whole search in this process, on a target that answers at once: days of training in seconds.

It shares all decisions with the real loop (strategy, operators, acceptance, population) and leaves out what makes that
one slow and safe: threads, ledger, files. One evaluation slot, and the clock adds up what the trainings would take.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from operators.base import MutationError
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Measure, Verdict
from search.settings import Settings
from target.evaluation import Evaluation
from target.program import Program

Evaluate = Callable[[Program, int], Evaluation]
_IDLE_SECONDS = 1.0  # charged for a trial that trains nothing, so that every search ends


@dataclass(frozen=True, slots=True)
class Reign:
    """A champion and when it became that.

    Attributes:
        hours: Simulated time of the verdict.
        number: Its trial.
    """

    hours: float
    number: int


@dataclass(slots=True)
class Simulation:
    """A finished search.

    Attributes:
        population: All trials.
        hours: Simulated time that the trainings took.
        reigns: Champions in their order, the baseline first.
        finished: (hours, trial number) of every training.
    """

    population: Population = field(default_factory=Population)
    hours: float = 0.0
    reigns: list[Reign] = field(default_factory=list)
    finished: list[tuple[float, int]] = field(default_factory=list)


def simulate(settings: Settings, evaluate: Evaluate, *, hours: float) -> Simulation:
    """Run a search until its trainings would have taken some hours.

    Args:
        settings: The search; its own budget is not looked at. As in the real loop, `max_failures` trials in a row that
            come to no training end it: an operator may have used up what it can make.
        evaluate: One training of a program with a seed.
        hours: Simulated training time.

    Raises:
        RuntimeError: If the seed program does not score.
    """
    run = Simulation()
    seed_mutation = Mutation(program=settings.seed_program, operator="seed", description="the seed program")
    _add(run, Trial(number=0, proposal=Proposal(parents=(), seed=settings.seed), mutation=seed_mutation))
    while run.hours < hours and not settings.is_stuck(run.population.decided):
        if not run.population.pending:
            _propose(run, settings)
            continue
        trial = run.population.pending[0]
        step = settings.acceptance.step(trial, run.population)
        if isinstance(step, Verdict):
            _decide(run, trial.number, step)
            continue
        _measure(run, step, evaluate)
    return run


def _propose(run: Simulation, settings: Settings) -> None:
    number = len(run.population.trials)
    rng = random.Random(f"proposal {settings.seed} {number}")  # as the loop draws it
    proposal = settings.strategy.ask(run.population, rng)
    _add(run, Trial(number=number, proposal=proposal))
    try:
        mutation = settings.operator_for(proposal).mutate(proposal, run.population)
    except MutationError as error:
        _refuse(run, number, str(error))
        return
    twin = run.population.find(mutation.program.id)
    if twin is not None:
        _refuse(run, number, f"the same program as trial {twin.number}")
        return
    _replace(run, number, mutation=mutation)


def _measure(run: Simulation, step: Measure, evaluate: Evaluate) -> None:
    number, seed = step.trainings[0]
    trial = run.population.trials[number]
    assert trial.program is not None
    evaluation = evaluate(trial.program, seed)
    run.hours += max(evaluation.train_seconds, _IDLE_SECONDS) / 3600
    run.finished.append((run.hours, number))
    _replace(run, number, evaluations=(*trial.evaluations, evaluation))


def _refuse(run: Simulation, number: int, detail: str) -> None:
    run.hours += _IDLE_SECONDS / 3600
    _decide(run, number, Verdict(Status.NOT_BUILT, detail))


def _decide(run: Simulation, number: int, verdict: Verdict) -> None:
    if number == 0 and verdict.status is not Status.BASELINE:
        raise RuntimeError(f"the seed program does not score: {verdict.status.value}: {verdict.detail}")
    _replace(run, number, status=verdict.status, decided=len(run.population.decided), detail=verdict.detail)
    if verdict.status in (Status.BASELINE, Status.KEEP):
        run.reigns.append(Reign(run.hours, number))


def _add(run: Simulation, trial: Trial) -> None:
    run.population = run.population.with_trial(trial)


def _replace(run: Simulation, number: int, **changes: object) -> None:
    changed = replace(run.population.trials[number], **changes)  # type: ignore[arg-type]
    run.population = run.population.with_trial(changed)
