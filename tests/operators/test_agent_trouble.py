"""What coding agents print when their provider gives them nothing, and what they print when they work."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from operators.agent.spoken import spoken
from operators.agent.trouble import Trouble, find_trouble
from operators.edit.statement import stated

TRACE = """\
    at throwErrorIfNotOK (file:///agents/node_modules/@google/gemini-cli/bundle/chunk-JDPZ4CE3.js:267833:24)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at async retryWithBackoff (file:///agents/node_modules/@google/gemini-cli/bundle/chunk-JDPZ4CE3.js:308039:23)
    at async GeminiChat.streamWithRetries (file:///agents/node_modules/@google/gemini-cli/bundle/chunk-JDPZ4CE3.js:332:2)
    at async Turn.run (file:///agents/node_modules/@google/gemini-cli/bundle/chunk-JDPZ4CE3.js:333001:24)"""
IN_GEMINI = "Error when talking to Gemini API Full report available at: /tmp/gemini-client-error-Turn.run.json"
CRITICAL = "An unexpected critical error occurred:[object Object]"
QUOTA = "You have exhausted your capacity on this model. Your quota will reset after 2h3m4s."
WARNINGS = "Ripgrep is not available. Falling back to GrepTool.\n"


def in_json(message: str) -> str:
    """The output of `gemini --output-format json`: warnings, then an object of many lines."""
    return WARNINGS + json.dumps({"session_id": "156025a9", "error": {"type": "Error", "message": message}}, indent=2)


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
        "API Error: Request rejected (429) \u00b7 This request would exceed your account's rate limit.",
        "API Error: Repeated 529 Overloaded errors. The API is at capacity \u2014 this is usually temporary.",
        "litellm.RateLimitError: AnthropicException - rate_limit_error",
        '{"type":"result","subtype":"success","is_error":true,"result":"API Error: Rate limit reached"}',
        '{"type":"turn.started"}\n{"type":"turn.failed","error":{"message":"You\'ve hit your usage limit."}}',
    ],
)
def test_what_passes_by_waiting(said: str, status: int) -> None:
    found = trouble(f"thinking\n{said}\n\n", status)
    assert found is not None
    assert found.passes


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: Reconnecting... 5/5\nERROR: We\u2019re currently experiencing high demand.",
        "ERROR: exceeded retry limit, last status: 429 Too Many Requests",
        "ERROR: stream disconnected before completion: error sending request",
        "ERROR: unexpected status 503 Service Unavailable: The server is overloaded or not ready yet., url: http://x/v1",
        "Error: Cannot connect to API: Unable to connect. Is the computer able to access the url?",
    ],
)
def test_what_passes_by_waiting_if_the_agent_failed(said: str) -> None:
    found = trouble(said)
    assert found is not None
    assert found.passes
    assert "Reconnecting" not in found.said


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


@pytest.mark.parametrize(
    "said",
    [
        "Invalid API key \u00b7 Fix external API key",
        "There's an issue with the selected model (claude-nope). It may not exist or you may not have access to it. "
        "Run --model to pick a different model.",
        "ERROR: unexpected status 401 Unauthorized: Incorrect API key provided: sk-abc. You can find your API key at "
        "https://platform.openai.com/account/api-keys., url: http://127.0.0.1:8555/v1/responses",
        "ERROR: The model `gpt-nope` does not exist or you do not have access to it.",
        'ERROR: {"error": {"message": "You have insufficient credits", "code": "insufficient_quota"}}',
        "ERROR: Quota exceeded. Check your plan and billing details.",
        "No auth type is selected. Please configure an auth type (e.g. via settings or `--auth-type`) before running",
        "[API Error: 404 The model `gpt-nope` does not exist or you do not have access to it.]",
        "[API Error: 400 You have insufficient credits]",
        "litellm.NotFoundError: OpenAIException - The model `gpt-nope` does not exist or \nyou do not have access",
        "Gemini CLI is not running in a trusted directory. To proceed, either use `--skip-trust`, set the "
        "`GEMINI_CLI_TRUST_WORKSPACE=true` environment variable, or trust this directory in interactive mode.",
        f'{IN_GEMINI} _ApiError: {{"error":{{"code":400,"message":"API key not valid. Please pass a key."}}}}\n'
        f"{TRACE} {{\n  status: 400\n}}\n{CRITICAL}",
        f"{IN_GEMINI} ModelNotFoundError: models/nope is not found for API version v1beta\n{TRACE}\n{CRITICAL}",
        in_json('{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}'),
        in_json("models/gemini-nope is not found for API version v1beta"),
        in_json('{"error":{"code":403,"message":"This API method requires billing to be enabled."}}'),
    ],
)
def test_what_real_agents_said_of_a_key_or_a_model(said: str) -> None:
    """Claude Code 2.1.197, Codex 0.171, Gemini CLI 0.61, Qwen Code 0.15 and aider 0.86 with a scripted provider."""
    found = trouble(said)
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
        (
            f"Attempt 5 failed: {QUOTA}. Max attempts reached\n{IN_GEMINI} RetryableQuotaError: {QUOTA}\n{TRACE} {{\n"
            f"  cause: {{\n    code: 429,\n    message: '{QUOTA}',\n    details: []\n  }},\n"
            f"  retryDelayMs: undefined,\n  reason: undefined,\n  status: 429\n}}\n{CRITICAL}",
            2 * HOUR + 184,
        ),
        (in_json(QUOTA), 2 * HOUR + 184),
        (
            "API Error: Request rejected (429) \u00b7 You have reached your API usage limits. You will regain "
            "access on 2025-12-01 at 00:00 UTC.",
            6 * DAY + 8 * HOUR,
        ),
        ("You have reached your usage limit reached. You will regain access on 2025-13-01 at 00:00 UTC.", None),
        ("ERROR: 429 You exceeded your current quota, check your plan and billing. Please retry in 34.1s.", 34.1),
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
        "warning: Model metadata for `gpt-5` not found. Defaulting to fallback metadata; this can degrade performance\n"
        "ERROR: Codex ran out of room in the model's context window. Start a new thread or clear earlier history",
        "[API Error: 400 Your input exceeds the context window of this model.]",
        "litellm.BadRequestError: OpenAIException - Your input exceeds the context window",
        "",
    ],
)
def test_words_of_a_model_and_other_failures_are_no_trouble(said: str, status: int) -> None:
    assert trouble(said, status) is None


def test_a_model_may_speak_of_limits() -> None:
    said = "I hit your limit of 450 lines, and the API has a rate limit of 429 requests, so nothing was changed."
    assert trouble(said, status=0) is None


def test_one_that_is_stopped_while_it_asks_again_has_waited_for_its_provider() -> None:
    asking = f"Attempt 8 failed with status 503. Retrying... _ApiError: overloaded\n{TRACE} {{\n  status: 503\n}}"
    for said, found in ((asking, True), (f"{asking}\nI edit train.py now.", False), ("Operation cancelled.", False)):
        assert bool(find_trouble(spoken(said), failed=True, stopped=True)) == found


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
        (WARNINGS + json.dumps({"response": answer, "stats": {"models": {}}}, indent=2), 0.0),
        (json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": answer}}), 0.0),
    ):
        said = spoken(output)
        assert stated(said.text, of_agent=True) == ("fewer heads", "speed")
        assert said.cost_usd == cost_usd
        assert not said.failed


def test_text_stays_as_it_is() -> None:
    text = "I set {lr}\n{not json}\n"
    assert spoken(text).text == text
