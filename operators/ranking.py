"""Which of several new programs of one parent is the most promising, judged without training any of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from operators.experience import gather
from operators.population import Population
from operators.tune import Model
from target.program import Program
from target.program.space import encode

_LATEST: Final = 1000  # programs with which a new one is compared
_FEWEST: Final = 4  # scored trials of a skeleton from which its other constants are predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each criterion counts.

    Attributes:
        prediction: The tuner's order by expected improvement per second, among programs that differ from the parent in
            constants only.
        novelty: The distance to the nearest program that was tried.
    """

    prediction: float
    novelty: float


def most_promising_first(
    programs: Sequence[Program], parent: Program, population: Population, *, weights: Weights, memory: int
) -> list[int]:
    """Return the places of programs, the most promising first; equal ones in their order.

    Each criterion gives a program its rank, from 0 for the best to 1 for the worst, or 0.5 if it says nothing about it.
    The weighted sum of the ranks decides.

    Args:
        programs: The programs.
        parent: The program from which they were made.
        population: All trials.
        weights: Weights of the criteria.
        memory: Largest number of trials that the prediction uses.
    """
    marks = [0.0] * len(programs)
    for weight, order in (
        (weights.prediction, _by_prediction(programs, parent, population, memory) if weights.prediction else []),
        (weights.novelty, _by_novelty(programs, population) if weights.novelty else []),
    ):
        ranks = {place: rank / max(len(order) - 1, 1) for rank, place in enumerate(order)}
        marks = [mark + weight * ranks.get(place, 0.5) for place, mark in enumerate(marks)]
    return sorted(range(len(programs)), key=lambda place: marks[place])


def _by_prediction(programs: Sequence[Program], parent: Program, population: Population, memory: int) -> list[int]:
    """Return the places of the programs about which the tuner's model says something, the best first."""
    from threadpoolctl import threadpool_limits

    same = [place for place, each in enumerate(programs) if each.skeleton_id == parent.skeleton_id]
    if len(same) < 2:
        return []
    try:
        experience = gather(parent, population, limit=memory)
    except (SyntaxError, ValueError):  # no constants, or none that can be read
        return []
    if not experience.axes or len(experience.scored) < _FEWEST:
        return []
    points = encode(experience.axes, [programs[place].constants for place in same], experience.default)
    with threadpool_limits(limits=1, user_api="blas"):  # for such small matrices, more threads only wait
        return [same[index] for index in Model(experience).order(points)]


def _by_novelty(programs: Sequence[Program], population: Population) -> list[int]:
    """Return the places of programs by the number of lines that differ from the most similar program, most first."""
    tried = [trial.program for trial in itertools.islice(reversed(population.trials), _LATEST) if trial.program]
    known = [_lines(program.source) for program in tried]
    apart = [min((len(_lines(each.source) ^ lines) for lines in known), default=0) for each in programs]
    return sorted(range(len(programs)), key=lambda place: -apart[place])


@functools.lru_cache(maxsize=2 * _LATEST)
def _lines(source: str) -> frozenset[str]:
    return frozenset(line.strip() for line in source.splitlines())
