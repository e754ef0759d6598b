"""Does the improvement hold? `python -m search.final outputs/NAME [--seeds 5]` trains and looks at the holdout.

Champion and baseline are trained on fresh seeds, side by side, and scored on the validation text and on the sealed
holdout, which nothing else ever looks at. Writes final.json and report.md anew; what an interruption leaves is used
again. The trainings are no part of the search: they count against no budget.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed

from operators.population import Population
from search.commands import fails_with_a_line, show
from search.composed import make_target, read_config
from search.errors import UserError
from search.final_report import FinalReport, final_json, final_text, judge_final, read_final
from search.ledger import read_population
from search.lock import locked
from search.mlflow_store import send_search_files
from search.names import given_folder
from search.report import read_summary, render_report
from search.rundir import RunDirectory, write_atomically
from search.verdicts import delta
from target.evaluation import Evaluation
from target.executor import Executor
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
        executor: Not started yet; it is closed in the end.
        search_seed: The search's, from which the fresh ones derive.
        n_seeds: How many.
        say: Is told how it goes.

    Raises:
        UserError: The champion is the baseline, or there is none.
        TargetError: Nothing can be evaluated here.
    """
    champion = population.champion
    if champion is None or champion.number == 0 or champion.program is None or population.trials[0].program is None:
        raise UserError(f"{run.root} found nothing better than its seed program: there is no improvement to check")
    programs = (population.trials[0].program, champion.program)
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
            say(f"{'best' if program == programs[1] else 'baseline'}, seed {evaluation.seed}: {_outcome(evaluation)}")
    by_key = {(each["program_id"], each["evaluation"]["seed"]): each["evaluation"] for each in trainings}
    first, second = ([Evaluation.from_json(by_key[program.id, seed]) for seed in seeds] for program in programs)
    looked_at = {each["program_id"] for each in trainings if each["evaluation"]["holdout_bpb"] is not None}
    report = judge_final(
        champion.number,
        champion.program.id,
        list(zip(first, second, strict=True)),
        reported_difference=delta(champion, population.trials[0], population) or 0.0,
        looks=len(looked_at - {programs[0].id}),
    )
    write_atomically(run.final, final_json(report, trainings))
    return report


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Check the improvement of one search; return the exit code: 0 whatever the verdict is."""
    parser = argparse.ArgumentParser(
        prog="python -m search.final", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=given_folder, help="folder of a search, such as outputs/NAME")
    parser.add_argument("--seeds", type=int, default=5, help="fresh seeds (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="trainings side by side (default: as in the search)")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error(f"--seeds must be at least 2, got {options.seeds}")
    try:
        return _check(RunDirectory(options.directory), options.seeds, options.workers)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on\n")
        return 130


def _check(run: RunDirectory, n_seeds: int, workers: int | None) -> int:
    import hydra.utils

    config = read_config(run)
    summary, population = read_summary(run), read_population(run)
    with locked(run.lock):
        chosen = {} if workers is None else {"workers": workers}
        executor = make_target(config["target"]).make_executor(hydra.utils.instantiate(config["executor"], **chosen))
        report = run_final(run, population, executor, search_seed=config["seed"], n_seeds=n_seeds, say=_say)
        write_atomically(run.root / "report.md", render_report(population, summary, run))
    show(f"{final_text(report)}\n{run.root / 'report.md'}\n")
    if problem := send_search_files(run, summary, str((config.get("tracker") or {}).get("tracking_uri") or "none")):
        sys.stderr.write(f"warning: {problem}\n")
    return 0


def _say(text: str) -> None:
    show(f"{text}\n")
    sys.stdout.flush()


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
        for future in failed:  # last, so that what could be trained is kept
            future.result()
    finally:
        executor.close()


def _fresh_seeds(search_seed: int, count: int, used: Iterable[int]) -> list[int]:
    """Return the first seeds that the search has not used, 31-bit integers; more of them begin with the same ones."""
    seeds: list[int] = []
    taken = set(used)
    rng = random.Random(f"final {search_seed}")
    while len(seeds) < count:
        seed = rng.getrandbits(31)
        if seed not in taken:
            seeds.append(seed)
            taken.add(seed)
    return seeds


def _outcome(evaluation: Evaluation) -> str:
    if evaluation.val_bpb is None:
        return f"{evaluation.outcome.value} {evaluation.detail.splitlines()[0] if evaluation.detail else ''}".strip()
    holdout = "" if evaluation.holdout_bpb is None else f", holdout {evaluation.holdout_bpb:.4f}"
    return f"val {evaluation.val_bpb:.4f}{holdout}"


if __name__ == "__main__":
    raise SystemExit(main())
