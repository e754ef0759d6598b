"""Trains the champion and the baseline on fresh seeds, in parallel, and scores both on the sealed holdout.

Nothing else uses the holdout. Trainings of an interrupted earlier call are reused. These trainings are not part of the
search and count against no budget.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from operators.population import Population
from search.best import program_of
from search.figures import difference
from search.final.report import FinalReport, final_json, judge_final, read_final
from search.retraining import Trainings, fresh_seeds, improvement, train
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from target.evaluation import Evaluation
from target.executor import Executor
from target.metric import Metric


def run_final(
    run: RunDirectory,
    population: Population,
    executor: Executor,
    *,
    search_seed: int,
    n_seeds: int,
    say: Callable[[str], None],
) -> FinalReport:
    """Train champion and baseline on fresh seeds, and write final.json.

    Args:
        run: Folder of the search; the caller holds its lock.
        population: Its trials.
        executor: An executor that is not started yet; it is closed at the end.
        search_seed: Seed of the search, from which the fresh seeds derive.
        n_seeds: Number of fresh seeds.
        say: Is called with messages about the progress.

    Raises:
        UserError: The champion is the baseline, or there is none.
        TargetError: Nothing can be evaluated on this machine.
    """
    baseline, champion = improvement(population, run.root)
    programs, metric = (program_of(baseline), program_of(champion)), run.metric
    trainings = Trainings(read_final(run)[1])
    seeds = fresh_seeds(search_seed, n_seeds, population)
    if wanted := trainings.missing(programs, seeds):
        say(f"final report: {len(wanted)} trainings on {n_seeds} fresh seeds")
        with contextlib.closing(executor):
            executor.start()
            for program, evaluation in train(executor, wanted, run.root / "final", holdout=True):
                trainings.add(program, evaluation)
                write_atomically(run.final, final_json(None, trainings.records))
                which = "best" if program == programs[1] else "baseline"
                say(f"{which}, seed {evaluation.seed}: {_outcome(evaluation, metric)}")
    first, second = (trainings.of(program, seeds) for program in programs)
    scored = {each["program_id"] for each in trainings.records if each["evaluation"]["holdout_bpb"] is not None}
    report = judge_final(
        champion.number,
        programs[1].id,
        list(zip(first, second, strict=True)),
        reported_difference=difference(champion, baseline, population) or 0.0,
        looks=len(scored - {programs[0].id}),
        metric=metric,
    )
    write_atomically(run.final, final_json(report, trainings.records))
    return report


def _outcome(evaluation: Evaluation, metric: Metric) -> str:
    if evaluation.score is None:
        return f"{evaluation.outcome.value} {evaluation.detail.splitlines()[0] if evaluation.detail else ''}".strip()
    holdout = "" if evaluation.holdout_bpb is None else f", holdout {evaluation.holdout_bpb:.4f}"
    return f"{metric.name} {metric.text(evaluation.score)}{holdout}"
