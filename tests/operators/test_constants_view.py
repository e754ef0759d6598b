from __future__ import annotations

from dataclasses import replace

import pytest

from operators.constants_view import constants_view, spearman
from operators.population import Population
from operators.trial import Status, Trial
from target.program import Program
from tests.search.builders import make_trial


def tried(number: int, score: float | None, source: str) -> Trial:
    status = Status.BASELINE if number == 0 else Status.CRASHED if score is None else Status.DISCARD
    trial = make_trial(number, score, status=status)
    assert trial.mutation is not None
    return replace(trial, mutation=replace(trial.mutation, program=Program(source)))


def searched(n: int = 8) -> Population:
    """Return a search in which LR decides, WIDTH hardly matters, and MODE and FIXED say nothing."""
    rows = [
        (2.0 - 0.1 * step, f'LR = {0.01 * (step + 1)}\nWIDTH = {step * 5 % 7}\nMODE = "a"\nFIXED = 3\n')
        for step in range(n)
    ]
    return Population(tuple(tried(number, score, source) for number, (score, source) in enumerate(rows)))


def test_constants_are_told_by_importance_with_where_the_best_values_lie() -> None:
    population = searched()
    lines = constants_view(population, population.trials[0])

    assert [line.split(" = ")[0] for line in lines] == ["LR", "WIDTH"]
    assert lines[0] == (
        "LR = 0.01: rank correlation with val_bpb -1.00 over 8 trials (larger is better); "
        "best quarter 0.07 to 0.08, tried 0.01 to 0.08"
    )


def test_few_trials_say_nothing() -> None:
    assert constants_view(searched(5), searched(5).trials[0]) == []
    assert constants_view(Population((tried(0, 2.0, "def f(:\n"),)), tried(0, 2.0, "def f(:\n")) == []


def test_trials_without_the_constant_or_without_a_score_are_left_out() -> None:
    population = searched()
    more = (tried(8, 1.0, "WIDTH = 100\n"), tried(9, None, "LR = 99.0\n"))
    (line,) = [
        line for line in constants_view(Population((*population.trials, *more)), population.trials[0]) if "LR" in line
    ]

    assert "over 8 trials" in line
    assert "tried 0.01 to 0.08" in line


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 99], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 1, 2, 2], [1, 2, 1, 2], 0.0),
        ([1, 1, 1], [1, 2, 3], 0.0),
        ([1, 2, 2, 3, 5], [2, 1, 3, 3, 4], 0.763158),
    ],
)
def test_the_rank_correlation_is_that_of_the_books(first: list[float], second: list[float], expected: float) -> None:
    assert spearman(first, second) == pytest.approx(expected, abs=1e-5)
