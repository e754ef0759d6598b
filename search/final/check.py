"""Trains the champion and the baseline on fresh seeds, in parallel, and scores both on the sealed holdout.

Nothing else uses the holdout. Trainings of an interrupted earlier call are reused. These trainings are not part of the
search and count against no budget.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed

from operators.population import Population
from search.errors import UserError
from search.figures import difference
from search.final.report import FinalReport, final_json, judge_final, read_final
from search.metric import read_metric
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from target.evaluation import Evaluation
from target.executor import Executor
from target.metric import Metric
from target.program import Program


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
    champion = population.champion
    if champion is None or champion.number == 0 or champion.program is None or population.trials[0].program is None:
        raise UserError(f"{run.root} found nothing better than its seed program: there is no improvement to check")
    programs, metric = (population.trials[0].program, champion.program), read_metric(run.environment)
    _, known = read_final(run)
    trainings = list(known)
    used = {evaluation.seed for trial in population.trials for evaluation in trial.evaluations}
    seeds = _fresh_seeds(search_seed, n_seeds, used)
    done = {(record["program_id"], record["evaluation"]["seed"]) for record in trainings}
    wanted = [(program, seed) for seed in seeds for program in programs if (program.id, seed) not in done]
    if wanted:
        say(f"final report: {len(wanted)} trainings on {n_seeds} fresh seeds")
        for program, evaluation in _train(run, executor, wanted):
            trainings.append({"program_id": program.id, "evaluation": {**evaluation.to_json(), "curve": ()}})
            write_atomically(run.final, final_json(None, trainings))
            which = "best" if program == programs[1] else "baseline"
            say(f"{which}, seed {evaluation.seed}: {_outcome(evaluation, metric)}")
    by_key = {(each["program_id"], each["evaluation"]["seed"]): each["evaluation"] for each in trainings}
    first, second = ([Evaluation.from_json(by_key[program.id, seed]) for seed in seeds] for program in programs)
    looked_at = {each["program_id"] for each in trainings if each["evaluation"]["holdout_bpb"] is not None}
    report = judge_final(
        champion.number,
        champion.program.id,
        list(zip(first, second, strict=True)),
        reported_difference=difference(champion, population.trials[0], population) or 0.0,
        looks=len(looked_at - {programs[0].id}),
        metric=metric,
    )
    write_atomically(run.final, final_json(report, trainings))
    return report


def _train(
    run: RunDirectory, executor: Executor, wanted: Sequence[tuple[Program, int]]
) -> Iterator[tuple[Program, Evaluation]]:
    folder = run.root / "final"
    folder.mkdir(exist_ok=True)
    executor.start()
    try:
        futures = {
            executor.evaluate(program, seed, folder / f"{program.id}-{seed}.log", holdout=True): program
            for program, seed in wanted
        }
        failed = []
        for future in as_completed(futures):
            if future.exception():
                failed.append(future)
            else:
                yield futures[future], future.result()
        for future in failed:  # last, so that the successful trainings are kept
            future.result()
    finally:
        executor.close()


def _fresh_seeds(search_seed: int, count: int, used: Iterable[int]) -> list[int]:
    """Return the first 31-bit seeds that the search has not used; a longer list begins with the same seeds."""
    seeds: list[int] = []
    taken = set(used)
    rng = random.Random(f"final {search_seed}")
    while len(seeds) < count:
        seed = rng.getrandbits(31)
        if seed not in taken:
            seeds.append(seed)
            taken.add(seed)
    return seeds


def _outcome(evaluation: Evaluation, metric: Metric) -> str:
    if evaluation.score is None:
        return f"{evaluation.outcome.value} {evaluation.detail.splitlines()[0] if evaluation.detail else ''}".strip()
    holdout = "" if evaluation.holdout_bpb is None else f", holdout {evaluation.holdout_bpb:.4f}"
    return f"{metric.name} {metric.text(evaluation.score)}{holdout}"
