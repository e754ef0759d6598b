"""MAP-Elites: keeps the best program of every kind; any of them may be a parent."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence

from operators.population import Population
from operators.trial import Proposal, Trial
from search.strategies.base import child_of
from search.strategies.descriptors import DESCRIPTORS


class MapElites:
    """Sorts scored trials into cells by their properties, and mutates the best of a cell.

    The bounds between cells are quantiles of the trials so far, so they need no knowledge of the target. Cells are
    drawn with weight 1 / (1 + rank of their best), so that poor cells are drawn rarely.

    Args:
        descriptors: The properties that define cells: `parameters`, `depth`, `throughput`, `edit_distance`.
        bins: Number of cells along each descriptor.

    Raises:
        ValueError: If a descriptor is unknown, or there is none, or fewer than one bin.

    Source: Mouret and Clune 2015, https://arxiv.org/abs/1504.04909; the ranks are ours.
    """

    def __init__(self, *, descriptors: Sequence[str], bins: int) -> None:
        unknown = [name for name in descriptors if name not in DESCRIPTORS]
        if unknown or not descriptors or bins < 1:
            raise ValueError(
                f"descriptors must be some of {', '.join(DESCRIPTORS)} and bins at least 1, "
                f"got {list(descriptors)} and {bins}"
            )
        self._descriptors = [DESCRIPTORS[name] for name in descriptors]
        self._bins = bins

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate the best trial of a cell, with those of other cells as its companions."""
        elites = self.elites(population)
        weights = [1 / (1 + rank) for rank in range(len(elites))]
        (elite,) = rng.choices(elites, weights)
        return child_of(elite.number, rng=rng, companions=[each.number for each in elites])

    def elites(self, population: Population) -> list[Trial]:
        """Return the best trial of each cell, best first."""
        trials = population.ranked()
        columns = []
        for describe in self._descriptors:
            values = [describe(trial, population) for trial in trials]
            columns.append([bisect_right(self._bounds(values), value) for value in values])
        found: dict[tuple[int, ...], Trial] = {}
        for trial, cell in zip(trials, zip(*columns, strict=True), strict=True):
            found.setdefault(cell, trial)
        return list(found.values())

    def _bounds(self, values: list[float]) -> list[float]:
        ordered = sorted(set(values))
        return [ordered[len(ordered) * index // self._bins] for index in range(1, self._bins)]
