from __future__ import annotations

import pytest

from search.preflight import Preflight
from target.program import Program
from target.simulated.landscape import Landscape
from target.simulated.target import SimulatedExecutor


@pytest.fixture
def executor() -> SimulatedExecutor:
    executor = SimulatedExecutor(Landscape(seed=0), slots=1)
    executor.start()
    return executor


def test_a_program_is_checked_as_the_executor_would_check_it(executor: SimulatedExecutor) -> None:
    preflight = Preflight()
    with preflight.lent(executor):
        assert preflight(Landscape(seed=0).seed_program()) == ""
        assert "build_model" in preflight(Program("x = 1"))


def test_without_an_executor_nothing_is_wrong(executor: SimulatedExecutor) -> None:
    preflight = Preflight()
    assert preflight(Program("x = 1")) == ""
    with preflight.lent(executor):
        pass
    assert preflight(Program("x = 1")) == ""
