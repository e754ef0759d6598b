"""Tree search over programs: UCT with progressive widening, with AIDE's drafts, repairs and improvements."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from operators.population import Population
from operators.trial import Proposal, Status, Trial
from search.strategies.base import child_of


@dataclass(slots=True)
class _Node:
    """A scored trial in the tree.

    Attributes:
        children: Scored children.
        failed: Whether a child of it failed.
        asked: Number of children proposed, pending and failed ones included.
        visits: Number of trials at this node or below.
        best: The best value at this node or below, in [0, 1].
    """

    children: list[int] = field(default_factory=list)
    failed: bool = False
    asked: int = 0
    visits: int = 1
    best: float = 0.0


class Tree:
    """Descends from trial 0 by upper confidence bounds, and mutates the first node that may have another child.

    A node with n visits may have up to widening * n^exponent children (progressive widening, as the number of
    possible mutations is unlimited). Trial 0 first gets `drafts` children (AIDE). The value of a node is the best rank
    at or below it, from 0 for the worst scored trial to 1 for the best, so that value and bonus are on one scale,
    whatever the range of the scores.

    Args:
        drafts: Number of children that trial 0 gets first.
        exploration: Weight of the bonus for rarely visited nodes.
        widening: Number of children that a node may have after its first visit.
        exponent: How the number of children grows with the visits, from 0 to 1.
        repair: Operator that repairs a failed child of the node; None if there is none.
        repair_probability: Probability of asking for a repair if there is something to repair.

    Raises:
        ValueError: If an argument is out of range.

    Source: Kocsis and Szepesvari 2006 (UCT); Couetoux et al. 2011 (progressive widening); AIDE, Jiang et al. 2025,
    https://arxiv.org/abs/2502.13138 (drafts, debugging with probability 0.5).
    """

    def __init__(
        self,
        *,
        drafts: int,
        exploration: float,
        widening: float,
        exponent: float,
        repair: str | None,
        repair_probability: float,
    ) -> None:
        if drafts < 0 or exploration < 0 or widening <= 0 or not 0 < exponent < 1 or not 0 <= repair_probability <= 1:
            raise ValueError(
                "drafts and exploration must be at least 0, widening above 0, exponent between 0 and 1, "
                f"repair_probability from 0 to 1, got {drafts}, {exploration}, {widening}, {exponent}, "
                f"{repair_probability}"
            )
        self._drafts = drafts
        self._exploration = exploration
        self._widening = widening
        self._exponent = exponent
        self._repair = repair
        self._repair_probability = repair_probability

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal to mutate the node where the descent ends."""
        nodes = _grow(population)
        number = 0
        if nodes[0].asked >= self._drafts:
            while self._full(nodes[number]):
                number = max(nodes[number].children, key=lambda child: self._bound(nodes, number, child))
        if self._repair and nodes[number].failed and rng.random() < self._repair_probability:
            return Proposal(parents=(number,), seed=rng.getrandbits(32), operator=self._repair)
        return child_of(number, rng=rng)

    def _full(self, node: _Node) -> bool:
        return bool(node.children) and node.asked >= self._widening * node.visits**self._exponent

    def _bound(self, nodes: dict[int, _Node], parent: int, child: int) -> float:
        node = nodes[child]
        return node.best + self._exploration * math.sqrt(math.log(nodes[parent].visits) / node.visits)


def _grow(population: Population) -> dict[int, _Node]:
    """Return the tree of the scored trials."""
    ranked = population.ranked()
    top = max(len(ranked) - 1, 1)
    nodes = {trial.number: _Node(best=1 - rank / top) for rank, trial in enumerate(ranked)}
    for trial in reversed(population.trials[1:]):  # children before their parents
        if trial.status is Status.UNMEASURED:
            continue
        above = nodes[_scored_ancestor(trial, population)]
        above.asked += 1
        node = nodes.get(trial.number)
        if node is None:
            above.visits += 1  # failed, pruned or pending: a visit without a new value
            above.failed |= trial.decided is not None and trial.status is not Status.PRUNED
            continue
        above.children.append(trial.number)
        above.visits += node.visits
        above.best = max(above.best, node.best)
    return nodes


def _scored_ancestor(trial: Trial, population: Population) -> int:
    """Return the nearest ancestor with a score: the parent, unless it was imported without a score."""
    parent = population.trials[trial.proposal.parents[0]]
    return parent.number if parent.scored else _scored_ancestor(parent, population)
