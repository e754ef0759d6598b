"""A search that ended, for whatever reason, goes on where it was: nothing is lost and nothing trained twice."""

from __future__ import annotations

import itertools
import json

import pytest

from operators.base import ProviderError
from operators.constants import ConstantsOperator
from operators.population import Population
from operators.trial import Mutation, Proposal, Status
from search.errors import SeedProgramError, UserError
from search.runs.ledger import Ledger
from target.errors import TargetError
from target.program import Program
from tests.search.bench import SEED_PROGRAM, Bench, Refusing, check
from tests.search.command import verdicts_of


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 5, 8])
def test_an_interrupted_search_resumes_where_it_was(bench: Bench, stop_after: int) -> None:
    first = bench.search(trainings=20, interrupt_after=stop_after)
    assert (first.status, first.stop_reason) == ("stopped", "interrupted by SIGINT")
    assert first.trainings < 20, "it does not go on to the end of the budget"
    check(bench, first)
    finished = {(t.number, r.seed) for t in bench.ledger.population.trials for r in t.evaluations}
    rows = verdicts_of(bench.run.root)

    last = bench.search(trainings=20)
    check(bench, last)
    assert last.status == "finished"
    assert last.trainings == 20
    assert len(bench.executor.trained) == 20 - len(finished), "what was finished is not trained again"
    assert verdicts_of(bench.run.root)[: len(rows)] == rows, "verdicts are final"


def test_a_finished_search_goes_on_with_a_larger_budget(bench: Bench) -> None:
    bench.search(trainings=6)
    summary = bench.search(trainings=10)

    assert len(bench.executor.trained) == 4
    assert summary.trainings == 10
    check(bench, summary)


def test_resuming_a_finished_search_trains_nothing(bench: Bench) -> None:
    before = bench.search(trainings=6)
    again = bench.search(trainings=6)

    assert bench.executor.trained == []
    assert again.outcomes == before.outcomes
    check(bench, again)


class Outage:
    """Works until the provider is out of order."""

    name = "outage"

    def __init__(self, good: int) -> None:
        self._good = good
        self._operator = ConstantsOperator(max_changes=2, step=0.5)

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        if len(population.trials) > self._good:
            raise ProviderError("503 from the provider for 10 minutes")
        return self._operator.mutate(proposal, population)


def test_an_outage_stops_the_search_and_consumes_no_trial(bench: Bench) -> None:
    bench.operator = Outage(good=4)
    with pytest.raises(ProviderError):
        bench.search()
    assert bench.observer.summaries[-1].status == "stopped"
    pending = {trial.number: trial.proposal for trial in bench.ledger.population.pending}
    assert any(number >= 4 for number in pending), "one that the provider did not answer, or both slots'"

    bench.operator = Outage(good=99)
    summary = bench.search()
    assert summary.trainings == 12
    assert {number: bench.ledger.population.trials[number].proposal for number in pending} == pending
    check(bench, summary)


def test_a_broken_machine_stops_the_search_and_loses_nothing(bench: Bench) -> None:
    with pytest.raises(TargetError, match="fell off the bus"):
        bench.search(fail_at=6)
    done = bench.ledger.population.trainings

    summary = bench.search()
    assert len(bench.executor.trained) == 12 - done
    check(bench, summary)


def test_a_program_that_ends_every_session_is_given_up_at_the_third(bench: Bench) -> None:
    bench.slots = 1
    bench.search(trainings=3)
    known = {trial.program.id for trial in bench.ledger.population.trials if trial.program}

    def fails(program: Program) -> bool:
        known_bad = {trial.program.id for trial in bench.ledger.population.trials[2:3] if trial.program}
        return program.id in known_bad and program.id not in known

    for _ in range(2):
        with pytest.raises(TargetError, match="fell off the bus"):
            bench.search(fails=fails)
    summary = bench.search(fails=fails)

    assert (summary.status, summary.trainings) == ("finished", 12)
    bad = bench.ledger.population.trials[2]
    assert bad.status is Status.CRASHED
    assert bad.detail.startswith("given up: each of 3 attempts")
    assert "fell off the bus" in bad.detail
    check(bench, summary)


def test_the_seed_program_is_never_given_up_for_a_machine_that_fails(bench: Bench) -> None:
    for _ in range(5):
        with pytest.raises(TargetError, match="fell off the bus"):
            bench.search(fails=lambda program: True)

    assert bench.search().status == "finished"


def test_a_changed_seed_program_is_refused(bench: Bench) -> None:
    bench.search(trainings=3)
    bench.settings = {"seed_program": Program("LR = 0.3\nDEPTH = 4\n")}
    with pytest.raises(UserError, match=r"began with program \w+, the seed program is now \w+"):
        bench.search()


def test_a_seed_program_that_was_mended_needs_another_folder(bench: Bench) -> None:
    bench.score = lambda program, seed: None
    with pytest.raises(SeedProgramError):
        bench.search()
    bench.settings = {"seed_program": Program("LR = 0.3\nDEPTH = 4\n")}
    with pytest.raises(UserError, match=r"the first did not score \(crashed\), so choose another name, or remove "):
        bench.search()


def gain(program: Program, seed: int) -> float:
    return 2.0 if program == SEED_PROGRAM else 1.0


def test_an_interrupted_confirmation_is_taken_up_where_it_was(bench: Bench) -> None:
    def interrupt_the_confirmation(program: Program, seed: int) -> float:
        if [known for known, _ in bench.executor.trained].count(program.id) == 2 and program != SEED_PROGRAM:
            bench.interrupt()
        return gain(program, seed)

    bench.slots, bench.score = 1, interrupt_the_confirmation
    bench.search()
    promising = bench.ledger.population.trials[1]
    assert promising.status is Status.PENDING, "an interrupt is no verdict"
    assert len(promising.evaluations) == 1

    bench.score = gain
    summary = bench.search(refuse=lambda program: program == promising.program)  # it has passed already
    assert bench.ledger.population.trials[1].status is Status.KEEP
    assert [run.seed for run in bench.ledger.population.trials[1].evaluations][:1] == [promising.evaluations[0].seed]
    check(bench, summary)


def test_time_adds_up_over_the_slots_and_the_sessions(bench: Bench) -> None:
    bench.slots, bench.clock = 5, itertools.count().__next__
    first, last = bench.search(trainings=20), bench.search(trainings=24)
    busy_seconds = [each.busy_fraction * each.wall_seconds * bench.slots for each in (first, last)]

    assert last.wall_seconds > first.wall_seconds
    assert 0 < busy_seconds[0] < busy_seconds[1]
    assert max(first.busy_fraction, last.busy_fraction) <= 1


def test_a_folder_that_a_crash_left_out_is_written_on_resume(bench: Bench) -> None:
    bench.search(trainings=6)
    folders = [bench.run.trial(trial.number) for trial in bench.ledger.population.decided[-2:]]
    for folder in folders:
        (folder / "result.json").unlink()
        (folder / "train.py").unlink()
    bench.search(trainings=6)

    assert all((folder / name).exists() for folder in folders for name in ("result.json", "train.py"))


def test_a_search_that_gave_up_goes_on_with_a_better_operator(bench: Bench) -> None:
    bench.settings = {"max_failures": 4}
    working, bench.operator = bench.operator, Refusing()
    assert bench.search().status == "stopped"

    bench.operator = working
    summary = bench.search()
    assert (summary.status, summary.trainings) == ("finished", 12)
    check(bench, summary)


def test_what_has_finished_beside_a_breakdown_is_recorded(bench: Bench) -> None:
    with pytest.raises(TargetError):
        bench.search(fail_at=1, finish_all=True)  # the baseline is trained on two seeds at once

    assert len(bench.executor.trained) == 2
    assert bench.ledger.population.trainings == 1


def test_a_folder_that_a_crash_left_without_the_newest_training_gets_it_on_resume(bench: Bench) -> None:
    bench.search(trainings=40)
    again = next(trial for trial in bench.ledger.population.decided if len(trial.evaluations) > 1)
    path = bench.run.trial(again.number) / "result.json"
    stale = json.loads(path.read_text())
    path.write_text(json.dumps({**stale, "evaluations": stale["evaluations"][:-1]}))
    bench.search(trainings=40)

    assert json.loads(path.read_text())["evaluations"] == stale["evaluations"]


def test_time_is_counted_up_to_an_interruption(bench: Bench) -> None:
    first = bench.search(trainings=20, interrupt_after=4)

    assert Ledger(bench.run).elapsed.wall_seconds >= first.wall_seconds
    assert bench.search(trainings=20).wall_seconds > first.wall_seconds
