"""Island model: separate populations; from time to time the best trial of each moves to the next."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from operators.population import Population
from operators.trial import Proposal, Trial
from search.strategies.base import best_first, child_of, verdicts


class Islands:
    """Gives every island its own lineage; every `interval` verdicts its best emigrates along a ring.

    All islands begin with trial 0; imported trials are dealt out to them in turn. An emigrant is a member of both
    islands from then on, so its descendants spread. The companions of a proposal are the members of its island, so
    prompts and crossovers do not mix islands.

    Attributes:
        islands: Number of separate populations; a proposal is for the one in its label `island`, from 0.

    Args:
        islands: Separate populations.
        interval: Verdicts between two migrations.
        tournament_size: Members drawn, with replacement, to find a parent.

    Raises:
        ValueError: If a size is below 1.

    Source: Whitley, Rana and Heckendorn 1999, The island model genetic algorithm; elitist migration on a ring.
    """

    def __init__(self, *, islands: int, interval: int, tournament_size: int) -> None:
        if min(islands, interval, tournament_size) < 1:
            raise ValueError(
                "islands, interval and tournament_size must be at least 1, "
                f"got {islands}, {interval} and {tournament_size}"
            )
        self.islands = islands
        self._interval = interval
        self._tournament_size = tournament_size

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal for the island with the fewest proposals."""
        island = self._next(population)
        return self._child(island, self._members(population)[island], population, rng)

    def ask_wider(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal for the island with the fewest proposals, whose parent may live on any island."""
        everyone = sorted({number for island in self._members(population) for number in island})
        return self._child(self._next(population), everyone, population, rng)

    def _next(self, population: Population) -> int:
        given = Counter(_island(trial) for trial in population.trials)
        return min(range(self.islands), key=lambda index: given[index])

    def _child(self, island: int, members: list[int], population: Population, rng: random.Random) -> Proposal:
        rivals = rng.choices(members, k=self._tournament_size)
        winner = best_first(rivals, population)[0]
        return child_of(winner, rng=rng, companions=best_first(members, population), island=island)

    def _members(self, population: Population) -> list[list[int]]:
        """Return the scored trials on each island, immigrants included."""
        members = [[0] for _ in range(self.islands)]
        turns = itertools.count()
        for count, trial in enumerate(verdicts(population), start=1):
            if trial.scored:
                own = _island(trial)
                members[(next(turns) if own is None else own) % self.islands].append(trial.number)
            if count % self._interval == 0:
                best = [best_first(island, population)[0] for island in members]
                for island, immigrant in zip(members, best[-1:] + best[:-1], strict=True):
                    if immigrant not in island:
                        island.append(immigrant)
        return members


def _island(trial: Trial) -> int | None:
    label = trial.proposal.labels.get("island")
    return None if label is None else int(label)
