from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from operators.base import MutationError, Operator, ProviderError
from operators.constants import ConstantsOperator
from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal, Status
from search.acceptance import Confirm, Naive
from search.budget import Budget
from search.errors import SeedProgramError, UserError
from search.loop import Loop
from search.runs.ledger import Ledger
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.settings import Settings
from search.strategies.greedy import Greedy
from target.errors import TargetError
from target.evaluation import Evaluation
from target.evidence import NO_EVIDENCE, Evidence
from target.program import Program
from tests.search.command import verdicts_of
from tests.search.scripted import Score, ScriptedExecutor, ScriptedObserver

SEED_PROGRAM = Program("LR = 0.1\nDEPTH = 4  # knob: 2..24 int\n")


def bowl(program: Program, seed: int) -> float | None:
    """Score best at LR 0.01 and DEPTH 8, with noise of the seed; some programs crash."""
    rng = random.Random(f"{program.id} {seed}")
    if random.Random(program.id).random() < 0.15 and program.id != SEED_PROGRAM.id:
        return None
    rate, depth = float(program.constants["LR"]), int(program.constants["DEPTH"])
    return 1.0 + abs(rate - 0.01) + abs(depth - 8) / 10 + rng.gauss(0, 0.001)


@dataclass
class Bench:
    """A search on scripted evaluations; another call of `search` resumes it."""

    root: Path
    score: Score = bowl
    slots: int = 2
    operator: Operator = field(default_factory=lambda: ConstantsOperator(max_changes=2, step=0.5))
    settings: dict[str, Any] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    make_executor: Callable[..., ScriptedExecutor] = ScriptedExecutor

    def search(
        self,
        *,
        trainings: int = 12,
        after: Callable[[Population], None] = lambda population: None,
        interrupt_after: int | None = None,
        **executor: Any,
    ) -> Summary:
        self.run = RunDirectory(self.root)
        self.run.create()
        self.ledger = Ledger(self.run)
        self.executor = self.make_executor(self.score, slots=self.slots, **executor)

        def watch(population: Population) -> None:
            written = json.loads(self.run.summary.read_text())
            assert written == self.observer.summaries[-1].to_json(), "files come before those who watch"
            after(population)
            if interrupt_after is not None and len(population.decided) >= interrupt_after:
                self.interrupt()

        self.observer = ScriptedObserver(self.executor, watch)
        settings = {
            "name": "bench",
            "strategy_name": "greedy",
            "seed": 0,
            "seed_program": SEED_PROGRAM,
            "strategy": Greedy(),
            "operator": self.operator,
            "acceptance": Confirm(seed=0),
            "budget": Budget(trainings=trainings),
            "propose_ahead": 0,
            "max_failures": 50,
            **self.settings,
        }
        self.current = Loop(
            Settings(**settings),
            run=self.run,
            ledger=self.ledger,
            executor=self.executor,
            observer=self.observer,
            clock=self.clock,
            tick_seconds=0,
        )
        return self.current.run()

    def interrupt(self) -> None:
        self.current.interrupt("interrupted by SIGINT")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def check(bench: Bench, summary: Summary) -> None:
    """What holds after every session of every search."""
    population = bench.ledger.population
    assert Ledger(bench.run).population == population
    assert json.loads(bench.run.summary.read_text()) == summary.to_json()
    assert summary.trainings == sum(run.trained for trial in population.trials for run in trial.evaluations)
    assert summary.trials == len(population.trials)
    assert sum(summary.outcomes.values()) == len(population.decided)
    rows = [line.split("\t") for line in bench.run.results.read_text().splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [(str(t.number), t.status.value) for t in population.decided]
    assert all((bench.run.trial(trial.number) / "result.json").exists() for trial in population.decided)
    measured = [(trial.number, run.seed) for trial in population.trials for run in trial.evaluations if run.trained]
    assert len(set(measured)) == len(measured), "nothing is counted twice"
    if population.champion:
        assert summary.best_trial == population.champion.number
        assert summary.best_val_bpb == population.scores[population.champion.number]


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


def test_it_finds_something_better(bench: Bench) -> None:
    summary = bench.search(trainings=60)

    assert summary.baseline_val_bpb is not None
    assert summary.best_val_bpb is not None
    assert summary.best_val_bpb < summary.baseline_val_bpb - 0.05


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


def test_a_crashed_baseline_stops_the_search(bench: Bench) -> None:
    bench.score = lambda program, seed: None
    with pytest.raises(SeedProgramError, match=r"the seed program does not score.*crashed: exit 1.*trials/0000"):
        bench.search()

    summary = bench.observer.summaries[-1]
    assert summary.status == "stopped"
    assert summary.best_val_bpb is None
    check(bench, summary)


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


class Refusing:
    """Never makes a program; every proposal costs a cent."""

    name = "refusing"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        raise MutationError("no code block", Attempt(cost_usd=0.01))


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


class Echo:
    """Makes the same program every time."""

    name = "echo"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        return Mutation(program=Program("LR = 0.2\nDEPTH = 4\n"), operator="echo", description="again", cost_usd=0.01)


def test_a_program_is_never_a_second_candidate(bench: Bench) -> None:
    bench.operator = Echo()
    bench.settings = {"max_failures": 5}
    summary = bench.search()

    repeats = [trial for trial in bench.ledger.population.trials if trial.status is Status.NOT_BUILT]
    assert {trial.detail for trial in repeats} == {"the same program as trial 1"}
    assert summary.cost_usd == pytest.approx(0.01 * (len(repeats) + 1))
    check(bench, summary)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_a_program_proposed_again_is_measured_again_and_not_for_ever(bench: Bench, slots: int) -> None:
    bench.operator, bench.slots = Echo(), slots
    bench.settings = {"max_failures": 9}
    bench.score = lambda program, seed: 2.0 + (seed % 7) / 100 + (program != SEED_PROGRAM) / 1000
    summary = bench.search(trainings=50)

    assert "nothing new to propose: 9 trials in a row" in summary.stop_reason, "no budget is spent on repeats"
    trained = bench.ledger.population.trials[1].trainings
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
    pending = [trial.proposal for trial in bench.ledger.population.pending]
    assert pending

    bench.operator = Outage(good=99)
    summary = bench.search()
    assert summary.trainings == 12
    assert [bench.ledger.population.trials[4].proposal] == pending[-1:]
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


class WatchfulExecutor(ScriptedExecutor):
    """Writes down of each pre-flight whether something trained when it began."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.overlapped: list[bool] = []

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[Evaluation | None]:
        self.overlapped.append(bool(self._open))
        return super().preflight(program, log, evidence=evidence)


class WaitingExecutor(WatchfulExecutor):
    """Ends no training of a candidate before the next program has passed its pre-flight, or seconds have passed."""

    give_up_seconds = 10.0

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


def test_one_slot_repeats_a_search_exactly(tmp_path: Path) -> None:
    benches = [Bench(tmp_path / name, slots=1) for name in ("a", "b")]
    for bench in benches:
        bench.search(trainings=15)

    assert benches[0].ledger.population == benches[1].ledger.population
    other = Bench(tmp_path / "c", slots=1, settings={"seed": 1, "acceptance": Naive(seed=1)})
    other.search(trainings=15)
    assert other.ledger.population.trials[0].proposal.seed == 1
    assert other.ledger.population.trials[1].program != benches[0].ledger.population.trials[1].program


def gain(program: Program, seed: int) -> float:
    return 2.0 if program == SEED_PROGRAM else 1.0


def no_gain(program: Program, seed: int) -> float:
    return 2.0 if program == SEED_PROGRAM else 3.0


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


def test_every_training_has_a_log_of_its_own_and_is_told(bench: Bench) -> None:
    bench.search(trainings=20)

    trials = bench.ledger.population.trials
    logs = {trial.number: len(list(bench.run.trial(trial.number).glob("run*.log"))) for trial in trials}
    assert logs == {trial.number: trial.trainings for trial in trials}
    told = [(trial.number, run.seed) for trial in trials for run in trial.evaluations]
    assert sorted(bench.observer.measurements) == sorted(told)


def test_a_crash_in_training_is_no_reason_to_give_up(bench: Bench) -> None:
    bench.score = lambda program, seed: 2.0 if program == SEED_PROGRAM else None
    bench.settings = {"max_failures": 3}
    summary = bench.search()

    assert summary.stop_reason == "budget.trainings=12 reached"
    assert summary.outcomes == {"crashed": 10, "ok": 1}


def test_time_adds_up_over_the_slots_and_the_sessions(bench: Bench) -> None:
    bench.slots, bench.clock = 5, itertools.count().__next__
    first, last = bench.search(trainings=20), bench.search(trainings=24)
    busy_seconds = [each.busy_fraction * each.wall_seconds * bench.slots for each in (first, last)]

    assert last.wall_seconds > first.wall_seconds
    assert 0 < busy_seconds[0] < busy_seconds[1]
    assert max(first.busy_fraction, last.busy_fraction) <= 1


def test_nothing_is_proposed_that_cannot_be_trained(bench: Bench) -> None:
    bench.slots, bench.score = 5, no_gain
    bench.settings = {"propose_ahead": 3}
    bench.search(trainings=8)

    assert bench.ledger.population.pending == ()


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


class Surrogate:
    """Writes what no file can hold, into the program or into the words about it."""

    name = "surrogate"

    def __init__(self, source: str) -> None:
        self._source = source

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        program = Program(self._source.replace("SEED", str(proposal.seed)))
        return Mutation(program=program, operator="surrogate", description="\udc80 \ud800", rationale="\ud800")


def test_a_program_that_is_no_text_is_not_built(bench: Bench) -> None:
    bench.operator = Surrogate("A = '\ud800', SEED\n")
    bench.settings = {"max_failures": 3}
    summary = bench.search()

    assert summary.outcomes["not_built"] >= 3
    assert "lone surrogate" in bench.ledger.population.trials[1].detail
    check(bench, summary)


def test_words_that_no_file_can_hold_are_escaped(bench: Bench) -> None:
    bench.operator = Surrogate("LR = 0.0SEED\nDEPTH = 4\n")
    summary = bench.search(trainings=5)

    assert "\\ud800" in bench.run.results.read_text()
    check(bench, summary)


def test_a_champion_that_is_measured_again_has_it_in_its_folder(bench: Bench) -> None:
    bench.search(trainings=40)
    for trial in bench.ledger.population.decided:
        result = json.loads((bench.run.trial(trial.number) / "result.json").read_text())
        assert len(result["evaluations"]) == len(trial.evaluations)


def test_a_folder_that_a_crash_left_without_the_newest_training_gets_it_on_resume(bench: Bench) -> None:
    bench.search(trainings=40)
    again = next(trial for trial in bench.ledger.population.decided if len(trial.evaluations) > 1)
    path = bench.run.trial(again.number) / "result.json"
    stale = json.loads(path.read_text())
    path.write_text(json.dumps({**stale, "evaluations": stale["evaluations"][:-1]}))
    bench.search(trainings=40)

    assert json.loads(path.read_text())["evaluations"] == stale["evaluations"]


def test_every_training_keeps_its_own_log(bench: Bench) -> None:
    bench.search(trainings=12, interrupt_after=3)
    bench.search(trainings=12)
    for trial in bench.ledger.population.decided:
        logs = {path.name for path in bench.run.trial(trial.number).glob("run*.log")}
        n_trained = sum(run.trained for run in trial.evaluations)
        assert {"run.log" if index == 0 else f"run-{index + 1}.log" for index in range(n_trained)} == logs


def test_time_is_counted_up_to_an_interruption(bench: Bench) -> None:
    first = bench.search(trainings=20, interrupt_after=4)

    assert Ledger(bench.run).elapsed.wall_seconds >= first.wall_seconds
    assert bench.search(trainings=20).wall_seconds > first.wall_seconds


def test_candidates_for_champion_are_probed_thoroughly(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    summary = bench.search(trainings=14)

    trained, probed = bench.executor.trained, bench.executor.probed
    firsts = {program for program, _ in trained} - {SEED_PROGRAM.id}
    assert [run for run in trained if run[0] == SEED_PROGRAM.id] == [run for run in probed if run[0] == SEED_PROGRAM.id]
    assert len(trained) - len(probed) == len(firsts), "all but the first training of each candidate"
    assert summary.trainings == 14
