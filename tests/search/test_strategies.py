"""The properties of each single strategy."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from operators.population import Population
from operators.prompts.history import companions
from operators.trial import Status
from search.strategies.base import Widening
from search.strategies.beam import Beam
from search.strategies.evolution import RegularisedEvolution
from search.strategies.greedy import Greedy
from search.strategies.random import RandomSearch
from search.stuck import Action, StuckSettings
from tests.contracts.test_strategy import ALL_FAILED, HUNDRED, MIXED, ask, baseline, decided, drive, imported, pending
from tests.search.builders import make_evaluation, make_trial


def test_random_mutates_the_seed_program_only() -> None:
    population = drive(RandomSearch(), MIXED)

    assert {trial.proposal.parents for trial in population.trials[1:]} == {(0,)}


def test_greedy_mutates_the_champion_not_the_latest_nor_a_pending_one() -> None:
    population = drive(Greedy(), [1.5, 1.7, None, 1.6])

    assert [trial.proposal.parents for trial in population.trials[1:]] == [(0,), (1,), (1,), (1,)]


def test_beam_expands_k_survivors_b_times_each() -> None:
    width, branching = 2, 3
    population = drive(Beam(width=width, branching=branching, keep_parents=True), HUNDRED)

    generations: dict[int, Counter[int]] = {}
    for trial in population.trials[1:]:
        generation = int(trial.proposal.labels["generation"])
        generations.setdefault(generation, Counter())[trial.proposal.parents[0]] += 1
    assert generations[1] == {0: branching}  # the seed program is alone
    for generation in range(2, max(generations)):  # the last one is not complete
        assert list(generations[generation].values()) == [branching] * width


def test_beam_keeps_the_best_of_the_generation_however_they_are_related() -> None:
    beam = Beam(width=2, branching=2, keep_parents=False)
    population = drive(beam, [1.9, 1.8, 1.5, 1.7, 1.3, 1.4])  # children of 0: 1, 2; of 2 and 1: 3, 4, 5, 6

    assert [trial.proposal.parents[0] for trial in population.trials[1:]] == [0, 0, 2, 1, 2, 1]
    assert ask(beam, population, 0).parents == (5,)
    survivors = {ask(beam, population.with_trial(pending(population, ask(beam, population, 0))), 0).parents[0], 5}
    assert survivors == {5, 6}


def test_beam_without_kept_parents_forgets_a_better_parent() -> None:
    scores = [1.0, 1.9, 1.8]

    assert ask(
        Beam(width=1, branching=1, keep_parents=True), drive(Beam(width=1, branching=1, keep_parents=True), scores), 0
    ).parents == (1,)
    assert ask(
        Beam(width=1, branching=1, keep_parents=False), drive(Beam(width=1, branching=1, keep_parents=False), scores), 0
    ).parents == (3,)


def test_beam_without_kept_parents_tries_a_generation_that_failed_again() -> None:
    population = drive(Beam(width=2, branching=2, keep_parents=False), ALL_FAILED)

    assert {trial.proposal.parents for trial in population.trials[1:]} == {(0,)}


def test_beam_begins_with_the_best_of_what_another_search_found() -> None:
    beam = Beam(width=2, branching=3, keep_parents=True)
    population = imported(measured=True)
    best = [trial.number for trial in population.ranked()[:2]]

    for _ in range(4):
        population = population.with_trial(pending(population, ask(beam, population, 0)))
    assert [trial.proposal.parents[0] for trial in population.pending] == best * 2
    assert {trial.proposal.labels["generation"] for trial in population.pending} == {1}


def test_beam_lets_a_straggler_compete_in_the_next_selection() -> None:
    beam = Beam(width=1, branching=2, keep_parents=True)
    population = baseline()
    for _ in range(3):  # one more than the generation needs, since a slot was free
        population = population.with_trial(pending(population, ask(beam, population, 0)))
    for number, score in ((1, 1.9), (2, 1.8)):
        population = population.with_trial(decided(population.trials[number], score, population))
    assert ask(beam, population, 0).parents == (2,)

    population = population.with_trial(decided(population.trials[3], 1.1, population))
    for score in (1.7, 1.6):
        population = population.with_trial(pending(population, ask(beam, population, 0)))
        population = population.with_trial(decided(population.pending[-1], score, population))

    assert ask(beam, population, 0).parents == (3,)


def test_evolution_forgets_the_oldest_however_good() -> None:
    evolution = RegularisedEvolution(population_size=3, tournament_size=50)
    population = drive(evolution, [0.5, 1.9, 1.8, 1.7])

    assert {ask(evolution, population, seed).parents for seed in range(20)} == {
        (4,)
    }  # 1.7 beats 1.8 and 1.9; 0.5 is gone


def test_evolution_has_no_companions_that_have_left() -> None:
    evolution = RegularisedEvolution(population_size=3, tournament_size=2)
    population = drive(evolution, [1.1, 1.9, 1.7, 1.8])
    proposal = ask(evolution, population, 0)

    assert [trial.number for trial in companions(proposal, population)] == [
        number for number in (3, 4, 2) if number not in proposal.parents
    ]


def test_evolution_compares_scores_whatever_seeds_they_were_taken_with() -> None:
    old = make_trial(0, 2.0, status=Status.BASELINE)
    old = replace(old, evaluations=(make_evaluation(2.0, seed=1), make_evaluation(2.4, seed=2)))
    new = replace(make_trial(1, 2.3, status=Status.DISCARD), evaluations=(make_evaluation(2.3, seed=2),))
    evolution = RegularisedEvolution(population_size=2, tournament_size=50)

    assert ask(evolution, Population((old, new)), 0).parents == (1,)  # seed 2 is the unlucky one


def test_evolution_with_a_tournament_of_one_draws_uniformly() -> None:
    evolution = RegularisedEvolution(population_size=4, tournament_size=1)
    population = drive(evolution, [1.5, 1.9, 1.8])
    drawn = Counter(evolution.ask(population, random.Random(seed)).parents[0] for seed in range(400))

    assert set(drawn) == {0, 1, 2, 3}
    assert min(drawn.values()) > 60


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Beam(width=0, branching=1, keep_parents=True), "width and branching must be at least 1, got 0 and 1"),
        (
            lambda: RegularisedEvolution(population_size=4, tournament_size=0),
            "population_size and tournament_size must be at least 1, got 4 and 0",
        ),
    ],
)
def test_a_size_of_zero_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def wider(strategy: Widening, population: Population, seeds: int = 60) -> Counter[int]:
    """Return how often each trial is the parent of a wider proposal."""
    return Counter(strategy.ask_wider(population, random.Random(seed)).parents[0] for seed in range(seeds))


def test_stuck_greedy_mutates_the_best_few_not_only_the_champion() -> None:
    population = drive(Greedy(), [1.5, 1.7, None, 1.6, 1.9, 1.8])

    assert set(wider(Greedy(), population)) == {1, 4, 2, 6}


def test_a_stuck_beam_is_twice_as_wide_and_keeps_its_survivors() -> None:
    beam = Beam(width=1, branching=2, keep_parents=True)
    population = drive(beam, [1.5, 1.9, 1.7, 1.6])  # trial 1 survives both generations
    asked = []
    for _ in range(2):
        asked.append(beam.ask_wider(population, random.Random(0)))
        population = population.with_trial(pending(population, asked[-1]))

    assert [proposal.parents for proposal in asked] == [(1,), (4,)]
    assert {proposal.labels["generation"] for proposal in asked} == {3}


def test_a_strategy_without_a_knob_is_asked_as_before_and_the_user_is_told() -> None:
    settings = StuckSettings(trials=2, action=Action.WIDEN)
    population = drive(settings.strategy(RandomSearch()), [1.9, 2.5, 2.5, 2.5])

    assert [trial.proposal.stuck for trial in population.trials] == [0, 0, 0, 0, 2]
    assert population.trials[4].proposal.parents == (0,)
    assert settings.remark(RandomSearch()) == (
        "stuck.action=widen: RandomSearch has nothing to widen; only operators will go further"
    )
    assert settings.remark(Greedy()) == ""
