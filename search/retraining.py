"""Trainings beside a search: programs on given seeds, each result kept as soon as it is there.

`search.final` and `search.transfer` train with it. An interrupted call is continued: what was trained is not trained
again. These trainings are not part of the search and count against no budget.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from operators.population import Population
from operators.trial import Trial
from search.errors import UserError
from target.evaluation import Evaluation
from target.executor import Executor
from target.program import Program

Wanted = Sequence[tuple[Program, int]]
"""Programs to train, each with a seed."""


class Trainings:
    """Trainings by program and seed, as a file has them.

    Args:
        records: What `records` returned earlier.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self.records: list[Mapping[str, Any]] = list(records)

    def missing(self, programs: Sequence[Program], seeds: Sequence[int]) -> list[tuple[Program, int]]:
        """Return what is not trained yet, seed by seed; a program that is given twice is there once."""
        done = {(record["program_id"], record["evaluation"]["seed"]) for record in self.records}
        different = {program.id: program for program in programs}.values()
        return [(program, seed) for seed in seeds for program in different if (program.id, seed) not in done]

    def add(self, program: Program, evaluation: Evaluation) -> None:
        """Keep a training, without its curve."""
        self.records.append({"program_id": program.id, "evaluation": {**evaluation.to_json(), "curve": ()}})

    def forget_failed(self) -> None:
        """Leave out the trainings without a score, so that they are missing."""
        self.records = [each for each in self.records if Evaluation.from_json(each["evaluation"]).score is not None]

    def of(self, program: Program, seeds: Sequence[int]) -> list[Evaluation]:
        """Return the trainings of a program on some seeds, all of which it has."""
        own = {
            each["evaluation"]["seed"]: each["evaluation"] for each in self.records if each["program_id"] == program.id
        }
        return [Evaluation.from_json(own[seed]) for seed in seeds]


def train(
    executor: Executor, wanted: Wanted, folder: Path, *, holdout: bool = False
) -> Iterator[tuple[Program, Evaluation]]:
    """Train programs, in parallel, and yield each result when it is there.

    Args:
        executor: It has been started.
        wanted: What to train.
        folder: Gets a log of each training; it is made.
        holdout: Score the sealed split too.

    Raises:
        TargetError: Something could not be evaluated on this machine; all other results were yielded before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    futures = {
        executor.evaluate(program, seed, folder / f"{program.id}-{seed}.log", holdout=holdout): program
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


def improvement(population: Population, root: Path) -> tuple[Trial, Trial]:
    """Return the baseline and the best trial of a search; both have a program.

    Args:
        population: The search.
        root: Its folder, for the message.

    Raises:
        UserError: It has found nothing better than its seed program.
    """
    best = population.champion
    if best is None or best.number == 0 or best.program is None or population.trials[0].program is None:
        raise UserError(f"{root} found nothing better than its seed program: there is no improvement to check")
    return population.trials[0], best


def fresh_seeds(search_seed: int, count: int, population: Population) -> list[int]:
    """Return the first 31-bit seeds that the search has not used; a longer list begins with the same seeds.

    Args:
        search_seed: Seed of the search, from which they derive.
        count: Number of seeds.
        population: The search.
    """
    seeds: list[int] = []
    taken = {evaluation.seed for trial in population.trials for evaluation in trial.evaluations}
    rng = random.Random(f"final {search_seed}")
    while len(seeds) < count:
        seed = rng.getrandbits(31)
        if seed not in taken:
            seeds.append(seed)
            taken.add(seed)
    return seeds
