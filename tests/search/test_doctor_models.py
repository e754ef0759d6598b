"""What `python -m search.doctor` says of language models, without asking them and after one short request."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.doctor.__main__ import compose_subject
from search.doctor.checks import models
from search.doctor.checks.row import Row, State
from tests.llm_faults import Completion, Failure
from tests.llm_server import LlmServer
from tests.search.checkup import UNTRIED, doctor, lines_of, only

KEY = "GRAFT_TEST_KEY"


def test_a_model_is_asked_exactly_once_with_the_settings_of_the_search(nowhere: Path) -> None:
    with LlmServer(["ready"], key="good-key-123") as server:
        settings = (f"llm.api_base={server.url}", f"llm.api_key_env={KEY}", "llm.price={input: 1, output: 2}")
        done = doctor(
            nowhere,
            UNTRIED,
            "operator=patch",
            "--model",
            "llm.model=openai/scripted",
            *settings,
            "llm.max_tokens=77",
            **{KEY: "good-key-123"},
        )

    assert done.returncode == 0, done.stdout + done.stderr
    for phrase in ("fine", "openai/scripted at http://127.0.0.1", "answered in"):
        assert phrase in lines_of(done)["model"]
    assert "good-key-123" not in done.stdout + done.stderr
    assert [request.body["max_tokens"] for request in server.requests] == [77]
    assert sum(len(str(message["content"])) for message in server.requests[0].messages) < 100


def ask(*overrides: str) -> Row:
    """Return the row of the language model, after a call."""
    return only(models.check_models(compose_subject(overrides), ask=True))


def local(server: LlmServer, *overrides: str) -> tuple[str, ...]:
    return ("operator=patch", "llm.model=openai/scripted", f"llm.api_base={server.url}", *overrides)


def test_a_key_that_is_refused_is_broken_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "wrong-key-123")
    with LlmServer(["ready"], key="good-key-123") as server:
        row = ask(*local(server, f"llm.api_key_env={KEY}"))

    assert row.state is State.BROKEN
    assert "the provider does not accept the key" in row.found
    assert "status 401" in row.found
    assert row.remedy == f"check the environment variable {KEY} (llm.api_key_env)"
    assert "wrong-key-123" not in str(row)
    assert len(server.requests) == 1


def test_what_is_wrong_with_a_model_is_said_with_what_to_do() -> None:
    with LlmServer(["ready"], faults={1: "404", 2: "500", 3: Completion(text="")}) as server:
        absent, out_of_order, empty, free = (ask(*local(server)) for _ in range(4))
        unpaid = ask(*local(server, "budget.usd=1"))
    gone = ask("operator=patch", "llm.model=openai/x", "llm.api_base=http://127.0.0.1:9/v1")

    assert (absent.state, absent.remedy) == (State.BROKEN, "check llm.model and llm.api_base")
    assert (out_of_order.state, gone.state) == (State.BROKEN, State.BROKEN)
    assert "30 minutes" in out_of_order.cost
    assert gone.remedy.endswith("curl http://127.0.0.1:9/v1/models")
    assert (empty.state, free.state) == (State.WARNING, State.WARNING)
    assert "counted as 0" in free.cost
    assert (unpaid.state, unpaid.cost) == (State.BROKEN, "budget.usd cannot be kept")
    assert len(server.requests) == 5, "one call each, without another try"


def test_without_the_flag_no_model_is_asked() -> None:
    with LlmServer(["ready"]) as server:
        row = only(models.check_models(compose_subject(local(server)), ask=False))

    assert row.state is State.FINE
    assert "--model" in row.found
    assert server.requests == []


def test_a_model_without_its_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    provider = only(models.check_models(compose_subject(["llm.model=openai/gpt-5"]), ask=False))
    own = only(models.check_models(compose_subject(["llm.model=openai/x", "llm.api_key_env=NO_SUCH_KEY"]), ask=False))

    assert (provider.state, own.state) == (State.WARNING, State.BROKEN), "only the provider knows what it accepts"
    assert "OPENAI_API_KEY is not set" in provider.found
    assert "export OPENAI_API_KEY=..." in provider.remedy
    assert "NO_SUCH_KEY" in own.found


@pytest.mark.parametrize("model", ["ollama/qwen3", "vertex_ai/gemini-2.5-pro", "lm_studio/x"])
def test_a_model_that_needs_no_key_is_fine_without_one(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    for name in ("OLLAMA_API_BASE", "VERTEXAI_PROJECT", "VERTEXAI_LOCATION", "LM_STUDIO_API_BASE"):
        monkeypatch.delenv(name, raising=False)

    assert only(models.check_models(compose_subject([f"llm.model={model}"]), ask=False)).state is State.FINE


def test_a_model_that_refuses_a_setting_names_it() -> None:
    too_many = Failure(status=400, message="Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")
    with LlmServer([too_many]) as server:
        row = ask(*local(server))

    assert (row.state, row.remedy) == (State.BROKEN, "set llm.max_tokens=8192")
