"""A language model over real HTTP: what each fault leads to, and what is sent, counted and charged."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from operators.base import MutationError, ProviderError, ProviderRefusalError
from operators.chat import Message
from operators.llm import LanguageModel, open_model
from operators.llm.catalogue import has_price, import_litellm
from operators.llm.endpoint import Price, read_endpoints
from tests.llm_faults import FAULTS, SLOW, TEMPORARY, Completion
from tests.llm_server import LlmServer, Request

MESSAGES = (Message(role="system", text="You edit."), Message(role="user", text="Say something."))
SETTINGS: Mapping[str, Any] = {
    "model": "openai/scripted",
    "models": [],
    "api_base": None,
    "api_key_env": None,
    "temperature": None,
    "reasoning_effort": None,
    "max_tokens": 100,
    "price": {"input": 1.0, "output": 10.0},
    "selection": "weighted",
    "exploration": 1.0,
    "connect_seconds": 30,
    "total_seconds": 60,
    "outage_minutes": 30,
    "backoff_seconds": 2,
    "longest_backoff_seconds": 60,
    "concurrency": None,
    "requests_per_minute": None,
}
FINAL = {
    "400": "does not accept the request: check llm.model",
    "401": "does not accept the key: none was sent; set llm.api_key_env to the environment variable that has it",
    "402": "no credit left",
    "403": "does not accept the key",
    "404": "no such model there: check llm.model and llm.api_base",
    "quota": "no credit left",
    "context": "longer than the model's context",
}
UNUSABLE = {"refusal": "refuses to answer", "policy": "refuses to answer", "truncated": "cut off"}
EMPTY = ("empty", "no text")


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(scope="module", autouse=True)
def _litellm() -> None:
    import_litellm()


def make_model(server: LlmServer | None, clock: Clock | None = None, **settings: Any) -> LanguageModel:
    if clock:
        settings |= {"clock": clock, "sleep": clock.sleep}
    settings.setdefault("tell", lambda text: None)
    model = open_model(**{**SETTINGS, "api_base": server.url if server else None, **settings})
    assert model is not None
    return model


def test_every_fault_has_its_test() -> None:
    assert {*TEMPORARY, *SLOW, *FINAL, *UNUSABLE, *EMPTY, "429 for an hour"} == FAULTS.keys()


@pytest.mark.parametrize("fault", TEMPORARY)
def test_a_fault_that_passes_is_waited_for(fault: str) -> None:
    clock, told = Clock(), list[str]()
    with LlmServer(["hello"], faults={1: fault, 2: fault}) as server:
        reply = make_model(server, clock, tell=told.append).complete(MESSAGES, seed=0, attempt=0)

        assert (reply.text, reply.finish_reason, reply.model) == ("hello", "stop", "openai/scripted")
        assert len(server.requests) == 3
    assert [0 < delay <= most for delay, most in zip(clock.slept, (2, 4), strict=True)] == [True, True]
    assert reply.seconds == pytest.approx(sum(clock.slept)), "waiting is part of what a reply takes"
    assert [f"try {number} in" in line for number, line in enumerate(told, start=2)] == [True, True]


@pytest.mark.parametrize("fault", SLOW)
def test_an_answer_that_does_not_come_is_given_up_and_asked_for_again(fault: str) -> None:
    told = list[str]()
    with LlmServer(["hello"], faults={1: fault}) as server:
        model = make_model(server, Clock(), total_seconds=2, connect_seconds=1, outage_minutes=1e6, tell=told.append)
        assert model.complete(MESSAGES, seed=0, attempt=0).text == "hello"
        assert len(server.requests) > 1
    assert (
        "no complete answer in 2 s (llm.total_seconds): your server may need longer, and llm.concurrency=1" in told[0]
    )


@pytest.mark.parametrize("fault", FINAL)
def test_a_fault_that_does_not_pass_stops_the_search_at_once(fault: str) -> None:
    clock = Clock()
    with LlmServer(["hello"], faults={1: fault}) as server:
        with pytest.raises(ProviderRefusalError) as caught:
            make_model(server, clock).complete(MESSAGES, seed=0, attempt=0)

        assert FINAL[fault] in str(caught.value)
        assert f"model openai/scripted at {server.url}" in str(caught.value)
        assert len(server.requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize("fault", [*UNUSABLE, *EMPTY])
def test_an_unusable_answer_fails_its_trial_and_its_price_is_kept(fault: str) -> None:
    with LlmServer(["hello"], faults=dict.fromkeys(range(1, 9), fault)) as server:
        with pytest.raises(MutationError, match=UNUSABLE.get(fault, "gave an empty answer")) as caught:
            make_model(server, Clock()).complete(MESSAGES, seed=0, attempt=0)

        (exchange,) = caught.value.attempt.exchanges
        assert exchange.messages == MESSAGES
        assert caught.value.attempt.cost_usd == exchange.reply.cost_usd
        asked = 3 if fault in EMPTY else 2 if fault == "truncated" else 1
        assert len(server.requests) == asked
        if fault != "policy":
            assert exchange.reply.prompt_tokens == asked * (len(server.requests[0].text) // 4)


def test_an_answer_that_was_cut_off_is_asked_for_with_twice_the_tokens() -> None:
    with LlmServer(["a whole answer"], faults={1: "truncated"}) as server:
        reply = make_model(server).complete(MESSAGES, seed=0, attempt=0)

        assert reply.text == "a whole answer"
        assert [request.body["max_tokens"] for request in server.requests] == [100, 200]
        first, second = (len(text) // 4 for text in ("<<<<<<< SEARCH\nDEPTH", "a whole answer"))
        assert reply.completion_tokens == first + second


def test_an_outage_ends_after_its_minutes() -> None:
    clock = Clock()
    with LlmServer(["hello"], faults=dict.fromkeys(range(1, 1000), "503")) as server:
        with pytest.raises(
            ProviderError, match=r"tries, and llm.outage_minutes=3 allow no more; the last error: "
        ) as caught:
            make_model(server, clock, outage_minutes=3).complete(MESSAGES, seed=0, attempt=0)

        assert not isinstance(caught.value, ProviderRefusalError), "it may pass"
        assert 120 < clock.now <= 180
        assert len(server.requests) == len(clock.slept) + 1


def test_a_provider_that_asks_for_a_longer_wait_than_outage_minutes_is_an_outage_at_once() -> None:
    clock = Clock()
    with LlmServer(["hello"], faults={1: "429 for an hour"}) as server:
        with pytest.raises(ProviderError, match="scripted failure"):
            make_model(server, clock).complete(MESSAGES, seed=0, attempt=0)
        assert clock.slept == []
        make_model(server, clock).complete(MESSAGES, seed=0, attempt=0)
    with LlmServer(["hello"], faults={1: "429 for an hour"}) as server:
        make_model(server, clock, outage_minutes=120).complete(MESSAGES, seed=0, attempt=0)
    assert 3600 <= clock.now <= 3602


def test_without_outage_minutes_the_first_failure_is_an_outage() -> None:
    with LlmServer(["hello"], faults={1: "500"}) as server, pytest.raises(ProviderError, match="in 1 try,"):
        make_model(server, Clock(), outage_minutes=0).complete(MESSAGES, seed=0, attempt=0)


def test_settings_and_messages_are_sent_and_nothing_that_was_not_set() -> None:
    with LlmServer(["hello"]) as server:
        make_model(server).complete(MESSAGES, seed=0, attempt=0)
        make_model(server, temperature=0, max_tokens=None).complete(MESSAGES, seed=0, attempt=0)
        bodies = [request.body for request in server.requests]

    messages = [{"role": "system", "content": "You edit."}, {"role": "user", "content": "Say something."}]
    assert bodies == [
        {"model": "scripted", "messages": messages, "max_tokens": 100},
        {"model": "scripted", "messages": messages, "temperature": 0},
    ]


def test_a_server_of_ones_own_gets_no_key_but_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-provider-0123456789")
    monkeypatch.setenv("MY_KEY", "local-key-0123456789")
    with LlmServer(["hello"], key="none") as server:
        make_model(server).complete(MESSAGES, seed=0, attempt=0)
    with LlmServer(["hello"], key="local-key-0123456789") as server:
        make_model(server, api_key_env="MY_KEY").complete(MESSAGES, seed=0, attempt=0)
    with LlmServer(["hello"], key="another") as server:
        with pytest.raises(ProviderRefusalError, match=r"check the environment variable MY_KEY") as caught:
            make_model(server, api_key_env="MY_KEY").complete(MESSAGES, seed=0, attempt=0)
        assert "local-key" not in str(caught.value), "providers echo keys; we do not"
        assert "Incorrect API key provided: ***" in str(caught.value)


def test_a_price_of_ones_own_counts_what_was_in_the_cache() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
    with LlmServer([Completion(text="hello", usage=usage)]) as server:
        price = {"input": 3.0, "output": 15.0, "cached": 0.3}
        reply = make_model(server, price=price).complete(MESSAGES, seed=0, attempt=0)

    assert (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens) == (1000, 400, 100)
    assert reply.cost_usd == pytest.approx((600 * 3 + 400 * 0.3 + 100 * 15) / 1e6)
    assert Price(input=3, output=15).cost_usd(
        prompt_tokens=1000, cached_tokens=400, completion_tokens=100
    ) == pytest.approx(0.0045)


def test_litellm_knows_the_price_of_a_public_model() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    with LlmServer([Completion(text="hello", usage=usage)]) as server:
        model = make_model(server, model="openai/gpt-4o-mini", price=None)
        assert model.without_price() == []
        assert model.complete(MESSAGES, seed=0, attempt=0).cost_usd == pytest.approx((1000 * 0.15 + 100 * 0.6) / 1e6)


def test_an_unknown_price_is_said_once_and_counted_as_nothing() -> None:
    told: list[str] = []
    with LlmServer(["hello"]) as server:
        model = make_model(server, price=None, tell=told.append)
        assert model.without_price() == ["openai/scripted"]
        costs = [model.complete(MESSAGES, seed=seed, attempt=0).cost_usd for seed in range(2)]

        assert costs == [0, 0]
        assert told == [
            f"the cost of openai/scripted at {server.url} is counted as 0: litellm has no price for it; set llm.price"
        ]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_requests_are_under_way_than_may_be(concurrency: int) -> None:
    gate = threading.Barrier(concurrency, timeout=300)  # passes only if that many are there at once

    def meet(_: Request) -> str:
        gate.wait()
        return "hello"

    with LlmServer(meet) as server, ThreadPoolExecutor(6) as pool:
        model = make_model(server, concurrency=concurrency)
        list(pool.map(lambda seed: model.complete(MESSAGES, seed=seed, attempt=0), range(6)))
        assert server.most_at_once == concurrency


def test_the_model_that_a_proposal_names_is_asked_with_its_own_settings() -> None:
    models = ["openai/a", {"model": "openai/b", "temperature": 1.5, "max_tokens": 7}]
    with LlmServer(["hello"]) as server:
        model = make_model(server, model=None, models=models, temperature=0.5)
        replies = [model.complete(MESSAGES, seed=0, attempt=0, model=name) for name in ("openai/b", "openai/a")]

        assert [reply.model for reply in replies] == ["openai/b", "openai/a"]
        sent = [(body["model"], body["temperature"], body["max_tokens"]) for body in (r.body for r in server.requests)]
        assert sent == [("b", 1.5, 7), ("a", 0.5, 100)]


def test_without_llm_model_no_model_is_opened() -> None:
    assert open_model(**{**SETTINGS, "model": None}) is None


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [
        ({"api_key_env": "sk-abcdefghijklmnop"}, "must name an environment variable"),
        ({"api_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE, which is not set"),
        ({"api_base": "127.0.0.1:8080"}, "must be a URL"),
        ({"api_base": "http://me:secret@example.org/v1"}, "must hold no key"),
        ({"api_base": "http://example.org/v1?key=secret"}, "must hold no key"),
        ({"models": ["openai/b"]}, "either llm.model or llm.models"),
        ({"model": None, "models": ["openai/b", "openai/b"]}, "must differ"),
        ({"model": None, "models": [{"weight": 2}]}, "must name its model"),
        ({"model": None, "models": [{"model": "openai/b", "weight": 0}]}, "weight of openai/b must be above 0"),
        ({"model": None, "models": [{"model": "openai/b", "api_key": "sk-1"}]}, "name the variable in api_key_env"),
        ({"price": {"input": 1}}, "per million tokens"),
        ({"price": {"input": -1, "output": 1}}, "price.input must be at least 0"),
        ({"temperature": 3}, "temperature must be from 0 to 2"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"selection": "best"}, "llm.selection must be one of weighted, round_robin, ucb, got 'best'"),
        ({"exploration": -1}, "exploration must be at least 0"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"requests_per_minute": 0}, "requests_per_minute must be above 0"),
        ({"total_seconds": 0}, "must be above 0"),
        ({"backoff_seconds": 61}, "backoff_seconds must be from 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused_without_their_secrets(settings: Mapping[str, Any], phrase: str) -> None:
    with pytest.raises(ValueError, match=phrase.replace("(", r"\(")) as caught:
        open_model(**{**SETTINGS, "api_base": "http://127.0.0.1:1/v1", **settings})
    assert "secret" not in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_prices_are_those_of_litellm_or_ones_own() -> None:
    common = {key: SETTINGS[key] for key in ("model", "api_base", "price")}
    (own,) = read_endpoints(common, [])
    (unknown,) = read_endpoints({**common, "price": None}, [])

    assert [has_price(own), has_price(unknown)] == [True, False]
