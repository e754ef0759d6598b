"""The loop: budgets are kept, the seed program is the baseline, and failures end what they must and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.population import Population
from operators.rest import Rest
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Confirm, Measure, Naive, Verdict, training_seed
from search.budget import Budget
from search.errors import SeedProgramError
from search.runs.ledger import Ledger
from search.runs.rundir import RunDirectory
from target.program import Program
from tests.search.bench import SEED_PROGRAM, Bench, Refusing, bowl, check


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("trainings", [1, 2, 3, 12, 40])
def test_the_budget_of_trainings_is_exact(bench: Bench, slots: int, trainings: int) -> None:
    bench.slots = slots
    summary = bench.search(trainings=trainings)

    assert summary.status == "finished"
    assert summary.stop_reason == f"budget.trainings={trainings} reached"
    assert summary.trainings == len(bench.executor.trained) == trainings
    assert bench.executor.most_at_once <= slots
    assert (summary.baseline_val_bpb is not None) and bench.ledger.population.trials[0].status is Status.BASELINE
    check(bench, summary)


class OutOfReach:
    """Has a provider that gives it nothing until long after the hours of the search."""

    name = "out of reach"

    def __init__(self) -> None:
        self.rest, self.hours = Rest(), 0.0

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        self.hours = 9
        self.rest.sleep(60)
        raise AssertionError("the wait did not end with the search")


@pytest.mark.parametrize("slots", [1, 3])
def test_a_wait_for_a_provider_ends_with_the_hours_of_the_search(bench: Bench, slots: int) -> None:
    bench.slots, bench.operator = slots, (operator := OutOfReach())
    bench.clock = lambda: 3600 * operator.hours
    bench.settings = {"rest": operator.rest, "budget": Budget(hours=8)}
    summary = bench.search()

    assert (summary.status, summary.stop_reason) == ("finished", "budget.hours=8 reached")
    assert bench.ledger.population.pending, "the proposal is repeated if the search goes on with more hours"
    check(bench, summary)


def test_it_finds_something_better(bench: Bench) -> None:
    summary = bench.search(trainings=60)

    assert summary.baseline_val_bpb is not None
    assert summary.best_val_bpb is not None
    assert summary.best_val_bpb < summary.baseline_val_bpb - 0.05


def test_a_crashed_baseline_stops_the_search(bench: Bench) -> None:
    bench.score = lambda program, seed: None
    with pytest.raises(SeedProgramError, match=r"the seed program does not score.*crashed: exit 1.*trials/0000"):
        bench.search()

    summary = bench.observer.summaries[-1]
    assert summary.status == "stopped"
    assert summary.best_val_bpb is None
    check(bench, summary)


FIRST, SECOND, THIRD = (training_seed(0, index) for index in range(3))


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("unlucky", [FIRST, SECOND])
def test_a_seed_program_may_fail_on_one_seed_and_another_takes_its_place(
    bench: Bench, slots: int, unlucky: int
) -> None:
    bench.slots = slots
    bench.settings = {"acceptance": Confirm(seed=0, rotate=False)}
    bench.score = lambda program, seed: None if (program, seed) == (SEED_PROGRAM, unlucky) else bowl(program, seed)
    summary = bench.search(trainings=30)

    first, *others = bench.ledger.population.trials
    assert first.status is Status.BASELINE
    assert set(first.values) == {FIRST, SECOND, THIRD} - {unlucky}
    assert {seed for trial in others for seed in trial.values} == set(first.values), "compared where it scored"
    (warning,) = bench.observer.said
    assert "the seed program failed once: exit 1; it " in warning
    assert f"crashed on seed {unlucky}" in warning
    assert summary.baseline_val_bpb == pytest.approx(sum(first.values.values()) / 2)
    assert summary.status == "finished"
    check(bench, summary)


@pytest.mark.parametrize(
    ("variable", "noise", "warnings"), [("GRAFT_SEED", 0.0, 1), ("GRAFT_SEED", 1e-9, 0), ("", 0.0, 0)]
)
def test_a_seed_program_that_ignores_its_seed_is_told_once_where_it_should_have_read_it(
    bench: Bench, variable: str, noise: float, warnings: int
) -> None:
    bench.settings = {"seed_variable": variable}
    bench.score = lambda program, seed: 1.0 + float(program.constants["LR"]) + noise * (seed == FIRST)
    bench.search(trainings=20)

    said = [text for text in bench.observer.said if "exactly the same score on 2 training seeds" in text]
    assert len(said) == warnings


@pytest.mark.parametrize("scores_on", [[], [FIRST], [SECOND], [THIRD]])
def test_a_seed_program_that_fails_on_two_seeds_ends_the_search(bench: Bench, scores_on: list[int]) -> None:
    bench.slots = 1
    bench.score = lambda program, seed: bowl(program, seed) if seed in scores_on else None
    tried = [FIRST, SECOND] if scores_on in ([], [THIRD]) else [FIRST, SECOND, THIRD]

    message = "fails too often for a search.* scored on seed .*; mend it" if len(tried) == 3 else "does not score"
    with pytest.raises(SeedProgramError, match=message):
        bench.search()
    assert [seed for _, seed in bench.executor.trained] == tried


def test_a_budget_that_ends_before_the_seed_program_has_a_score_says_so(bench: Bench) -> None:
    bench.score = lambda program, seed: None

    with pytest.raises(SeedProgramError, match="does not score"):
        bench.search(trainings=1)


def test_a_rule_that_asks_for_the_same_seed_again_ends_the_search(bench: Bench) -> None:
    class Fixed(Naive):
        def step(self, trial: Trial, population: Population) -> Measure | Verdict:
            return Verdict(Status.BASELINE) if trial.measurement(FIRST) else Measure(((trial.number, FIRST),))

    bench.score, bench.settings = (lambda program, seed: None), {"acceptance": Fixed(seed=0)}
    with pytest.raises(SeedProgramError, match="does not score"):
        bench.search()
    assert len(bench.executor.trained) == 1


def test_a_refused_baseline_stops_the_search_without_a_training(bench: Bench) -> None:
    with pytest.raises(SeedProgramError, match="no build_model"):
        bench.search(refuse=lambda program: True)

    assert bench.executor.trained == []
    assert bench.observer.summaries[-1].outcomes == {"rejected": 1}


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_a_program_that_waits_from_the_start_is_measured_after_the_baseline(bench: Bench, slots: int) -> None:
    bench.slots = slots
    better = Program("LR = 0.02\nDEPTH = 8\n")
    run = RunDirectory(bench.root)
    run.create()
    ledger = Ledger(run)
    for program, parents in ((SEED_PROGRAM, ()), (better, (0,))):
        number = ledger.propose(Proposal(parents=parents, seed=0, operator="seed"))
        ledger.build(number, Mutation(program=program, operator="seed", description=""))
    summary = bench.search()

    first, second = bench.ledger.population.trials[:2]
    assert first.status is Status.BASELINE
    assert second.status in (Status.KEEP, Status.DISCARD)  # another may be better by then
    order = list(dict.fromkeys(program for program, _ in bench.executor.trained))
    assert order[:2] == [SEED_PROGRAM.id, better.id]
    assert all(program == SEED_PROGRAM.id for program, _ in bench.executor.trained[:2])
    check(bench, summary)


def test_a_refused_program_costs_no_training(bench: Bench) -> None:
    summary = bench.search(refuse=lambda program: program.constants["DEPTH"] != 4)

    assert summary.trainings == 12
    assert summary.outcomes["rejected"] > 0
    check(bench, summary)


def test_an_operator_that_never_builds_anything_ends_the_search(bench: Bench) -> None:
    bench.slots = 1
    bench.operator = Refusing()
    bench.settings = {"max_failures": 7}
    summary = bench.search()

    assert summary.status == "stopped"
    assert summary.stop_reason == "7 trials in a row produced nothing to train; the last: no code block"
    assert summary.outcomes == {"not_built": 7, "ok": 1}
    assert summary.cost_usd == pytest.approx(0.07)
    check(bench, summary)


def test_the_usd_budget_counts_failures_too(bench: Bench) -> None:
    bench.operator = Refusing()
    bench.settings = {"budget": Budget(usd=0.05)}
    summary = bench.search()

    assert summary.stop_reason == "budget.usd=0.05 reached"
    assert 0.05 <= summary.cost_usd < 0.065  # what was under way in the other slot is paid for


def test_one_slot_repeats_a_search_exactly(tmp_path: Path) -> None:
    benches = [Bench(tmp_path / name, slots=1) for name in ("a", "b")]
    for bench in benches:
        bench.search(trainings=15)

    assert benches[0].ledger.population == benches[1].ledger.population
    other = Bench(tmp_path / "c", slots=1, settings={"seed": 1, "acceptance": Naive(seed=1)})
    other.search(trainings=15)
    assert other.ledger.population.trials[0].proposal.seed == 1
    assert other.ledger.population.trials[1].program != benches[0].ledger.population.trials[1].program


def test_a_crash_in_training_is_no_reason_to_give_up(bench: Bench) -> None:
    bench.score = lambda program, seed: 2.0 if program == SEED_PROGRAM else None
    bench.settings = {"max_failures": 3}
    summary = bench.search()

    assert summary.stop_reason == "budget.trainings=12 reached"
    assert summary.outcomes == {"crashed": 10, "ok": 1}


def test_candidates_for_champion_are_probed_thoroughly(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    summary = bench.search(trainings=14)

    trained, probed = bench.executor.trained, bench.executor.probed
    firsts = {program for program, _ in trained} - {SEED_PROGRAM.id}
    assert [run for run in trained if run[0] == SEED_PROGRAM.id] == [run for run in probed if run[0] == SEED_PROGRAM.id]
    assert len(trained) - len(probed) == len(firsts), "all but the first training of each candidate"
    assert summary.trainings == 14
