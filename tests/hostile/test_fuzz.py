"""Random hostile programs from a grammar, against the evaluator and the search.

Each must end in a verdict, leave no process and no file, and change nothing for the honest program that comes after.
`pytest tests/hostile/test_fuzz.py --fuzz 300 --fuzz-seed 1000` runs other programs than those of every day.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from operators.population import Population
from operators.trial import Mutation, Proposal
from search.acceptance import Naive
from search.budget import Budget
from search.loop import Loop
from search.runs.ledger import Ledger
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.settings import Settings
from search.strategies.greedy import Greedy
from target.evaluation import Evaluation, Outcome
from target.evaluator import Evaluator
from target.executor import LocalExecutor
from target.feedback import DETAIL_CHARACTERS
from target.printable import printable
from target.program import Program
from target.trained import TrainedKind
from tests.hostile.grammar import GRANTS, Case, make_case
from tests.target.candidates import HONEST
from tests.target.conftest import alive, below

EVERY_DAY = 40  # programs
KEPT = (1110, 1227)  # seeds of programs that broke something once: infinite values of probes in result.json
HONEST_AFTER = 10  # programs
SEED = 3
SAME_BPB = 1e-6  # equal weights in rows of another order: the sums are rounded otherwise
LEAST_BPB_FRACTION = 0.8  # of the honest score: no act trains, so that a score below is none


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        given = metafunc.config.getoption("fuzz", default=None)
        first = metafunc.config.getoption("fuzz_seed", default=0)
        seeds = (*KEPT, *range(first, first + (EVERY_DAY if given is None else given)))
        cases = [make_case(seed) for seed in dict.fromkeys(seeds)]
        metafunc.parametrize("case", cases, ids=[f"seed {case.seed}" for case in cases])


@pytest.fixture(scope="module", autouse=True)
def guarded(in_force: frozenset[str]) -> None:
    """Random system calls and signals are for candidates in a sandbox; without one they would be for this machine."""
    if not {"L", "S"} <= in_force:
        pytest.skip("random hostile programs are run only where Landlock and seccomp keep them from this machine")


class Watch:
    """What must be the same before and after each program."""

    def __init__(self, confine: Callable[[str], Evaluator], scratch: Path, log: Path) -> None:
        self._confine = confine
        self._scratch = scratch
        self._log = log
        self._cases = 0
        self._honest: dict[str, Evaluation] = {}

    def honest(self, grant: str) -> Evaluation:
        """Evaluate the honest program, and return what it scored the first time."""
        found = self._confine(grant).evaluate(Program(HONEST), SEED, self._log)
        assert found.outcome is Outcome.OK, found.detail
        first = self._honest.setdefault(grant, found)
        assert found.weights_sha256 == first.weights_sha256
        assert found.score == pytest.approx(first.score, abs=SAME_BPB)
        assert found.isolation == first.isolation
        return first

    def first(self, grant: str) -> Evaluation:
        return self._honest.get(grant) or self.honest(grant)

    def count(self) -> None:
        self._cases += 1
        if self._cases % HONEST_AFTER == 0:
            for grant in GRANTS:
                self.honest(grant)

    def processes(self, evaluator: Evaluator) -> set[int]:
        """Return all that is below this process, but for the zygote of an evaluator and what wraps it."""
        zygote = psutil.Process(evaluator.zygote_pid)
        own = {zygote.pid, *(each.pid for each in zygote.parents())}
        return {each.pid for each in alive(psutil.Process().children(recursive=True))} - own

    def files(self) -> set[Path]:
        return {path for folder in self._scratch.iterdir() for path in (folder, *folder.rglob("*"))}


@pytest.fixture(scope="module")
def watch(confine, scratch, tmp_path_factory) -> Watch:
    return Watch(confine, scratch, tmp_path_factory.mktemp("honest") / "log")


def check_verdict(found: Evaluation) -> None:
    """What holds for every evaluation, whatever the program did."""
    assert found.outcome in Outcome
    assert found.detail == printable(found.detail)
    assert len(found.detail) <= DETAIL_CHARACTERS
    assert bool(found.detail) == (found.outcome is not Outcome.OK)
    record = found.to_json()
    assert json.loads(json.dumps(record)) == json.loads(json.dumps(record, allow_nan=False))
    assert Evaluation.from_json(json.loads(json.dumps(record))) == found
    assert found.score is None or math.isfinite(found.score)


def test_a_random_hostile_program_gets_a_verdict_and_leaves_nothing(confine, watch, log, count, case: Case):
    sys.stdout.write(f"seed {case.seed}, grants of {case.grant}: {', '.join(case.acts)}\n{case.source}")  # if it fails
    evaluator, honest = confine(case.grant), watch.first(case.grant)
    files, processes, here = watch.files(), watch.processes(evaluator), Path.cwd()

    refused = evaluator.preflight(Program(case.source), log) if case.seed % 3 == 0 else None
    found = evaluator.evaluate(Program(case.source), SEED, log)

    count(found)
    if refused is not None:
        check_verdict(refused)
        assert not refused.trained
    check_verdict(found)
    assert found.score is None or found.score > LEAST_BPB_FRACTION * honest.score
    assert "STOLEN" not in log.read_text(errors="replace")
    assert below(evaluator.zygote_pid) == []
    assert watch.processes(evaluator) <= processes
    assert watch.files() == files
    assert Path.cwd() == here
    watch.count()


@pytest.mark.parametrize("grant", GRANTS)
def test_the_honest_program_scores_as_before(watch, grant):
    watch.honest(grant)


def test_a_seed_is_a_program_and_every_act_has_its_turn():
    cases = [make_case(seed) for seed in range(500)]

    assert cases == [make_case(seed) for seed in range(500)]
    assert len({case.source for case in cases}) > 490
    for case in cases:
        compile(case.source, f"seed {case.seed}", "exec")
    acts, places = (
        set(words) for words in zip(*(act.split(" at ") for case in cases for act in case.acts), strict=True)
    )
    assert len(acts) == 13
    assert len(places) == 16


class Fuzz:
    """An operator whose programs are those of the grammar."""

    name = "fuzz"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        case = make_case(proposal.seed)
        words = ", ".join(case.acts)
        return Mutation(program=Program(case.source), operator=self.name, description=words)


class Observer:
    """Interrupts a search after some verdicts."""

    def __init__(self, verdicts: int | None) -> None:
        self.verdicts = verdicts
        self.search: Loop | None = None

    def recorded(self, population: Population, summary: Summary) -> None:
        if self.verdicts is not None and len(population.decided) >= self.verdicts and self.search:
            self.search.interrupt("interrupted by the test")

    def measured(self, trial: object, evaluation: Evaluation) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def tick(self, running: object) -> None:
        """Do nothing."""


def search_session(root: Path, executor: LocalExecutor, *, trainings: int, verdicts: int | None = None) -> Summary:
    run = RunDirectory(root)
    run.create()
    observer = Observer(verdicts)
    settings = Settings(
        name="fuzz",
        strategy_name="greedy",
        seed=SEED,
        seed_program=Program(HONEST),
        strategy=Greedy(),
        operator=Fuzz(),
        acceptance=Naive(seed=SEED),
        budget=Budget(trainings=trainings),
        propose_ahead=0,
        max_failures=50,
    )
    observer.search = Loop(settings, run=run, ledger=Ledger(run), executor=executor, observer=observer)
    return observer.search.run()


def test_a_search_over_random_hostile_programs_ends_and_resumes(hostile_spec, corpus, tmp_path):
    root, before = tmp_path / "run", {each.pid for each in psutil.Process().children()}
    executor = LocalExecutor(TrainedKind(hostile_spec, corpus=corpus), workers=1, preflight_workers=0)
    executor.start()
    try:
        interrupted = search_session(root, executor, trainings=8, verdicts=3)
        resumed = search_session(root, executor, trainings=8)
    finally:
        executor.close()

    assert interrupted.status == "stopped"
    assert (resumed.status, resumed.stop_reason) == ("finished", "budget.trainings=8 reached")
    population = Ledger(RunDirectory(root)).population
    assert population.trials[0].evaluations[0].outcome is Outcome.OK
    for trial in population.decided:
        for evaluation in trial.evaluations:
            check_verdict(evaluation)
    text = (root / "results.tsv").read_text()
    assert text == printable(text)
    assert {each.pid for each in alive(psutil.Process().children())} <= before
