"""A whole search in this process, on a target that answers at once: days of training in seconds.

It shares all decisions with the real loop (`search.decisions`), but not what makes the real loop slow and safe:
threads, ledger and files. It has one evaluation slot, and its clock adds up the time that the trainings would take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from operators.base import MutationError
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Verdict
from search.decisions import next_step, propose, refuse
from search.settings import Settings
from search.strategies.base import NothingToProposeError
from target.evaluation import Evaluation
from target.program import Program

Evaluate = Callable[[Program, int], Evaluation]
_IDLE_SECONDS = 1.0  # charged for a trial that trains nothing, so that every search ends


@dataclass(slots=True)
class Simulation:
    """A finished search.

    Attributes:
        population: All trials.
        hours: Simulated time that the trainings took.
        decided: Simulated time, in hours, of each verdict, in their order.
        finished: (hours, trial number) of every training.
        repeats: Trainings, (trial number, seed), that are due because a program was proposed again.
    """

    population: Population = field(default_factory=Population)
    hours: float = 0.0
    decided: list[float] = field(default_factory=list)
    finished: list[tuple[float, int]] = field(default_factory=list)
    repeats: dict[tuple[int, int], None] = field(default_factory=dict)

    def copy(self) -> Simulation:
        """Return the same search, to go on with it in two ways."""
        return replace(self, decided=[*self.decided], finished=[*self.finished], repeats=dict(self.repeats))


def simulate(settings: Settings, evaluate: Evaluate, *, hours: float, begun: Simulation | None = None) -> Simulation:
    """Run a search until its trainings would have taken some hours, or its strategy proposes nothing.

    Args:
        settings: The search; its budget is ignored. As in the real loop, `max_failures` trials in a row that produce
            nothing to train end the search: an operator may have used up all programs that it can make.
        evaluate: Runs one training of a program with a seed.
        hours: Simulated training time.
        begun: A search to go on with, which is left as it is; its hours count. None begins a new one.

    Raises:
        RuntimeError: If the seed program does not score.
    """
    run = begun.copy() if begun else _begin(settings)
    while run.hours < hours and not settings.is_stuck(run.population.decided):
        if run.population.pending:
            trial = run.population.pending[0]
            step = next_step(trial, run.population, settings.acceptance, settings.gates)
            if isinstance(step, Verdict):
                _decide(run, trial.number, step)
            else:
                _measure(run, *step.trainings[0], evaluate)
        elif run.repeats:
            number, seed = next(iter(run.repeats))
            del run.repeats[number, seed]
            _measure(run, number, seed, evaluate)
        elif not _propose(run, settings):
            break
    return run


def _begin(settings: Settings) -> Simulation:
    run = Simulation()
    seed_mutation = Mutation(program=settings.seed_program, operator="seed", description="the seed program")
    _add(run, Trial(number=0, proposal=Proposal(parents=(), seed=settings.seed), mutation=seed_mutation))
    return run


def _propose(run: Simulation, settings: Settings) -> bool:
    """Make the next trial; return whether there was one to make."""
    number = len(run.population.trials)
    try:
        proposal = propose(settings, run.population)
    except NothingToProposeError:
        return False
    _add(run, Trial(number=number, proposal=proposal))
    try:
        mutation = settings.operator_for(proposal).mutate(proposal, run.population)
    except MutationError as error:
        _refuse(run, number, str(error))
        return True
    if refusal := refuse(mutation, run.population, settings.acceptance):
        _refuse(run, number, refusal.reason)
        run.repeats |= dict.fromkeys(refusal.again)
        return True
    _replace(run, number, mutation=mutation)
    return True


def _measure(run: Simulation, number: int, seed: int, evaluate: Evaluate) -> None:
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
    decided = len(run.population.decided)
    _replace(run, number, status=verdict.status, decided=decided, detail=verdict.detail, tie=verdict.tie)
    run.decided.append(run.hours)


def _add(run: Simulation, trial: Trial) -> None:
    run.population = run.population.with_trial(trial)


def _replace(run: Simulation, number: int, **changes: object) -> None:
    changed = replace(run.population.trials[number], **changes)  # type: ignore[arg-type]
    run.population = run.population.with_trial(changed)
