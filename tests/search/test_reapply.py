"""Edits that wait when a keep replaces their parent: the real loop and ledger, on scripted trainings."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import replace
from typing import Any

import pytest

from operators.base import MutationError
from operators.constants import describe_changes
from operators.population import Population
from operators.trial import Mutation, Proposal, Status
from search.acceptance import Naive
from search.models.models import WithModelChoice
from search.strategies.base import Strategy
from search.strategies.evolution import RegularisedEvolution
from search.strategies.greedy import Greedy
from search.strategies.random import RandomSearch
from search.stuck import StuckSettings
from search.styles import WithPrompts
from search.tasks import Stage
from target.program import Program
from tests.search.bench import Bench, WatchfulExecutor, check
from tests.waiting import wait_for

SEED = Program("LR = 0.1\nDEPTH = 4\nWIDTH = 8\n")
FASTER, DEEPER, SLOWER = ("LR = 0.1", "LR = 0.2"), ("DEPTH = 4", "DEPTH = 8"), ("LR = 0.1", "LR = 0.05")


DEPTHS = {"LR = 0.2": {}, "DEPTH = 8": {"DEPTH": 8}}


class Script:
    """Makes one edit for each trial, in their order; then it gives up.

    The edit that trial 1 was proposed with gains, and the others do not.

    Attributes:
        bench: Its search. Operators run in threads: each edit waits until the search has the one before it.
    """

    name = "script"
    bench: Bench

    def __init__(self, *edits: tuple[str, str]) -> None:
        self._edits = edits

    def _is_known(self, number: int) -> bool:
        trial = self.bench.ledger.population.trials[number]
        return trial.mutation is not None or trial.decided is not None

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        number = next(trial.number for trial in population.trials if trial.proposal == proposal)
        wait_for(lambda: self._is_known(number - 1))
        program = population.trials[proposal.parents[0]].program
        assert program
        if number > len(self._edits):
            raise MutationError("no more")
        old, new = self._edits[number - 1]
        return Mutation(program=Program(program.source.replace(old, new)), operator=self.name, description=new)


def faster_is_better(program: Program, seed: int) -> float:
    return 1.0 - float(program.constants["LR"]) + float(program.constants["DEPTH"]) / 100


class Patient(WatchfulExecutor):
    """Ends no training of the program that gains before the next one has passed its pre-flight, or none is to come."""

    idle_ticks = 0

    def finish(self) -> None:
        only_trains = all(each.stage == Stage.MEASURE for each in self.under_way)
        self.idle_ticks = self.idle_ticks + 1 if only_trains else 0
        trains_first = [program for program, _ in self.trained][-1:] == [SEED.with_constants({"LR": 0.2}).id]
        waits = trains_first and len(self.overlapped) <= len({program for program, _ in self.trained})
        if not waits or self.idle_ticks > 10:  # what is to come begins between two ticks
            super().finish()


def search(
    bench: Bench,
    *edits: tuple[str, str],
    strategy: Strategy | None = None,
    operator: Script | None = None,
    executor: type[WatchfulExecutor] | None = None,
    **settings: Any,
) -> None:
    bench.slots, bench.score = 1, faster_is_better
    script = operator or Script(*edits)
    script.bench = bench
    bench.operator, bench.make_executor = script, executor or Patient
    acceptance = Naive(seed=0)
    bench.settings = {"seed_program": SEED, "propose_ahead": 1, "max_failures": 3, "acceptance": acceptance}
    bench.settings["strategy"] = strategy or Greedy()
    check(bench, bench.search(trainings=99, **settings))


def test_a_waiting_edit_is_made_to_the_new_champion(bench: Bench) -> None:
    search(bench, FASTER, DEEPER)

    first, waiting = bench.ledger.population.trials[1:3]
    assert first.status is Status.KEEP
    assert waiting.program == SEED.with_constants({"LR": 0.2, "DEPTH": 8})
    assert waiting.proposal.parents == (1,)
    assert waiting.original
    assert (waiting.original.parents, waiting.original.program) == ((0,), SEED.with_constants({"DEPTH": 8}))
    assert waiting.as_proposed.parents == (0,)
    assert waiting.known_verdicts == 1
    assert waiting.staleness in (1, 2)  # the keep, and perhaps the first proposal that failed
    folder = bench.run.trial(2)
    assert (folder / "train.py").read_text() == waiting.program.source
    assert "-DEPTH = 4\n+DEPTH = 8\n" in (folder / "diff.patch").read_text()
    assert "LR = 0.1" not in (folder / "diff.patch").read_text()
    result = json.loads((folder / "result.json").read_text())
    assert result["parents"] == [1]
    assert result["original"] == {"parents": [0], "program_id": waiting.original.program.id}
    assert result["staleness_verdicts"] == waiting.staleness
    assert isinstance(bench.executor, Patient)
    assert len(bench.executor.overlapped) == 4, "the merged program has a pre-flight too"


def test_it_is_compared_on_the_seeds_of_the_new_champion(bench: Bench) -> None:
    search(bench, FASTER, DEEPER)

    champion, waiting = bench.ledger.population.trials[1:3]
    assert {run.seed for run in waiting.evaluations} <= {run.seed for run in champion.evaluations}


def test_a_conflict_ends_the_trial_and_the_next_is_proposed_from_the_new_champion(bench: Bench) -> None:
    search(bench, FASTER, SLOWER, DEEPER)

    waiting, anew = bench.ledger.population.trials[2:4]
    assert waiting.status is Status.NOT_BUILT
    assert waiting.detail == (
        "trial 1 became the champion while this edit of trial 0 waited, and the edit does not fit it: "
        "both change line 1 of their common parent"
    )
    assert waiting.trainings == 0
    assert anew.proposal.parents == (1,)
    assert anew.original is None


def test_a_program_that_is_known_is_not_trained_again(bench: Bench) -> None:
    deepest = ("DEPTH = 4", "DEPTH = 40")
    search(bench, ("LR = 0.1\nDEPTH = 4", "LR = 0.2\nDEPTH = 40"), FASTER, deepest)

    both, faster, waiting = bench.ledger.population.trials[1:4]
    assert (both.status, faster.status, waiting.status) == (Status.DISCARD, Status.KEEP, Status.NOT_BUILT)
    assert waiting.detail == "with its edit made to trial 2, the new champion: the same program as trial 1"


class Once(RandomSearch):
    """Like random search, but draws the seeds of operators by another rule each time it is asked."""

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        proposal = super().ask(population, rng)
        champion = population.champion
        assert champion
        return replace(proposal, parents=(champion.number,), seed=rng.getrandbits(20) + (len(population.decided) << 20))


@pytest.mark.parametrize(
    "strategy", [RandomSearch(), Once(), RegularisedEvolution(population_size=1, tournament_size=1)], ids=type
)
def test_a_strategy_that_would_propose_something_else_keeps_its_proposal(bench: Bench, strategy: Strategy) -> None:
    search(bench, FASTER, DEEPER, strategy=strategy)

    waiting = bench.ledger.population.trials[2]
    moves = isinstance(strategy, RegularisedEvolution)  # the one program that is alive is the champion
    assert (waiting.original is not None) == moves
    assert waiting.proposal.parents == ((1,) if moves else (0,))
    assert waiting.trainings == 1
    assert waiting.staleness


class Far(Greedy):
    """Marks what it proposes to a stuck search."""

    def ask_wider(self, population: Population, rng: random.Random) -> Proposal:
        return replace(super().ask(population, rng), labels={"far": 1})


def test_an_edit_of_a_stuck_search_is_moved_although_the_keep_ends_that(bench: Bench) -> None:
    widened = StuckSettings(trials=1, action="widen").strategy(Far())
    strategy = WithModelChoice(WithPrompts(widened, ("plain",)), lambda population, seed: "a/model")
    search(bench, SLOWER, FASTER, DEEPER, strategy=strategy)

    keep, waiting = bench.ledger.population.trials[2:4]
    assert (keep.status, waiting.proposal.stuck) == (Status.KEEP, 1)
    assert waiting.original
    assert waiting.proposal.labels == {"far": 1, "stuck": 1, "prompt": "plain"}
    assert waiting.program == SEED.with_constants({"LR": 0.2, "DEPTH": 8})


def test_an_edit_that_waits_over_an_interrupt_is_made_to_the_new_champion_on_resume(bench: Bench) -> None:
    search(bench, FASTER, DEEPER, strategy=Still(), interrupt_after=2)
    assert bench.ledger.population.trials[2].original is None

    search(bench, FASTER, DEEPER)
    waiting = bench.ledger.population.trials[2]
    assert waiting.proposal.parents == (1,)
    assert waiting.program == SEED.with_constants({"LR": 0.2, "DEPTH": 8})


class Still(Greedy):
    """Greedy, but after a keep it asks for another operator."""

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        proposal = super().ask(population, rng)
        return replace(proposal, operator="none") if population.keeps else proposal


class Late(Script):
    """Answers about trial 2 when the champion has changed."""

    def __init__(self, *edits: tuple[str, str]) -> None:
        super().__init__(*edits)
        self.kept = threading.Event()

    def look(self, population: Population) -> None:
        if population.keeps:
            self.kept.set()

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        if len(population.trials) == 3:
            assert self.kept.wait(300)
        return super().mutate(proposal, population)


def test_what_comes_after_the_champion_changed_is_moved_before_its_preflight(bench: Bench) -> None:
    operator = Late(FASTER, DEEPER)
    search(bench, operator=operator, executor=WatchfulExecutor, after=operator.look)

    late = bench.ledger.population.trials[2]
    assert late.program == SEED.with_constants({"LR": 0.2, "DEPTH": 8})
    assert late.original
    assert isinstance(bench.executor, WatchfulExecutor)
    assert len(bench.executor.overlapped) == 3, "one for each program that may train"


class Lists(Script):
    """Says of its edits which constants they change, as `constants` and `tune` do."""

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        made = super().mutate(proposal, population)
        faster = made.program.with_constants({"LR": 0.2})
        changes = {"LR": 0.2, **DEPTHS[made.description]}
        return replace(made, program=faster, description=describe_changes(SEED.constants, changes))


def test_a_moved_edit_lists_what_differs_from_its_new_parent(bench: Bench) -> None:
    search(bench, operator=Lists(FASTER, DEEPER))

    first, waiting = bench.ledger.population.trials[1:3]
    assert first.mutation is not None
    assert waiting.mutation is not None
    assert first.mutation.description == "LR 0.1 -> 0.2"
    assert waiting.proposal.parents == (1,)
    assert waiting.mutation.description == "DEPTH 4 -> 8"
    assert json.loads((bench.run.trial(2) / "result.json").read_text())["description"] == "DEPTH 4 -> 8"
