from __future__ import annotations

import math

import pytest

from search.budget import Budget
from search.errors import UserError


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"trainings": 0}, r"budget.trainings must be at least 1, got 0"),
        ({"hours": 0.0}, r"budget.hours must be above 0, got 0.0"),
        ({"usd": -1.0}, r"budget.usd must be above 0, got -1.0"),
        ({"hours": math.nan}, r"budget.hours must be above 0, got nan"),
        ({"usd": math.inf}, r"budget.usd must be above 0, got inf"),
        ({}, "no budget"),
    ],
)
def test_a_budget_that_allows_nothing_is_refused(limits: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Budget(**limits)


def test_the_first_limit_reached_is_named() -> None:
    budget = Budget(trainings=10, hours=1.0, usd=5.0)

    assert budget.exhausted(trainings=9, wall_seconds=3599, cost_usd=4.9) is None
    assert budget.exhausted(trainings=10, wall_seconds=0, cost_usd=0) == "budget.trainings=10 reached"
    assert budget.exhausted(trainings=0, wall_seconds=3600, cost_usd=0) == "budget.hours=1 reached"
    assert budget.exhausted(trainings=0, wall_seconds=0, cost_usd=5) == "budget.usd=5 reached"
    assert Budget(hours=1).trainings_left(1000) == math.inf
