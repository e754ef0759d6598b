"""The contract of every strategy in `conf/strategy/*.yaml` in a search that is stuck, with `stuck.action=widen`."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from operators.population import Population
from operators.prompts.history import companions
from search.strategies.base import Strategy
from search.stuck import Action, StuckSettings, Widened
from tests.contracts.test_strategy import (
    ALL_FAILED,
    HUNDRED,
    MIXED,
    STRATEGIES,
    ask,
    baseline,
    decided,
    drive,
    imported,
    pending,
    proposals,
)

TRIALS = 3
STUCK = [1.9, *[2.5] * 12, 1.8, None, *[2.2, None] * 3, 1.7, 2.1, 2.1]
"""Scores of a search that is stuck twice, and each time is kept at last."""


@pytest.fixture(params=STRATEGIES, ids=lambda path: path.stem)
def usual(request: pytest.FixtureRequest) -> Strategy:
    path: Path = request.param
    return instantiate(OmegaConf.create({"strategy": OmegaConf.load(path), "seed": 0}).strategy)


@pytest.fixture
def wide(usual: Strategy) -> Strategy:
    return StuckSettings(trials=TRIALS, action=Action.WIDEN).strategy(usual)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_seed_and_the_history_determine_the_proposals(wide: Strategy, seed: int) -> None:
    first, again = (drive(wide, STUCK, seed) for _ in range(2))

    assert proposals(first) == proposals(again)
    assert proposals(first) != proposals(drive(wide, STUCK, seed + 1))


def test_it_keeps_no_state_between_calls(wide: Strategy) -> None:
    fresh = copy.deepcopy(wide)
    population = drive(wide, STUCK)

    for cut in range(1, len(population.trials)):
        assert ask(fresh, Population(population.trials[:cut]), 0) == population.trials[cut].proposal


def test_it_draws_nothing_from_global_randomness(wide: Strategy) -> None:
    random.seed(1)
    before = random.getstate()
    drive(wide, STUCK)

    assert random.getstate() == before


@pytest.mark.parametrize("slots", [1, 3, 8])
@pytest.mark.parametrize("scores", [MIXED, ALL_FAILED, HUNDRED, STUCK], ids=["mixed", "failed", "hundred", "stuck"])
def test_parents_are_earlier_trials_with_a_score(wide: Strategy, scores: list[float | None], slots: int) -> None:
    population = baseline()
    for score in scores:
        while len(population.pending) < slots:
            proposal = ask(wide, population, 0)
            assert proposal.parents
            assert all(population.trials[parent].scored for parent in proposal.parents)
            assert all(trial.scored for trial in companions(proposal, population))
            population = population.with_trial(pending(population, proposal))
        population = population.with_trial(decided(population.pending[-1], score, population))


def test_it_is_wider_only_while_the_search_is_stuck(wide: Strategy, usual: Strategy) -> None:
    population, marks = baseline(), list[int]()
    for score in STUCK:
        proposal, without = ask(wide, population, 0), len(population.since_keep)
        assert proposal.stuck == (without if without >= TRIALS else 0)
        assert without >= TRIALS or proposal == ask(usual, population, 0), "as if it had never been stuck"
        marks.append(proposal.stuck)
        population = population.with_trial(pending(population, proposal))
        population = population.with_trial(decided(population.pending[-1], score, population))

    assert marks == [0, 0, 0, 0, *range(3, 13), 0, 0, 0, *range(3, 8), 0, 0]


def test_the_verdicts_of_another_search_do_not_make_it_stuck(usual: Strategy) -> None:
    population = imported(measured=True)

    assert population.decided[-1] != population.champion
    assert population.since_keep == ()
    assert ask(Widened(usual, trials=1), population, 0).stuck == 0
