"""A search whose provider fails in every way there is: nothing is lost, nothing is paid twice, no trial is consumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators.trial import Status
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from tests.llm_faults import FAULTS, SLOW, TEMPORARY
from tests.llm_habits import habit
from tests.llm_server import LlmServer, Request
from tests.operators.asking import ASKING
from tests.search.command import QUIET, assert_clean_failure, command, run, summary_of, verdicts_of

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": ""}
QUICK = ("llm.model=openai/scripted", "llm.backoff_seconds=0.01", "llm.longest_backoff_seconds=0.02")
LASTING = ("refusal", "policy", "empty", "no text", "truncated")
PLAN = dict(enumerate((*TEMPORARY, *SLOW, *LASTING), start=2))
"""Every fault that a search survives, at a known request, all in a row."""
PAID = {"empty", "no text", "truncated", "refusal"}
ENDS = {"400", "401", "402", "403", "404", "quota", "context", "429 for an hour"}


def test_the_plan_leaves_nothing_out() -> None:
    assert {*PLAN.values(), *ENDS} == FAULTS.keys()


def overrides(server: LlmServer, *more: str) -> tuple[str, ...]:
    instant = ("target=landscape", "target.slots=1", "propose_ahead=0")  # requests have the order of the trials
    return (*ASKING, *QUICK, *instant, "strategy=evolution", f"llm.api_base={server.url}", QUIET, *more)


def test_a_search_survives_every_fault_and_loses_nothing(tmp_path: Path) -> None:
    with LlmServer(faults=PLAN) as server:
        price = "llm.price={input: 10, output: 0}"
        done = run(
            tmp_path,
            *overrides(server, "name=f", "budget.trainings=12", "llm.total_seconds=6", price),
            env=ENVIRONMENT,
            timeout=300,
        )
        requests = list(server.requests)

    assert done.returncode == 0, done.stderr
    root = tmp_path / "outputs" / "f"
    summary = summary_of(root)
    assert (summary["status"], summary["trainings"]) == ("finished", 12)
    assert len(requests) > max(PLAN), "all of the plan happened"
    population = read_population(RunDirectory(root))
    refused = [trial for trial in population.trials if trial.status is Status.NOT_BUILT]
    drawn_twice, too_late = "the same program", ("it edits trial", "with its edit made to")
    details = [trial.detail for trial in refused if not trial.detail.startswith((drawn_twice, *too_late))]
    assert ["content filter" in detail for detail in details] == [True, True], f"no outage is a failed trial: {details}"
    asked = [trial for trial in population.trials if trial.number and trial.decided is not None]
    assert all(trial.exchanges for trial in asked), "every trial has what was said about it"
    for trial in asked:
        folder = RunDirectory(root).trial(trial.number)
        assert f"Parent {trial.as_proposed.parents[0]}:" in (folder / "prompt.md").read_text()
        assert f"{trial.exchanges[0].reply.completion_tokens} completion tokens" in (folder / "reply.md").read_text()
        requests_of = json.loads((folder / "result.json").read_text())["requests"]
        assert sum(each["cost_usd"] for each in requests_of) == pytest.approx(trial.cost_usd)
    answered = [each for each in requests if PLAN.get(each.number, "empty") in PAID]
    spent = sum(10 * (len(request.text) // 4) for request in answered) / 1e6
    assert summary["cost_usd"] == pytest.approx(spent), "what was of no use is paid too"


def test_an_outage_stops_the_search_and_no_more_is_asked_again_than_was_not_answered(tmp_path: Path) -> None:
    """The first request of the last proposal is answered with a refusal to edit; its second meets the outage."""

    def reply(request: Request) -> str:
        return "I would rather not change anything." if request.number == 3 else habit(request)

    with LlmServer(reply, faults=dict.fromkeys(range(4, 400), "503")) as server:
        price = "llm.price={input: 10, output: 100}"
        more = (
            "name=o",
            "budget.trainings=9",
            "llm.outage_minutes=0.002",
            "llm.check=false",
            price,
        )
        done = run(tmp_path, *overrides(server, *more), env=ENVIRONMENT)

        assert done.returncode == 75, done.stderr
        assert_clean_failure(done, "llm.outage_minutes=0.002 allow no more", "nothing is lost")
        root = RunDirectory(tmp_path / "outputs" / "o")
        before, rows, n_requests = read_population(root), verdicts_of(root.root), len(server.requests)
        assert [trial.number for trial in before.pending] == [3], "it waits to be asked again"
        assert not any(trial.status is Status.NOT_BUILT for trial in before.trials)
        server.faults.clear()
        other = run(tmp_path, *overrides(server, *more, "llm.model=openai/other"), env=ENVIRONMENT)
        assert_clean_failure(other, "llm.model was 'openai/scripted', is 'openai/other'")
        done = run(tmp_path, *overrides(server, *more, "llm.outage_minutes=30", "llm.concurrency=1"), env=ENVIRONMENT)
        again = server.requests[n_requests]

    assert done.returncode == 0, done.stderr
    after = read_population(root)
    assert after.trainings == 9
    assert [trial.proposal for trial in after.trials[:4]] == [trial.proposal for trial in before.trials]
    assert verdicts_of(root.root)[: len(rows)] == rows
    assert again.messages[-1]["content"] == "there is no block", "what was answered, and paid, is not asked again"
    trial = after.trials[3]
    assert trial.exchanges[0].reply.text.startswith("I would rather")
    assert trial.cost_usd == pytest.approx(sum(exchange.reply.cost_usd for exchange in trial.exchanges))


def test_a_refused_key_stops_the_search_at_once_and_is_nowhere_written_down(tmp_path: Path) -> None:
    secret = "sk-scripted-0123456789abcdef"
    with LlmServer(faults=dict.fromkeys(range(1, 9), "401")) as server:
        arguments = overrides(server, "name=r", "budget.trainings=3", "llm.api_key_env=SCRIPTED_KEY")
        done = run(tmp_path, *arguments, env={**ENVIRONMENT, "SCRIPTED_KEY": secret})

        assert done.returncode == 2
        phrase = "does not accept the key: check the environment variable SCRIPTED_KEY"
        assert_clean_failure(done, f"model openai/scripted at {server.url}", phrase, "nothing is lost")
        assert len(server.requests) == 1, "the first, before anything is trained"
    for path in (tmp_path / "outputs").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), f"{path} has the key"
    assert secret not in done.stdout + done.stderr


@pytest.fixture
def silent() -> Iterator[LlmServer]:
    with LlmServer(faults=dict.fromkeys(range(1, 9), "hang")) as server:
        yield server


@pytest.mark.parametrize("check", ["true", "false"])
def test_a_search_that_waits_for_an_answer_can_be_interrupted(tmp_path: Path, silent: LlmServer, check: str) -> None:
    arguments = overrides(silent, "name=i", "budget.trainings=3", f"llm.check={check}")
    search = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE
    )
    try:
        silent.wait_for(1)
        search.send_signal(signal.SIGINT)
        search.communicate(timeout=300)
    finally:
        search.kill()
    assert search.returncode == 130
