"""What providers do beside failing: limits, settings that they refuse, fields that they confuse, tokens not counted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from operators.base import MutationError, ProviderError, ProviderRefusalError
from operators.chat import Message, Reply
from operators.llm import LanguageModel
from operators.llm.catalogue import import_litellm
from tests.llm_faults import NOT_COUNTED, Answer, Completion, Failure
from tests.llm_server import LlmServer, Request
from tests.operators.test_llm import MESSAGES, Clock, make_model

CUT_OFF = Completion(text="<<<<<<< SEARCH\nDEPTH", finish_reason="length")
TOO_MANY = Failure(
    status=400,
    code="invalid_value",
    param="max_tokens",
    message="max_tokens is too large: 200. This model supports at most 150 completion tokens.",
)
NO_TEMPERATURE = Failure(
    status=400,
    code="unsupported_value",
    message="Unsupported value: 'temperature' does not support 0.7 with this model. Only the default is supported.",
)


@pytest.fixture(scope="module", autouse=True)
def _litellm() -> None:
    import_litellm()


def complete(model: LanguageModel, name: str | None = None) -> Reply:
    return model.complete(MESSAGES, seed=0, attempt=0, model=name)


def asked_for(server: LlmServer) -> list[object]:
    return [request.body.get("max_tokens") for request in server.requests]


# Answers that are cut off


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_second_request_that_is_refused_leaves_an_answer_that_was_cut_off(status: int) -> None:
    told: list[str] = []
    with LlmServer([CUT_OFF, Failure(status=status, message=TOO_MANY.message)]) as server:
        with pytest.raises(MutationError, match=r"was cut off after 5 tokens: raise llm\.max_tokens if") as caught:
            complete(make_model(server, tell=told.append))

        assert asked_for(server) == [100, 200]
    assert caught.value.attempt.cost_usd > 0, "the first answer is paid"
    assert "refuses 200 tokens for an answer that was cut off" in told[-1]


def test_a_second_request_that_meets_another_trouble_stops_the_search() -> None:
    with LlmServer([CUT_OFF], faults={2: "401"}) as server, pytest.raises(ProviderRefusalError, match="the key"):
        complete(make_model(server))


@pytest.mark.parametrize(
    ("max_tokens", "asked"), [(10_000, [10_000, 16_384]), (16_384, [16_384]), (20_000, [16_384]), (100, [100, 200])]
)
def test_no_more_is_asked_for_than_the_model_is_known_to_allow(max_tokens: int, asked: list[int]) -> None:
    with LlmServer([CUT_OFF]) as server:
        with pytest.raises(MutationError, match="was cut off"):
            complete(make_model(server, model="openai/gpt-4o-mini", max_tokens=max_tokens))

        assert asked_for(server) == asked


# Where the answer is


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("text", [None, "", "\n"])
def test_an_answer_that_came_as_reasoning_only_is_taken_at_the_first_request(text: str | None, field: str) -> None:
    with LlmServer([Completion(text=text, reasoning="I go deeper.", reasoning_field=field)]) as server:
        reply = complete(make_model(server))

        assert (reply.text, reply.reasoning) == ("I go deeper.", True)
        assert len(server.requests) == 1


def test_reasoning_beside_an_answer_is_left_out() -> None:
    with LlmServer([Completion(text="Deeper.", reasoning="Wider? No.")]) as server:
        reply = complete(make_model(server))

    assert (reply.text, reply.reasoning) == ("Deeper.", False)


def test_reasoning_that_used_up_all_tokens_is_no_answer() -> None:
    with LlmServer([Completion(text=None, reasoning="Wider? No.", finish_reason="length")]) as server:
        with pytest.raises(MutationError, match="was cut off"):
            complete(make_model(server))
        assert asked_for(server) == [100, 200]


@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop", "function_call"])
def test_a_call_of_a_tool_is_told_to_the_model_and_not_asked_for_again(finish_reason: str) -> None:
    call = Completion(text=None, tool={"old_str": "DEPTH = 8"}, finish_reason=finish_reason)
    with LlmServer([call]) as server:
        with pytest.raises(MutationError, match="called a tool, but there are none: answer in text"):
            complete(make_model(server))
        assert len(server.requests) == 1


def test_a_call_of_a_tool_beside_an_answer_is_left_out() -> None:
    with LlmServer([Completion(text="Deeper.", tool={"old_str": "x"}, finish_reason="tool_calls")]) as server:
        assert complete(make_model(server)).text == "Deeper."


# Tokens that are not counted


@pytest.mark.parametrize("settings", [{}, {"model": "openai/gpt-4o-mini", "price": None}])
def test_tokens_that_are_not_counted_are_estimated_from_characters(settings: Mapping[str, Any]) -> None:
    told: list[str] = []
    answer = Completion(text="x" * 400, reasoning="y" * 400, usage=NOT_COUNTED)
    with LlmServer([answer]) as server:
        model = make_model(server, tell=told.append, **settings)
        replies = [complete(model) for _ in range(2)]

    (first, second) = replies
    sent = sum(-(-len(message.text) // 4) for message in MESSAGES)
    assert (first.prompt_tokens, first.completion_tokens, first.estimated) == (sent, 200, True)
    prices = (1.0, 10.0) if not settings else (0.15, 0.6)
    assert first.cost_usd == second.cost_usd == pytest.approx((sent * prices[0] + 200 * prices[1]) / 1e6)
    assert ["estimated from characters" in line for line in told] == [True], "it is said once"


def test_tokens_that_are_counted_are_not_estimated() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 0}
    with LlmServer([Completion(text="hello", usage=usage)]) as server:
        reply = complete(make_model(server))

    assert (reply.prompt_tokens, reply.completion_tokens, reply.estimated) == (7, 0, False)


def test_a_refusal_that_counts_nothing_was_free() -> None:
    answer = Completion(text=None, finish_reason="content_filter", usage=NOT_COUNTED)
    with LlmServer([answer]) as server, pytest.raises(MutationError, match="refuses to answer") as caught:
        complete(make_model(server))

    assert caught.value.attempt.cost_usd == 0
    assert not caught.value.attempt.exchanges[0].reply.estimated


# Answers that say beside the text that they are none


@pytest.mark.parametrize(
    "around",
    [{"error": {"code": 502, "message": "upstream is gone"}, "finish_reason": "error"}, {"finish_reason": "error"}],
)
def test_an_answer_that_broke_off_is_asked_for_again(around: Mapping[str, Any]) -> None:
    """Two of three blocks would be built as if they were the whole edit."""
    told, broken = list[str](), Completion(text="<<<<<<< SEARCH\nDEPTH", around=around)
    with LlmServer([broken, "hello"]) as server:
        assert complete(make_model(server, Clock(), tell=told.append)).text == "hello"
        assert len(server.requests) == 2
    assert "the answer broke off: " in told[0]


def test_a_refusal_in_a_field_of_its_own_is_not_asked_for_again() -> None:
    with LlmServer([Completion(text=None, beside={"refusal": "I cannot help with that."})]) as server:
        with pytest.raises(MutationError, match="refuses to answer"):
            complete(make_model(server))
        assert len(server.requests) == 1


# Prompts of which a server reads only a part


@pytest.mark.parametrize(
    ("counted", "is_cut"),
    [(2050, True), (4096, True), (6144, True), (7000, False), (9000, False), (0, False)],
)
def test_a_prompt_that_the_server_cut_is_told_once(counted: int, is_cut: bool) -> None:
    """Ollama keeps the end of a prompt that is longer than its context, and answers as if nothing had happened."""
    told, prompt = list[str](), (Message(role="user", text="DEPTH = 8\n" * 3000),)  # 7,500 tokens
    usage = {"prompt_tokens": counted, "completion_tokens": 5, "total_tokens": counted + 5}
    with LlmServer([Completion(text="hello", usage=usage)]) as server:
        model = make_model(server, tell=told.append)
        for seed in range(2):
            model.complete(prompt, seed=seed, attempt=0)
    warning = f"read {counted} tokens of a prompt of about 7500: its context is probably too short"
    assert [warning in line for line in told] == [True] * is_cut


# Limits of a rate

PER_MINUTE = Failure(
    status=429,
    code="RESOURCE_EXHAUSTED",
    message="You exceeded your current quota, please check your plan. * Quota exceeded for metric: requests, limit: 5. "
    "Please retry in 34.07s.",
)


@pytest.mark.parametrize(
    ("message", "least_seconds"),
    [
        (PER_MINUTE.message, 34.07),
        ("Rate limit reached: Limit 30000, Used 29000, Requested 6000. Please try again in 840ms.", 0.84),
        ("Rate limit reached: Limit 30000, Used 29000, Requested 6000. Please try again in 1m12.5s.", 72.5),
        ("Too many requests. Try again in 2 minutes.", 120),
        ("Too many requests, try again in a moment", 0),
    ],
)
def test_a_wait_that_is_asked_for_in_words_is_kept(message: str, least_seconds: float) -> None:
    clock = Clock()
    with LlmServer([Failure(status=429, message=message), "hello"]) as server:
        assert complete(make_model(server, clock)).text == "hello"
    assert least_seconds <= clock.slept[0] <= least_seconds + 2


@pytest.mark.parametrize("status", [413, 429])
def test_a_request_that_alone_exceeds_the_rate_is_not_repeated(status: int) -> None:
    message = "Request too large for `m` on tokens per minute (TPM): Limit 12000, Requested 21000, please reduce it."
    with LlmServer([Failure(status=status, code="rate_limit_exceeded", message=message)]) as server:
        with pytest.raises(ProviderRefusalError, match=r"21000 tokens, .* 12000 .* smaller llm\.max_tokens"):
            complete(make_model(server, Clock()))
        assert len(server.requests) == 1


# Settings that a provider refuses


@pytest.mark.parametrize(
    ("failure", "settings", "advice"),
    [
        (TOO_MANY, {"max_tokens": 200}, "llm.max_tokens=200 is more than it allows: set llm.max_tokens=150"),
        (NO_TEMPERATURE, {"temperature": 0.7}, "does not accept llm.temperature=0.7: set llm.temperature=null"),
        (
            Failure(status=400, param="reasoning_effort", message="unsupported value: 'low'"),
            {"reasoning_effort": "low", "model": "openai/gpt-5"},
            "does not accept llm.reasoning_effort=low: set llm.reasoning_effort=null",
        ),
        (
            Failure(status=422, message="temperature: extra fields not permitted"),
            {"temperature": 1},
            "llm.temperature=1",
        ),
        (Failure(status=400, message="System role not supported"), {}, "check llm.model and its settings"),
    ],
)
def test_a_refused_request_names_the_setting(failure: Failure, settings: Mapping[str, Any], advice: str) -> None:
    with LlmServer([failure]) as server:
        with pytest.raises(ProviderRefusalError) as caught:
            complete(make_model(server, **settings))

        assert advice in str(caught.value)
        assert failure.message in str(caught.value), "the provider's own words"
        assert len(server.requests) == 1


def test_what_litellm_refuses_before_anything_is_sent_names_the_setting_too() -> None:
    with LlmServer(["hello"]) as server:
        with pytest.raises(ProviderRefusalError, match=r"does not accept llm\.temperature=0\.2: set llm"):
            complete(make_model(server, model="openai/gpt-5", temperature=0.2))
        assert server.requests == []


def test_a_server_without_a_path_is_told_what_its_address_usually_has() -> None:
    with LlmServer(["hello"]) as server, pytest.raises(ProviderRefusalError, match=r"usually ends in /v1"):
        complete(make_model(server, api_base=server.url.removesuffix("/v1")))


def test_a_model_without_a_provider_is_told_how_to_name_one() -> None:
    with pytest.raises(ProviderRefusalError, match=r"write llm\.model=PROVIDER/NAME"):
        complete(make_model(None, model="qwen3:8b"))


# Credentials


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("anthropic/claude-sonnet-4-5", "set the environment variable ANTHROPIC_API_KEY, or name another in llm.api"),
        ("openai/gpt-4o-mini", "set the environment variable OPENAI_API_KEY, or name another in llm.api"),
        ("gemini/gemini-2.5-flash", "GEMINI_API_KEY"),
        ("bedrock/anthropic.claude-3-haiku-20240307-v1:0", "or sign in to the cloud: a profile, a role"),
    ],
)
def test_a_provider_that_lacks_credentials_says_so_when_it_is_asked(
    model: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    asked = make_model(None, model=model, price=None)  # which does not object
    with pytest.raises(ProviderRefusalError) as caught:
        complete(asked)

    assert "it needs a key" in str(caught.value)
    assert advice in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_profile_that_does_not_exist_is_about_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(ProviderRefusalError, match=r"does not accept the credentials: .*\(no-such-profile\)"):
        complete(make_model(None, model="bedrock/anthropic.claude-3-haiku-20240307-v1:0", price=None))


def test_a_local_server_at_its_usual_place_is_asked_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_API_BASE", raising=False)  # so that litellm takes its own default
    with pytest.raises(ProviderError) as caught:  # there is no server, or no such model
        complete(make_model(None, Clock(), model="ollama/no-such-model", price=None, outage_minutes=0))

    assert "key" not in str(caught.value)


# The first request


def test_each_model_is_asked_for_a_word_with_its_settings() -> None:
    models = ["openai/a", {"model": "openai/b", "temperature": 1.5, "max_tokens": 7}]
    with LlmServer(["ready"]) as server:
        model = make_model(server, model=None, models=models, temperature=0.5)
        replies = list(model.first_replies())

        bodies = [request.body for request in server.requests]
    assert [reply.model for reply in replies] == ["openai/a", "openai/b"]
    assert [(body["model"], body["temperature"], body["max_tokens"]) for body in bodies] == [
        ("a", 0.5, 100),
        ("b", 1.5, 7),
    ]
    assert [message["role"] for message in bodies[0]["messages"]] == ["system", "user"], "as in the search"
    assert all(reply.cost_usd > 0 for reply in replies)


def test_all_models_that_refuse_are_named() -> None:
    def reply(request: Request) -> Answer:
        return {"a": "ready", "b": NO_TEMPERATURE, "c": TOO_MANY}[request.body["model"]]

    with LlmServer(reply) as server:
        model = make_model(
            server, model=None, models=["openai/a", "openai/b", "openai/c"], temperature=0.7, max_tokens=200
        )
        replies = model.first_replies()
        assert next(replies).model == "openai/a"
        with pytest.raises(ProviderRefusalError) as caught:
            next(replies)

        assert len(server.requests) == 3
    for phrase in ("model openai/b", "llm.temperature=0.7", "model openai/c", "set llm.max_tokens=150"):
        assert phrase in str(caught.value)
    assert "openai/a" not in str(caught.value)


@pytest.mark.parametrize("fault", ["429", "429 for an hour"])
def test_a_model_that_is_busy_is_let_pass(fault: str) -> None:
    clock, told = Clock(), list[str]()
    with LlmServer(["ready"], faults={1: fault}) as server:
        assert list(make_model(server, clock, tell=told.append).first_replies()) == []
        assert len(server.requests) == 1
    assert clock.slept == []
    assert "was not tested because it is busy" in told[-1]


def test_a_model_that_is_slow_is_let_pass() -> None:
    with LlmServer(["ready"], faults={1: "hang"}) as server:
        assert list(make_model(server, Clock(), total_seconds=0.5, connect_seconds=0.5).first_replies()) == []


def test_a_model_that_cannot_be_reached_is_not_waited_for_through_an_outage() -> None:
    clock = Clock()
    with pytest.raises(ProviderError, match=r"start the server, or check llm\.api_base") as caught:
        list(make_model(None, clock, api_base="http://127.0.0.1:9/v1", outage_minutes=30).first_replies())

    assert not isinstance(caught.value, ProviderRefusalError), "it may be there later"
    assert clock.now <= 10


def test_what_passes_at_once_is_asked_again() -> None:
    with LlmServer(["ready"], faults={1: "503"}) as server:
        assert [reply.text for reply in make_model(server, Clock()).first_replies()] == ["ready"]
        assert len(server.requests) == 2


def test_limits_that_the_settings_exceed_are_said_once() -> None:
    told: list[str] = []
    with LlmServer(["ready"]) as server:
        model = make_model(server, model="openai/gpt-4", max_tokens=16_384, tell=told.append)
        for _ in range(2):
            list(model.first_replies(prompt_tokens=24_000))

    assert told == [
        "llm.max_tokens=16384 is more than openai/gpt-4 allows: 4096 are used",
        "prompts may grow to prompt.max_tokens=24000, openai/gpt-4 takes 8192: set a smaller prompt.max_tokens",
    ]
