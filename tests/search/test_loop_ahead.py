"""Programs that are made while the slots train: how many, when, and what the strategy sees of them."""

from __future__ import annotations

import random
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Proposal
from search.strategies.greedy import Greedy
from target.evaluation import Evaluation
from target.program import Program
from tests.search.bench import SEED_PROGRAM, Bench, WatchfulExecutor, check


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_no_more_trials_are_under_way_than_slots_and_those_made_ahead(bench: Bench, ahead: int) -> None:
    bench.settings = {"propose_ahead": ahead}
    widest = 0

    def look(population: Population) -> None:
        nonlocal widest
        widest = max(widest, len(population.pending))

    summary = bench.search(trainings=20, after=look)
    assert widest <= bench.slots + ahead
    check(bench, summary)


class WaitingExecutor(WatchfulExecutor):
    """Ends no training of a candidate before the next program has passed its pre-flight, or seconds have passed."""

    give_up_seconds = 300.0

    def evaluate(self, program: Program, seed: int, log: Path, **flags: bool) -> Future[Evaluation]:
        self._deadline = time.monotonic() + self.give_up_seconds
        return super().evaluate(program, seed, log, **flags)

    def finish(self) -> None:
        programs = {program for program, _ in self.trained}
        is_baseline = programs == {SEED_PROGRAM.id}  # nothing is proposed before that is known
        if is_baseline or len(self.overlapped) > len(programs) or time.monotonic() > self._deadline:
            super().finish()


@pytest.mark.parametrize(("ahead", "per_slot"), [(1, 0), (None, 1)])
def test_the_next_program_is_preflighted_while_the_slot_trains(bench: Bench, ahead: int | None, per_slot: int) -> None:
    bench.slots, bench.score, bench.make_executor = 1, no_gain, WaitingExecutor
    bench.settings = {"propose_ahead": ahead, "ahead_per_slot": per_slot}
    seen: list[int] = []

    def stop_at_the_sixth(population: Population) -> None:
        seen.append(len(population.pending))
        if len(population.decided) >= 6:
            bench.interrupt()

    summary = bench.search(trainings=99, after=stop_at_the_sixth)

    assert isinstance(bench.executor, WatchfulExecutor)
    baseline, first, _, *later = bench.executor.overlapped  # the second is made together with the first
    assert not baseline
    assert not first, "before it there is nothing to train"
    assert len(later) >= 4
    assert all(later)
    assert max(seen) <= 2
    check(bench, summary)


@pytest.mark.parametrize(("ahead", "per_slot"), [(0, 1), (None, 0)])
def test_nothing_is_made_ahead_where_that_costs_more_than_it_brings(
    bench: Bench, ahead: int | None, per_slot: int
) -> None:
    bench.slots, bench.score, bench.make_executor = 1, no_gain, WatchfulExecutor
    bench.settings = {"propose_ahead": ahead, "ahead_per_slot": per_slot}
    summary = bench.search(trainings=6)

    assert isinstance(bench.executor, WatchfulExecutor)
    assert len(bench.executor.overlapped) >= 4
    assert not any(bench.executor.overlapped)
    check(bench, summary)


def test_a_strategy_sees_what_was_made_ahead(bench: Bench) -> None:
    asked: list[int] = []

    class Curious(Greedy):
        def ask(self, population: Population, rng: random.Random) -> Proposal:
            asked.append(len(population.pending))
            return super().ask(population, rng)

    bench.slots, bench.score, bench.make_executor = 1, no_gain, WatchfulExecutor
    bench.settings = {"propose_ahead": 1, "strategy": Curious()}
    bench.search(trainings=6)

    assert 1 in asked


def no_gain(program: Program, seed: int) -> float:
    return 2.0 if program == SEED_PROGRAM else 3.0


def test_nothing_is_proposed_that_cannot_be_trained(bench: Bench) -> None:
    bench.slots, bench.score = 5, no_gain
    bench.settings = {"propose_ahead": 3}
    bench.search(trainings=8)

    assert bench.ledger.population.pending == ()
