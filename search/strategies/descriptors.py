"""Properties of a trial as numbers, taken from its source and its trainings."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Mapping
from typing import Final

from operators.population import Population
from operators.trial import Trial

Describe = Callable[[Trial, Population], float]
_DEPTH_NAMES: Final = ("DEPTH", "N_LAYER", "LAYERS")


def parameters(trial: Trial, population: Population) -> float:
    """Return the binary logarithm of the number of parameters, or else of the peak memory; 0 if neither is known."""
    del population
    largest = max((run.n_parameters or run.peak_memory_bytes or 0 for run in trial.evaluations), default=0)
    return math.log2(largest) if largest else 0.0


def depth(trial: Trial, population: Population) -> float:
    """Return the constant that says how many blocks there are; 0 if there is none."""
    del population
    constants = trial.program.constants if trial.program else {}
    found = (value for name, value in constants.items() if any(each in name for each in _DEPTH_NAMES))
    return next((float(value) for value in found if isinstance(value, int | float)), 0.0)


def throughput(trial: Trial, population: Population) -> float:
    """Return the steps per second, counted by the points of its curve; 0 if it reported none."""
    del population
    rates = [len(run.curve) / run.train_seconds for run in trial.evaluations if run.curve and run.train_seconds]
    return max(rates, default=0.0)


def edit_distance(trial: Trial, population: Population) -> float:
    """Return how many lines differ from the seed program."""
    seed = population.trials[0].program
    if seed is None or trial.program is None:
        return 0.0
    return float(_changed_lines(seed.source, trial.program.source))


DESCRIPTORS: Final[Mapping[str, Describe]] = {
    "parameters": parameters,
    "depth": depth,
    "throughput": throughput,
    "edit_distance": edit_distance,
}


@functools.lru_cache(maxsize=4096)
def _changed_lines(old: str, new: str) -> int:
    opcodes = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in opcodes if tag != "equal")
