"""A search replayed from the record of another: equal programs, whatever the scores, the slots and the order."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from operators.base import MutationError, ProviderRefusalError, Resources, parent_program
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Confirm
from search.budget import Budget
from search.errors import UserError
from search.loop import Loop
from search.models import Models
from search.models.cassette import Record, ReplayedOperator, open_record
from search.runs.ledger import Ledger
from search.runs.ledger_records import moved_to
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.settings import Settings
from search.strategies.evolution import RegularisedEvolution
from target.program import Program
from tests.llm_server import LlmServer
from tests.operators.asking import AskingOperator
from tests.operators.test_llm import make_model
from tests.search.builders import SEED_SOURCE, make_population
from tests.search.scripted import ScriptedExecutor, ScriptedObserver

FAULTS = {4: "refusal", 6: "empty", 9: "truncated"}


def noise(seed: int) -> Callable[[Program, int], float]:
    """Return scores that have nothing to do with the programs."""
    return lambda program, training: 2.0 + random.Random(f"{seed} {program.id} {training}").gauss(0, 0.1)


def drive(
    root: Path,
    models: Models,
    *,
    noise_seed: int = 0,
    slots: int = 2,
    trainings: int = 20,
    operator: Callable[[AskingOperator], Any] = lambda asking: asking,
) -> tuple[Population, Summary]:
    run = RunDirectory(root)
    run.create()
    ledger, executor = Ledger(run), ScriptedExecutor(noise(noise_seed), slots=slots)
    resources = Resources(lend=models.lender(run), direction=root / "program.md", limits=())
    settings = Settings(
        name="s",
        strategy_name="evolution",
        seed=0,
        seed_program=Program(SEED_SOURCE),
        strategy=models.strategy(RegularisedEvolution(population_size=8, tournament_size=3)),
        operator=models.operator(operator(AskingOperator(resources=resources))),
        acceptance=Confirm(seed=0),
        budget=Budget(trainings=trainings),
        propose_ahead=0,
        max_failures=50,
    )
    search = Loop(
        settings, run=run, ledger=ledger, executor=executor, observer=ScriptedObserver(executor), tick_seconds=0.01
    )
    summary = search.run()
    return ledger.population, summary


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("record") / "a"
    with LlmServer(faults=FAULTS) as server:
        price = {"input": 1.0, "output": 1.0}
        population, _ = drive(root, Models(live=make_model(server, backoff_seconds=0.0, price=price)))
    assert population.cost_usd > 0
    assert any(trial.status is Status.NOT_BUILT for trial in population.trials)
    assert len({trial.proposal.parents for trial in population.trials}) > 3, "it is more than children of the seed"
    return root


def replay(record: Path, root: Path, **settings: Any) -> tuple[Population, Summary]:
    return drive(root, Models(record=open_record(f"replay:{record}", RunDirectory(root))), **settings)


def programs(population: Population) -> Mapping[int, str | None]:
    """Return what was to be trained, or known not to be; the budget of a record may end while a program waits.

    A program that came too late for its parent is not trained, and a replay does not make it again.
    """
    return {
        trial.number: None if trial.status is Status.NOT_BUILT else trial.program and trial.program.id
        for trial in population.trials
        if trial.program or trial.decided is not None
    }


@pytest.mark.parametrize(("slots", "noise_seed"), [(1, 1), (2, 2), (5, 3)])
def test_a_replay_gives_the_same_programs_without_a_provider(
    recorded: Path, tmp_path: Path, slots: int, noise_seed: int
) -> None:
    before = Ledger(RunDirectory(recorded)).population
    after, summary = replay(recorded, tmp_path, slots=slots, noise_seed=noise_seed, trainings=1000)

    assert programs(after) == programs(before)
    assert [trial.proposal for trial in after.trials] == [trial.proposal for trial in before.trials]
    assert [trial.exchanges and trial.exchanges[0].reply.text for trial in after.trials] == [
        trial.exchanges and trial.exchanges[0].reply.text for trial in before.trials
    ]
    assert after.cost_usd == 0, "nothing is paid twice"
    assert (summary.status, summary.stop_reason) == (
        "finished",
        f"the record in {recorded} ends after trial {len(before.trials) - 1}",
    )
    assert {trial.score for trial in after.scored}.isdisjoint({trial.score for trial in before.scored})


class Doubling:
    """Doubles the rate of the parent."""

    name = "doubling"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        parent = parent_program(proposal, population)
        program = parent.with_constants({"MATRIX_LR": 2 * float(parent.constants["MATRIX_LR"])})
        return Mutation(program=program, operator=self.name, description="doubled")


def test_a_replay_has_what_became_of_edits_of_a_former_champion(tmp_path: Path) -> None:
    seed, deeper = make_population(1.0, 0.9).trials
    assert seed.program
    assert deeper.mutation
    deeper = replace(deeper, mutation=replace(deeper.mutation, program=seed.program.with_constants({"DEPTH": 8})))
    known = Population((seed, deeper))
    proposal = Proposal(parents=(0,), seed=7)
    made = Doubling().mutate(proposal, known)
    merged = Doubling().mutate(Proposal(parents=(1,), seed=7), known).program
    waiting = Trial(number=2, proposal=proposal, mutation=made)
    moved = moved_to(waiting, 1, merged)
    late = replace(waiting, status=Status.NOT_BUILT, decided=2, detail="too late")
    late = replace(late, number=3, proposal=replace(proposal, seed=8))
    replayed = ReplayedOperator(Doubling(), Record(tmp_path, Population((seed, deeper, moved, late))))

    assert replayed.mutate(moved.proposal, known).program == merged
    with pytest.raises(MutationError, match="too late"):
        replayed.mutate(late.proposal, known)


def test_a_replay_ends_with_its_budget_and_can_be_resumed(recorded: Path, tmp_path: Path) -> None:
    first, summary = replay(recorded, tmp_path, noise_seed=1, trainings=6)
    assert summary.stop_reason == "budget.trainings=6 reached"
    after, _ = replay(recorded, tmp_path, noise_seed=1, trainings=1000)

    assert after.trials[: len(first.trials)] != ()
    assert programs(after) == programs(Ledger(RunDirectory(recorded)).population)


def test_an_operator_that_has_changed_stops_the_replay(recorded: Path, tmp_path: Path) -> None:
    class Other(AskingOperator):
        def mutate(self, proposal: Proposal, population: Population) -> Mutation:
            mutation = super().mutate(proposal, population)
            source = mutation.program.source + "NEW = 1\n"
            return Mutation(program=Program(source), operator=self.name, description="")

    def change(asking: AskingOperator) -> AskingOperator:
        asking.__class__ = Other
        return asking

    with pytest.raises(ProviderRefusalError, match=r"trial \d+ of .* has program \w+, but the operator asking"):
        replay(recorded, tmp_path, operator=change)


def test_a_reply_that_is_not_in_the_record_is_missed_by_name(recorded: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(recorded, tmp_path / "copy")
    record = open_record(f"replay:{copy}", RunDirectory(tmp_path / "new"))
    shutil.rmtree(copy / "exchanges")

    with pytest.raises(ProviderRefusalError, match=r"has no reply number 1 to the proposal with seed \d+"):
        drive(tmp_path / "new", Models(record=record))


@pytest.mark.parametrize(
    ("cassette", "phrase"),
    [
        ("play:outputs/a", "must be record or replay:FOLDER"),
        ("replay:nowhere", "nowhere holds no search"),
        ("replay:{own}", "cannot be replayed into itself"),
    ],
)
def test_a_file_that_is_no_cassette_is_refused(recorded: Path, cassette: str, phrase: str) -> None:
    with pytest.raises(UserError, match=phrase):
        open_record(cassette.format(own=recorded), RunDirectory(recorded))


def test_no_cassette_but_the_record_of_this_run_is_the_default(tmp_path: Path) -> None:
    assert open_record("record", RunDirectory(tmp_path)) is None


def test_several_models_are_chosen_with_the_proposal_and_asked_again_after_a_resume(tmp_path: Path) -> None:
    with LlmServer() as server:

        def models() -> Models:
            names = ["openai/a", "openai/b"]
            return Models(live=make_model(server, model=None, models=names, selection="round_robin"))

        drive(tmp_path, models(), trainings=5)
        population, _ = drive(tmp_path, models(), trainings=9)
        asked = [f"openai/{request.body['model']}" for request in server.requests]

    asked_first = [trial.proposal.model for trial in population.trials[1:]]
    assert asked_first == [("openai/a", "openai/b")[index % 2] for index in range(len(asked_first))]
    for trial in population.trials[1:]:
        assert {exchange.reply.model for exchange in trial.exchanges} <= {trial.proposal.model}
    assert set(asked) == {"openai/a", "openai/b"}
