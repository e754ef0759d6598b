"""A program that is proposed again is no second candidate, and costs no more than it can change."""

from __future__ import annotations

import pytest

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from target.program import Program
from tests.search.bench import SEED_PROGRAM, Bench, check


class Echo:
    """Makes the same program every time."""

    name = "echo"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        return Mutation(program=Program("LR = 0.2\nDEPTH = 4\n"), operator="echo", description="again", cost_usd=0.01)


def candidate(bench: Bench) -> Trial:
    """Return the trial whose thread was the first to make the program; the others have repeated it."""
    (trial,) = (trial for trial in bench.ledger.population.trials[1:] if trial.program and trial.trainings)
    return trial


def test_a_program_is_never_a_second_candidate(bench: Bench) -> None:
    bench.operator = Echo()
    bench.settings = {"max_failures": 5}
    summary = bench.search()

    repeats = [trial for trial in bench.ledger.population.trials if trial.status is Status.NOT_BUILT]
    assert {trial.detail for trial in repeats} == {f"the same program as trial {candidate(bench).number}"}
    assert summary.cost_usd == pytest.approx(0.01 * (len(repeats) + 1))
    check(bench, summary)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_a_program_proposed_again_is_measured_again_and_not_for_ever(bench: Bench, slots: int) -> None:
    bench.operator, bench.slots = Echo(), slots
    bench.settings = {"max_failures": 9}
    bench.score = lambda program, seed: 2.0 + (seed % 7) / 100 + (program != SEED_PROGRAM) / 1000
    summary = bench.search(trainings=50)

    assert "nothing new to propose: 9 trials in a row" in summary.stop_reason, "no budget is spent on repeats"
    trained = candidate(bench).trainings
    assert trained == 2  # the gate it failed, and the one seed of the pair that it did not have
    assert summary.trainings == 2 + trained
    check(bench, summary)


def test_a_repeat_of_what_is_out_of_reach_costs_no_training(bench: Bench) -> None:
    bench.operator, bench.slots = Echo(), 1
    bench.settings = {"max_failures": 5}
    bench.score = lambda program, seed: 2.0 + (seed % 7) / 100 + (program != SEED_PROGRAM)
    bench.search(trainings=50)

    assert bench.ledger.population.trials[1].trainings == 1


def test_no_repeat_is_measured_beyond_the_budget(bench: Bench) -> None:
    bench.operator, bench.slots = Echo(), 1
    bench.score = lambda program, seed: 2.0 + (seed % 7) / 100 + (program != SEED_PROGRAM) / 1000
    summary = bench.search(trainings=3)

    assert summary.stop_reason == "budget.trainings=3 reached"
    assert summary.trainings == 3
    check(bench, summary)
