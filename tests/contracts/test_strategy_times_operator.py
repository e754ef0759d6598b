"""Every strategy with every operator that needs more than the population, on a scripted server over real HTTP.

Trainings alone are scripted: one program in four crashes, so that there is something to repair.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest

import conf
from operators.llm.catalogue import import_litellm
from search.acceptance import Confirm
from search.budget import Budget
from search.loop import Loop
from search.models import Models
from search.runs.ledger import Ledger
from search.runs.rundir import RunDirectory
from search.settings import Settings
from target.program import Program
from tests.llm_server import LlmServer
from tests.operators import agents
from tests.operators.composed import compose, make_operator
from tests.operators.scripted_model import make_resources
from tests.operators.test_llm import make_model
from tests.search.builders import SEED_SOURCE
from tests.search.scripted import ScriptedExecutor, ScriptedObserver

CONF = Path(conf.__file__).parent
STRATEGIES = sorted(path.stem for path in (CONF / "strategy").glob("*.yaml"))
OPERATORS = sorted(path.stem for path in (CONF / "operator").glob("*.yaml") if "_partial_: true" in path.read_text())
TRAININGS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[LlmServer]:
    import_litellm()
    with LlmServer() as server:
        yield server


def score(program: Program, seed: int) -> float | None:
    rng = random.Random(program.id)
    return None if rng.random() < 0.25 and program.source != SEED_SOURCE else 2.0 + rng.gauss(0, 0.1) + seed % 7 / 1000


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_they_search_together(strategy: str, operator: str, server: LlmServer, tmp_path: Path) -> None:
    before = len(server.requests)
    run = RunDirectory(tmp_path)
    run.create()
    ledger, executor = Ledger(run), ScriptedExecutor(score)
    models = Models(live=make_model(server))
    resources = make_resources(models.chat(run))
    agent = f"agent.command='{sys.executable} {agents.__file__} edit'"
    settings = Settings(
        name="together",
        strategy_name=strategy,
        seed=0,
        seed_program=Program(SEED_SOURCE),
        strategy=models.strategy(hydra.utils.instantiate(compose(f"strategy={strategy}").strategy)),
        operator=models.operator(make_operator(operator, resources, agent)),
        extra_operators={"tune": make_operator("tune", resources)},
        acceptance=Confirm(seed=0),
        budget=Budget(trainings=TRAININGS),
        propose_ahead=0,
        max_failures=50,
    )
    summary = Loop(
        settings, run=run, ledger=ledger, executor=executor, observer=ScriptedObserver(executor), tick_seconds=0.01
    ).run()

    assert (summary.status, summary.trainings) == ("finished", TRAININGS)
    trials = ledger.population.trials
    assert Ledger(run).population == ledger.population
    made = [trial for trial in trials[1:] if trial.mutation]
    assert {trial.operator.split("/")[0] for trial in made} - {"tune"} == {operator}
    asked = [trial for trial in trials[1:] if trial.exchanges]
    assert all(trial.prompt.startswith("default@") for trial in asked)
    assert all(trial.exchanges for trial in trials[1:] if trial.operator.split("/")[0] not in ("mix", "tune"))
    assert operator == "agent" or len(server.requests) - before == sum(len(trial.exchanges) for trial in asked)
    for trial in made:
        result = json.loads((run.trial(trial.number) / "result.json").read_text()) if trial.decided is not None else {}
        assert result.get("prompt", trial.prompt) == trial.prompt
