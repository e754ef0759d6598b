"""A search on scripted evaluations, for tests of the loop and of what the loop does with its parts."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators.base import MutationError, Operator
from operators.constants import ConstantsOperator
from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal
from search.acceptance import Confirm
from search.budget import Budget
from search.loop import Loop
from search.runs.ledger import Ledger
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.settings import Settings
from search.strategies.greedy import Greedy
from target.evaluation import Evaluation
from target.evidence import NO_EVIDENCE, Evidence
from target.program import Program
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


class Refusing:
    """Never makes a program; every proposal costs a cent."""

    name = "refusing"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        raise MutationError("no code block", Attempt(cost_usd=0.01))


class WatchfulExecutor(ScriptedExecutor):
    """Writes down of each pre-flight whether something trained when it began."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.overlapped: list[bool] = []

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[Evaluation | None]:
        self.overlapped.append(bool(self._open))
        return super().preflight(program, log, evidence=evidence)
