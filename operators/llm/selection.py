"""Selects which of several models to ask next: a pure function of the population, recorded with each proposal."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from operators.population import Population
from operators.trial import Trial

Choose = Callable[[Population, int], str]
"""Maps the trials so far and the seed of the new proposal to the name of a model."""

SELECTIONS: Final = ("weighted", "round_robin", "ucb")
_LEAST_COST: Final = 0.01  # of the most expensive model's; a free model is not infinitely better than the others


def make_choice(selection: str, weights: Mapping[str, float], *, exploration: float = 1.0) -> Choose:
    """Return a way to choose among models.

    Args:
        selection: `weighted`, `round_robin` or `ucb`.
        weights: Relative weight of each model, in order; only `weighted` uses them.
        exploration: Weight of uncertainty, for `ucb`.

    Raises:
        ValueError: If there is no such selection, or `exploration` is negative.
    """
    if exploration < 0:
        raise ValueError(f"exploration must be at least 0, got {exploration}")
    names = list(weights)

    def weighted(_: Population, seed: int) -> str:
        return random.Random(f"model {seed}").choices(names, list(weights.values()))[0]

    def round_robin(population: Population, _: int) -> str:
        return names[(len(population.trials) - 1) % len(names)]

    def ucb(population: Population, _: int) -> str:
        scores = upper_bounds(names, population, exploration)
        return max(names, key=lambda name: scores[name])  # the first if several are equal

    choices: dict[str, Choose] = {"weighted": weighted, "round_robin": round_robin, "ucb": ucb}
    if selection not in choices:
        raise ValueError(f"llm.selection must be one of {', '.join(SELECTIONS)}, got {selection!r}")
    return choices[selection]


def upper_bounds(names: list[str], population: Population, exploration: float) -> dict[str, float]:
    """Return the upper confidence bound of each model's value; infinite for a model that was never asked.

    A model's value is its mean gain, max(0, score of the parent - score of the child), divided by its mean cost, both
    over its decided trials, and scaled so that the best has 1. Trials without a result have gain 0. Pending trials
    count as asked, so that simultaneous proposals do not all go to one model.

    Source: UCB1, Auer et al. 2002; gain over the parent as reward, per cost, as in ShinkaEvolve, arXiv 2509.19349.
    """
    asked = Counter(trial.proposal.model for trial in population.trials)
    decided: dict[str | None, list[Trial]] = defaultdict(list)
    for trial in population.decided:
        decided[trial.proposal.model].append(trial)
    costs = {name: statistics.fmean(each.cost_usd for each in decided[name]) for name in names if decided[name]}
    floor = _LEAST_COST * max(costs.values(), default=0.0) or 1.0  # if all are free, only the gain counts
    rates = {
        name: statistics.fmean(population.gain(each) for each in decided[name]) / max(cost, floor)
        for name, cost in costs.items()
    }
    best = max(rates.values(), default=0.0) or 1.0
    total = sum(asked[name] for name in names)
    return {
        name: rates.get(name, 0.0) / best + exploration * math.sqrt(2 * math.log(total) / asked[name])
        if asked[name]
        else math.inf
        for name in names
    }
