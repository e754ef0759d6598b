"""Searches whose models are tried out before the baseline trains, and the effect of their answers, over real HTTP."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from operators.trial import Status
from search.models import Models
from search.models.cassette import open_record
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from target.simulated.landscape import SOURCE
from tests.llm_faults import NOT_COUNTED, Answer, Completion, Failure
from tests.llm_server import LlmServer, Request
from tests.operators.test_llm import make_model
from tests.search.command import QUIET, assert_clean_failure, run, summary_of

ROOT = Path(__file__).parent.parent.parent
DEPTH = next(line for line in SOURCE.splitlines() if line.startswith("DEPTH = "))
TOO_LONG = Failure(
    status=400,
    flat=True,
    message="This model's maximum context length is 12000 tokens. However, you requested 16430 tokens (46 in the "
    "messages, 16384 in the completion). Please reduce the length of the messages or completion.",
)


def search(folder: Path, server: LlmServer, *more: str, operator: str = "patch") -> subprocess.CompletedProcess[str]:
    """Run a search whose trainings take no time, one proposal after the other."""
    common = ("name=t", "target=landscape", "target.slots=1", "strategy=random", f"operator={operator}", QUIET)
    model = ("llm.model=openai/scripted", f"llm.api_base={server.url}", "llm.price={input: 1, output: 10}")
    quick = ("llm.backoff_seconds=0.01", "llm.longest_backoff_seconds=0.02", "budget.trainings=5", "max_failures=2")
    return run(folder, *common, *model, *quick, *more, env={"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": ""})


def deeper(request: Request) -> str:
    """Answer with another depth for each request."""
    changed = DEPTH.replace("DEPTH = 8", f"DEPTH = {8 + request.number}")
    return f"CHANGE: deeper\n\n<<<<<<< SEARCH\n{DEPTH}\n=======\n{changed}\n>>>>>>> REPLACE\n"


def is_first_question(request: Request) -> bool:
    return "train.py" not in request.text


def test_the_models_are_asked_first_in_each_session_and_that_is_paid(tmp_path: Path) -> None:
    with LlmServer(deeper) as server:
        first = search(tmp_path, server)
        n_first = len(server.requests)
        again = search(tmp_path, server, "budget.trainings=6")
        asked = [is_first_question(request) for request in server.requests]
        n_again = len(server.requests)
        done = search(tmp_path, server, "budget.trainings=6")

        assert (first.returncode, again.returncode, done.returncode) == (0, 0, 0), first.stderr + again.stderr
        assert (sum(asked), asked[0], asked[n_first]) == (2, True, True)
        assert len(server.requests) == n_again, "a finished search asks no model"
        paid = sum(len(request.text) // 4 + 10 * (len(deeper(request)) // 4) for request in server.requests) / 1e6
    root = tmp_path / "outputs" / "t"
    trials = read_population(RunDirectory(root)).trials
    assert summary_of(root)["cost_usd"] == pytest.approx(paid)
    assert sum(trial.cost_usd for trial in trials) < paid
    assert sum(len(trial.exchanges) for trial in trials) == n_again - 2, "no trial has it in its books"


@pytest.mark.parametrize(("more", "operator"), [(["llm.check=false"], "patch"), ([], "constants")])
def test_models_are_not_tried_out_if_that_is_off_or_no_operator_asks_them(
    tmp_path: Path, more: list[str], operator: str
) -> None:
    with LlmServer(deeper) as server:
        done = search(tmp_path, server, "budget.trainings=3", *more, operator=operator)

        assert done.returncode == 0, done.stderr
        assert not any(is_first_question(request) for request in server.requests)
        assert bool(server.requests) == (operator == "patch")


def test_a_first_request_that_is_too_long_stops_before_the_baseline_and_can_be_mended(tmp_path: Path) -> None:
    def reply(request: Request) -> Answer:
        return TOO_LONG if request.body["max_tokens"] > 6000 else deeper(request)

    with LlmServer(reply) as server:
        refused = search(tmp_path, server)
        assert len(server.requests) == 1
        mended = search(tmp_path, server, "llm.max_tokens=6000", "llm.temperature=0.5")

    assert refused.returncode == 2
    assert_clean_failure(refused, "12000 tokens together", "set llm.max_tokens=6000 or less", "nothing is lost")
    assert "check llm.model" not in refused.stderr
    assert "baseline" not in refused.stdout
    assert mended.returncode == 0, f"nothing was decided yet, so all settings may change: {mended.stderr}"


def test_the_one_of_several_models_that_refuses_a_setting_is_named_before_the_baseline(tmp_path: Path) -> None:
    refusal = Failure(status=400, code="unsupported_value", message="temperature is not supported")

    def reply(request: Request) -> Answer:
        return refusal if request.body["model"] == "b" else deeper(request)

    with LlmServer(reply) as server:
        several = ("llm.model=null", "llm.models=[openai/a,openai/b]", "llm.temperature=0.3")
        done = search(tmp_path, server, *several)

        assert [request.body["model"] for request in server.requests] == ["a", "b"]
    assert done.returncode == 2
    assert_clean_failure(done, "model openai/b", "llm.temperature=0.3", "temperature is not supported")
    assert "openai/a" not in done.stderr.partition("resume:")[0]
    assert summary_of(tmp_path / "outputs" / "t")["trials"] == 0


def test_answers_that_come_as_reasoning_only_are_built_at_one_request_each(tmp_path: Path) -> None:
    with LlmServer(lambda request: Completion(text=None, reasoning=deeper(request))) as server:
        done = search(tmp_path, server)
        requests = list(server.requests)

    assert done.returncode == 0, done.stderr
    root = RunDirectory(tmp_path / "outputs" / "t")
    trials = read_population(root).trials[1:]
    assert not any(trial.status is Status.NOT_BUILT for trial in trials)
    assert len(requests) == 1 + sum(len(trial.exchanges) for trial in trials) == 1 + len(trials)
    assert "it came as reasoning only" in (root.trial(1) / "reply.md").read_text()


def test_reasoning_without_an_edit_costs_two_requests_a_trial(tmp_path: Path) -> None:
    with LlmServer([Completion(text="", reasoning="I wonder what to do.")]) as server:
        done = search(tmp_path, server, "max_failures=2")

        assert "no program after 2 answers; the last: the answer was reasoning only" in done.stdout
        assert len(server.requests) == 1 + 2 * 2
        assert "was reasoning only" in server.requests[2].text, "it is told to the model"


def test_a_second_request_that_is_refused_fails_its_trial_and_the_search_goes_on(tmp_path: Path) -> None:
    refusal = Failure(
        status=400,
        code="invalid_value",
        param="max_tokens",
        message="max_tokens is too large: 32768. This model supports at most 16384 completion tokens.",
    )

    def reply(request: Request) -> Answer:
        if request.body["max_tokens"] > 16_384:
            return refusal
        return Completion(text="<<<<<<< SEARCH", finish_reason="length") if request.number == 2 else deeper(request)

    with LlmServer(reply) as server:
        done = search(tmp_path, server)
        asked = [request.body["max_tokens"] for request in server.requests]
        told = server.requests[3].text

    assert done.returncode == 0, done.stderr
    assert asked[:4] == [16_384, 16_384, 32_768, 16_384]
    assert set(asked[4:]) == {16_384}
    assert "was cut off" in told
    assert summary_of(tmp_path / "outputs" / "t")["trainings"] == 5


def test_calls_of_tools_are_told_to_the_model_and_then_not_built(tmp_path: Path) -> None:
    with LlmServer([Completion(text=None, tool={"old_str": "DEPTH = 8"}, finish_reason="tool_calls")]) as server:
        done = search(tmp_path, server, "max_failures=1")
        requests = list(server.requests)

    assert done.returncode == 1, done.stderr
    assert "answer in text" in done.stdout
    assert len(requests) == 1 + 3
    assert "called a tool, but there are none: answer in text" in requests[2].text


def test_uncounted_tokens_use_up_a_budget_of_money(tmp_path: Path) -> None:
    with LlmServer(lambda request: Completion(text=deeper(request), usage=NOT_COUNTED)) as server:
        done = search(tmp_path, server, "budget.trainings=200", "budget.usd=0.01", "max_failures=50")

    assert done.returncode == 0, done.stderr
    root = RunDirectory(tmp_path / "outputs" / "t")
    assert summary_of(root.root)["stop_reason"] == "budget.usd=0.01 reached"
    assert done.stdout.count("they are estimated from characters") == 1
    (request,) = json.loads((root.trial(1) / "result.json").read_text())["requests"]
    assert request["estimated"] is True
    assert request["cost_usd"] > 0
    assert "tokens and price are estimated" in (root.trial(1) / "reply.md").read_text()


def test_a_replay_tries_no_model_out(tmp_path: Path) -> None:
    with LlmServer(deeper) as server:
        recorded = search(tmp_path, server)
        assert recorded.returncode == 0, recorded.stderr
    with LlmServer(deeper) as server:
        replay = f"llm.cassette=replay:{tmp_path / 'outputs' / 't'}"
        done = search(tmp_path, server, "name=again", replay)

        assert done.returncode == 0, done.stderr
        assert server.requests == []
    before, after = (read_population(RunDirectory(tmp_path / "outputs" / name)) for name in ("t", "again"))
    assert [trial.program for trial in after.trials] == [trial.program for trial in before.trials]
    assert summary_of(tmp_path / "outputs" / "again")["cost_usd"] == 0

    paid: list[float] = []
    run_directory = RunDirectory(tmp_path / "third")
    models = Models(record=open_record(f"replay:{tmp_path / 'outputs' / 't'}", run_directory))
    models.lender(run_directory)()
    models.try_out(paid.append, prompt_tokens=None)
    assert paid == []


def test_models_that_no_operator_takes_are_not_tried_out(tmp_path: Path) -> None:
    paid: list[float] = []
    with LlmServer(["ready"]) as server:
        models = Models(live=make_model(server))
        lend = models.lender(RunDirectory(tmp_path))
        models.try_out(paid.append, prompt_tokens=None)
        assert (paid, server.requests) == ([], [])
        assert lend() is not None
        models.try_out(paid.append, prompt_tokens=None)

    assert paid == [pytest.approx(0.000_01 + len(server.requests[0].text) // 4 / 1e6)]
