from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.preflight import Preflight
from target.evaluation import Evaluation, Outcome
from target.evidence import NO_EVIDENCE, Evidence
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
        assert preflight(Landscape(seed=0).seed_program(), Population()) == ""
        assert "build_model" in preflight(Program("x = 1"), Population())


def test_without_an_executor_nothing_is_wrong(executor: SimulatedExecutor) -> None:
    preflight = Preflight()
    assert preflight(Program("x = 1"), Population()) == ""
    with preflight.lent(executor):
        pass
    assert preflight(Program("x = 1"), Population()) == ""


def test_trials_that_ran_out_of_memory_are_evidence() -> None:
    asked: list[Evidence] = []

    class Executor(SimulatedExecutor):
        def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[None]:
            asked.append(evidence)
            return super().preflight(program, log, evidence=evidence)

    seed = Landscape(seed=0).seed_program()
    other = seed.with_constants({"HEAD_LR": 0.5})  # a learning rate needs no memory
    failed = Evaluation(outcome=Outcome.OUT_OF_MEMORY, seed=0, memory_bytes=1 << 30)
    population = Population(
        (
            Trial(
                number=0,
                proposal=Proposal(parents=(), seed=0),
                mutation=Mutation(program=other, operator="seed", description=""),
                evaluations=(failed,),
                status=Status.OUT_OF_MEMORY,
                decided=0,
            ),
        )
    )
    executor, preflight = Executor(Landscape(seed=0), slots=1), Preflight()
    executor.start()
    with preflight.lent(executor):
        preflight(seed, population)

    assert [each.number for each in asked[0].failed] == [0]
