from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from operators.llm.selection import Choose, make_choice, upper_bounds
from operators.population import Population
from operators.trial import Attempt, Status, Trial
from tests.search.builders import make_trial

NAMES = ["cheap", "dear", "new"]


def population_of(*rows: tuple[str, float | Status, float]) -> Population:
    """Return a baseline that scores 2.0 and its children: model, score or status, cost of each."""
    trials = [make_trial(0, 2.0, status=Status.BASELINE)]
    for number, (model, result, cost_usd) in enumerate(rows, start=1):
        score = None if isinstance(result, Status) else result
        trial = make_trial(number, score, status=result if isinstance(result, Status) else Status.DISCARD)
        trials.append(_labelled(trial, model, cost_usd))
    return Population(tuple(trials))


def _labelled(trial: Trial, model: str, cost_usd: float) -> Trial:
    mutation = replace(trial.mutation, cost_usd=cost_usd) if trial.mutation else None
    proposal = replace(trial.proposal, model=model)
    failure = Attempt(operator="x", cost_usd=cost_usd) if mutation is None else None
    return replace(trial, proposal=proposal, mutation=mutation, failure=failure)


def choices(choose: Choose, population: Population, n: int = 300) -> Counter[str]:
    return Counter(choose(population, seed) for seed in range(n))


@pytest.mark.parametrize("selection", ["weighted", "round_robin", "ucb"])
def test_a_choice_is_a_function_of_population_and_seed(selection: str) -> None:
    population = population_of(("cheap", 1.9, 0.1), ("dear", 1.8, 1.0), ("new", Status.CRASHED, 0.1))
    first, again = (make_choice(selection, dict.fromkeys(NAMES, 1.0)) for _ in range(2))

    assert [first(population, seed) for seed in range(20)] == [again(population, seed) for seed in range(20)]
    assert first(population, 0) in NAMES


def test_weights_are_shares() -> None:
    counts = choices(make_choice("weighted", {"a": 1, "b": 3}), Population(), 1000)

    assert 200 < counts["a"] < 300


def test_each_model_has_its_turn() -> None:
    choose = make_choice("round_robin", dict.fromkeys(NAMES, 1.0))
    rows: list[tuple[str, float | Status, float]] = []
    for _ in range(6):
        rows.append((choose(population_of(*rows), 0), 1.9, 0.1))

    assert [row[0] for row in rows] == NAMES * 2


def test_a_model_that_was_never_asked_is_asked_first() -> None:
    choose = make_choice("ucb", dict.fromkeys(NAMES, 1.0))
    rows: list[tuple[str, float | Status, float]] = []
    for _ in NAMES:
        rows.append((choose(population_of(*rows), 0), Status.PENDING, 0.0))

    assert [row[0] for row in rows] == NAMES, "pending trials count, so side by side they go to different models"


def test_equal_gains_go_to_the_cheaper_model_and_equal_costs_to_the_better_one() -> None:
    choose = make_choice("ucb", {"cheap": 1, "dear": 1}, exploration=0.1)

    assert choose(population_of(("cheap", 1.9, 0.01), ("dear", 1.9, 1.0)), 0) == "cheap"
    assert choose(population_of(("cheap", 1.9, 0.5), ("dear", 1.7, 0.5)), 0) == "dear"
    assert choose(population_of(("cheap", 1.9, 0.0), ("dear", 1.7, 0.0)), 0) == "dear", "free models have a gain too"


def test_what_got_worse_or_failed_gained_nothing_and_is_not_held_against_the_cost() -> None:
    bounds = upper_bounds(["cheap", "dear"], population_of(("cheap", 7.5, 0.1), ("dear", Status.NOT_BUILT, 0.1)), 0.0)

    assert bounds == {"cheap": 0.0, "dear": 0.0}


def test_a_model_that_gained_nothing_is_still_tried_now_and_then() -> None:
    rows: list[tuple[str, float | Status, float]] = [("cheap", Status.CRASHED, 0.1), ("dear", 1.99, 0.1)]
    choose = make_choice("ucb", {"cheap": 1, "dear": 1}, exploration=0.5)
    for _ in range(60):
        model = choose(population_of(*rows), 0)
        rows.append((model, 1.99 if model == "dear" else Status.CRASHED, 0.1))
    counts = Counter(row[0] for row in rows)

    assert 2 <= counts["cheap"] < counts["dear"]
