"""Which of several new programs of one parent is the most promising, judged without training any of them."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from operators.experience import gather
from operators.population import Population
from operators.tune import Model
from target.program import Program
from target.program.space import encode
from target.regression.threads import one_thread

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
    programs: Sequence[Program],
    parent: Program,
    population: Population,
    *,
    weights: Weights,
    memory: int,
    rng: random.Random,
) -> list[int]:
    """Return the places of programs, the most promising first; equal ones in their order.

    Each criterion gives a program its rank, from 0 for the best to 1 for the worst, and the weighted sum decides. What
    changes only constants is ranked apart from what changes structure, because the prediction says nothing about the
    latter. Which of the two comes first is drawn by their numbers, so their shares stay those of the operator.

    Args:
        programs: The programs.
        parent: The program from which they were made.
        population: All trials.
        weights: Weights of the criteria.
        memory: Largest number of trials that the prediction uses.
        rng: Randomness of this proposal.
    """
    same = [place for place, each in enumerate(programs) if each.skeleton_id == parent.skeleton_id]
    other = [place for place in range(len(programs)) if place not in same]
    marks = dict.fromkeys(range(len(programs)), 0.0)
    for weight, order in (
        (weights.prediction, _by_prediction(programs, same, parent, population, memory) if weights.prediction else []),
        (weights.novelty, _by_novelty(programs, same, population) if weights.novelty else []),
        (weights.novelty, _by_novelty(programs, other, population) if weights.novelty else []),
    ):
        for rank, place in enumerate(order):
            marks[place] += weight * rank / max(len(order) - 1, 1)
    same.sort(key=marks.__getitem__)
    other.sort(key=marks.__getitem__)
    return same + other if rng.random() * len(programs) < len(same) else other + same


def _by_prediction(
    programs: Sequence[Program], same: list[int], parent: Program, population: Population, memory: int
) -> list[int]:
    """Return the places of programs with the parent's skeleton, the best first; empty if nothing can be predicted."""
    if len(same) < 2:
        return []
    try:
        experience = gather(parent, population, limit=memory)
    except (SyntaxError, ValueError):  # no constants, or none that can be read
        return []
    if not experience.axes or len(experience.scored) < _FEWEST:
        return []
    points = encode(experience.axes, [programs[place].constants for place in same], experience.default)
    with one_thread():
        return [same[index] for index in Model(experience).order(points)]


def _by_novelty(programs: Sequence[Program], places: list[int], population: Population) -> list[int]:
    """Return the places by how many lines of a program differ from the most similar one that was tried, most first."""
    if len(places) < 2:
        return []
    tried = [trial.program for trial in itertools.islice(reversed(population.trials), _LATEST) if trial.program]
    known = [_lines(program.source) for program in tried]
    apart = {at: min((len(_lines(programs[at].source) ^ lines) for lines in known), default=0) for at in places}
    return sorted(places, key=lambda place: -apart[place])


@functools.lru_cache(maxsize=2 * _LATEST)
def _lines(source: str) -> frozenset[str]:
    return frozenset(line.strip() for line in source.splitlines())
