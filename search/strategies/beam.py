"""Beam search of true width k: k survivors a generation, each expanded b times."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from operators.population import Population
from operators.trial import Proposal, Trial
from search.strategies.base import best_first, child_of, verdicts


class Beam:
    """Expands every survivor of a generation `branching` times, then keeps the best `width`.

    A generation closes with its last verdict. If a slot is free before that, survivors are expanded once more in turn,
    so that the slot is not idle. A trial that is decided after its generation has closed competes in the next
    selection. With one slot every survivor is expanded exactly `branching` times.

    The first survivors are the best of the trials that no beam proposed: trial 0 and imported trials.

    Args:
        width: Survivors of a generation, k.
        branching: Children of each survivor, b.
        keep_parents: Whether survivors compete with their children (best of k + kb, elitist) or leave after one
            generation (best of kb, the textbook form).

    Raises:
        ValueError: If a size is below 1.

    Source: local beam search, Russell and Norvig, Artificial Intelligence, 4th edition, section 4.1.3; with
    `keep_parents` it is the (mu + lambda) selection of Schwefel 1981.
    """

    def __init__(self, *, width: int, branching: int, keep_parents: bool) -> None:
        if min(width, branching) < 1:
            raise ValueError(f"width and branching must be at least 1, got {width} and {branching}")
        self._width = width
        self._branching = branching
        self._keep_parents = keep_parents

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate the survivor that has been expanded least; the others are its companions."""
        return self._expand(*self._front(population), population, rng)

    def ask_wider(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate one of twice as many trials: the survivors, and the best of all others."""
        generation, survivors = self._front(population)
        others = (trial.number for trial in population.ranked() if trial.number not in survivors)
        wide = [*survivors, *itertools.islice(others, 2 * self._width - len(survivors))]
        return self._expand(generation, wide, population, rng)

    def _expand(self, generation: int, survivors: list[int], population: Population, rng: random.Random) -> Proposal:
        expansions = Counter(
            trial.proposal.parents[0] for trial in population.trials if _generation(trial) == generation + 1
        )
        parent = min(survivors, key=lambda number: expansions[number])  # ties: the best first
        return child_of(parent, rng=rng, companions=survivors, generation=generation + 1)

    def _front(self, population: Population) -> tuple[int, list[int]]:
        """Return the number of closed generations and the survivors of the last, best first."""
        founders = best_first((trial.number for trial in population.scored if not _generation(trial)), population)
        generation, survivors, entrants, closed = 0, founders[: self._width], list[Trial](), 0
        for trial in verdicts(population):
            entrants.append(trial)
            closed += _generation(trial) == generation + 1
            if closed == self._branching * len(survivors):
                survivors = self._select(population, survivors, entrants)
                generation, entrants, closed = generation + 1, [], 0
        return generation, survivors

    def _select(self, population: Population, survivors: list[int], entrants: list[Trial]) -> list[int]:
        rivals = {trial.number for trial in entrants if trial.scored}
        if self._keep_parents or not rivals:  # repeat a generation in which all trials failed
            rivals.update(survivors)
        return best_first(rivals, population)[: self._width]


def _generation(trial: Trial) -> int:
    return int(trial.proposal.labels.get("generation", 0))
