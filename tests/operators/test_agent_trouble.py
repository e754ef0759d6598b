"""What coding agents print when their provider gives them nothing, and what they print when they work."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from operators.agent.spoken import spoken
from operators.agent.trouble import Trouble, find_trouble
from operators.edit.statement import stated


def trouble(output: str, status: int = 1) -> Trouble | None:
    return find_trouble(spoken(output), failed=status != 0, now=lambda: 1_764_000_000.0)


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize(
    "said",
    [
        "You\u2019ve hit your limit \u00b7 resets 1pm (Europe/Lisbon)",
        "You've hit your weekly limit \u00b7 resets Mon 9am",
        "5-hour limit reached \u2219 resets 3pm",
        "API Error: Rate limit reached",
        'API Error: 529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        "API Error: Connection error.",
        "[API Error: You have exhausted your capacity on this model. Your quota will reset after 3h20m.]",
        "litellm.RateLimitError: AnthropicException - rate_limit_error",
        '{"type":"result","subtype":"success","is_error":true,"result":"API Error: Rate limit reached"}',
        '{"type":"turn.started"}\n{"type":"turn.failed","error":{"message":"You\'ve hit your usage limit."}}',
    ],
)
def test_what_passes_by_waiting(said: str, status: int) -> None:
    found = trouble(f"thinking\n{said}\n\n", status)
    assert found is not None
    assert found.passes


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize(
    "said",
    [
        "Invalid API key \u00b7 Please run /login",
        "Not logged in \u00b7 Please run /login",
        "Credit balance is too low",
        'API Error: 401 {"type":"error","error":{"type":"authentication_error","message":"OAuth token has expired."}}',
        "litellm.AuthenticationError: OpenAIException - Incorrect API key provided",
        '{"type":"result","is_error":true,"result":"Credit balance is too low"}',
    ],
)
def test_what_needs_the_user(said: str, status: int) -> None:
    found = trouble(said, status)
    assert found is not None
    assert not found.passes


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone of the machine; now it is 1:00 there, on Tuesday, 25 November 2025, and in UTC 16:00, on Monday."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


HOUR, DAY = 3600, 86_400


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(
    ("said", "wait_seconds"),
    [
        ("Claude AI usage limit reached|1764003600", 3600),
        ("Claude AI usage limit reached|1763999999", 0),
        ("ERROR: You've hit your usage limit. Try again in 4 days 6 hours 37 minutes.", 369_420),
        ("[API Error: exhausted your capacity on this model. Your quota will reset after 3h20m.]", 12_000),
        ("You've hit your session limit \u00b7 resets 3:50am (Asia/Tokyo)", 2 * HOUR + 50 * 60),
        ("You've hit your limit \u00b7 resets 3pm (America/Bogota)", 4 * HOUR),
        ("You've hit your limit \u00b7 resets 12am (UTC)", 8 * HOUR),
        ("You've hit your session limit \u00b7 resets 12:30pm (America/New_York)", 90 * 60),
        ("5-hour limit reached \u2219 resets 3am", 2 * HOUR),
        ("Session limit reached \u2219 resets 4:00 AM", 3 * HOUR),
        (
            "Weekly limit reached \u00b7 resets 10am (Asia/Seoul) \u00b7 /upgrade to Max or turn on /extra-usage",
            9 * HOUR,
        ),
        ("You've hit your weekly limit \u00b7 resets Nov 26, 1pm (UTC)", DAY + 21 * HOUR),
        ("You've hit your weekly limit \u00b7 resets Nov 25 at 4:30am (Asia/Calcutta)", 7 * HOUR),
        ("You've hit your weekly limit \u00b7 resets Jan 1, 1am (UTC)", 37 * DAY + 9 * HOUR),
        ("You've hit your weekly limit \u00b7 resets Mon 9am", 6 * DAY + 8 * HOUR),
        ("Claude usage limit reached. Your limit will reset at 1pm (Etc/GMT+5).", 2 * HOUR),
        ("You've hit your limit for Claude messages. Limits will reset at 9:30 a.m.", 8.5 * HOUR),
        ("You've hit your usage limit. Upgrade to Pro or try again at Dec 5th, 2025 1:00 AM.", 10 * DAY),
        ("You've hit your usage limit. Try again at 6:44 PM.", 17 * HOUR + 44 * 60),
        ("quota exceeded, resets at 15:50 UTC", 0),
        ("quota exceeded, resets at 14:50 UTC", 22 * HOUR + 50 * 60),
        ("You've hit your limit \u00b7 resets 2am (Middle/Earth)", HOUR),
        ("You've hit your limit \u00b7 resets 25:10", None),
        ("You've hit your limit \u00b7 resets Feb 30, 1pm (UTC)", None),
        ("You've hit your usage limit. Try again at 10 de jul. de 2026, 11:52.", None),
        ("API Error: Rate limit reached", None),
    ],
)
def test_a_wait_that_is_named(said: str, wait_seconds: float | None) -> None:
    found = trouble(said)
    assert found is not None
    assert found.wait_seconds == wait_seconds


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize(
    "said",
    [
        "CHANGE: raise the learning rate\nHYPOTHESIS: the rate limits progress",
        "I stopped 500 steps early, at the learning rate limit.\ntokens used: 1,500",
        "error: unknown option '--permission'",
        "",
    ],
)
def test_words_of_a_model_and_other_failures_are_no_trouble(said: str, status: int) -> None:
    assert trouble(said, status) is None


def test_a_model_may_speak_of_limits() -> None:
    said = "I hit your limit of 450 lines, and the API has a rate limit of 429 requests, so nothing was changed."
    assert trouble(said, status=0) is None


def test_an_old_error_far_above_does_not_count() -> None:
    assert trouble("API Error: 529 overloaded, retrying\n" + "working\n" * 5, status=0) is None


def test_a_key_that_is_repeated_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890abcdef")
    found = trouble("litellm.AuthenticationError: Incorrect API key provided: sk-1234567890abcdef")
    assert found is not None
    assert "1234567890" not in found.said


def test_what_is_said_in_json() -> None:
    """Claude Code, Codex and Gemini write events; their words are in different fields."""
    answer = "CHANGE: fewer heads\nHYPOTHESIS: speed"
    events = [{"type": "system"}, {"type": "result", "is_error": False, "result": answer, "total_cost_usd": 0.25}]
    lines = "\n".join(json.dumps(each) for each in events)
    for output, cost_usd in (
        (lines, 0.25),
        (json.dumps(events[1], indent=2), 0.25),
        (json.dumps({"response": answer, "stats": {}}), 0.0),
        (json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": answer}}), 0.0),
    ):
        said = spoken(output)
        assert stated(said.text, prose=False) == ("fewer heads", "speed")
        assert said.cost_usd == cost_usd
        assert not said.failed


def test_text_stays_as_it_is() -> None:
    text = "I set {lr}\n{not json}\n"
    assert spoken(text).text == text
