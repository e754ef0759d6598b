"""Populations for tests: trials with programs, verdicts and parents, made in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.runs.summary import RunStatus, Summary, summarize
from target.evaluation import Evaluation, Outcome
from target.program import Program

SEED_SOURCE = """\
DEPTH = 4  # knob: 2..24 int
MATRIX_LR = 0.02  # knob: 1e-4..1 log


def build_model(vocab_size):
    return DEPTH * vocab_size


def main():
    return MATRIX_LR


if __name__ == "__main__":
    main()
"""
CURVE = tuple((0.1 * step, 6.0 / (1 + 0.1 * step)) for step in range(20))


def make_evaluation(score: float | None = 2.0, *, seed: int = 0, outcome: Outcome | None = None) -> Evaluation:
    """Return a finished training; without a score it has crashed."""
    return Evaluation(
        outcome=outcome or (Outcome.CRASHED if score is None else Outcome.OK),
        seed=seed,
        score=score,
        trained=outcome not in (Outcome.NOT_BUILT, Outcome.REJECTED),
        train_seconds=8.0,
        score_seconds=1.0,
        wall_seconds=9.5,
        peak_memory_bytes=500_000_000,
        curve=CURVE,
    )


def make_trial(
    number: int,
    score: float | None = None,
    *,
    status: Status,
    parents: tuple[int, ...] = (0,),
    decided: int | None = None,
    description: str | None = None,
    detail: str = "",
    seeds: Sequence[int] = (0,),
) -> Trial:
    """Return a trial; a decided one gets its verdict in the order of its number unless `decided` says otherwise."""
    program = Program(SEED_SOURCE.replace("0.02", f"{0.02 + number / 1000:.3f}"))
    mutation = Mutation(
        program=program,
        operator="seed" if number == 0 else "constants",
        description=f"MATRIX_LR -> {program.constants['MATRIX_LR']}" if description is None else description,
        rationale="" if number == 0 else "another rate may train faster",
        cost_usd=0.01,
    )
    untrained = status in (Status.PENDING, Status.NOT_BUILT)
    return Trial(
        number=number,
        proposal=Proposal(parents=parents if number else (), seed=number, operator=None, labels={"generation": number}),
        mutation=None if status is Status.NOT_BUILT else mutation,
        evaluations=()
        if untrained
        else tuple(
            make_evaluation(score, seed=seed, outcome=None if score is not None else Outcome(status.value))
            for seed in seeds
        ),
        status=status,
        decided=None if status is Status.PENDING else number if decided is None else decided,
        detail=detail,
    )


def make_population(*verdicts: float | Status) -> Population:
    """Return a greedy search: a number is a score, kept if it is the best so far, a status an end without a score."""
    trials: list[Trial] = []
    champion, best = 0, float("inf")
    for number, verdict in enumerate(verdicts):
        if isinstance(verdict, Status):
            detail = "" if verdict is Status.PENDING else f"{verdict.value}: no luck"
            trials.append(make_trial(number, status=verdict, parents=(champion,), detail=detail))
            continue
        kept = verdict < best
        status = Status.BASELINE if number == 0 else Status.KEEP if kept else Status.DISCARD
        trials.append(make_trial(number, verdict, status=status, parents=(champion,)))
        champion, best = (number, verdict) if kept else (champion, best)
    return renumber_verdicts(Population(tuple(trials)))


def renumber_verdicts(population: Population) -> Population:
    """Return the population with its verdicts ranked without gaps, in the order of the trials."""
    ranks = iter(range(len(population.trials)))
    return Population(
        tuple(trial if trial.decided is None else replace(trial, decided=next(ranks)) for trial in population.trials)
    )


def make_summary(
    population: Population,
    *,
    name: str = "demo",
    status: RunStatus = "finished",
    stop_reason: str = "budget.trainings=12 reached",
) -> Summary:
    """Return the summary of a population."""
    return summarize(
        population,
        name=name,
        strategy="greedy",
        seed=0,
        status=status,
        stop_reason=stop_reason,
        wall_seconds=120.0,
        busy_fraction=0.9,
    )


MIXED = make_population(
    2.0, 1.9, Status.CRASHED, 1.95, Status.NOT_BUILT, 1.85, Status.REJECTED, Status.TIMED_OUT, 7.5, 1.8, Status.PENDING
)
