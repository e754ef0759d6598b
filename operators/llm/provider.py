"""One call of a language model through litellm, and its reply."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from operators.chat import REFUSED, TOOL_CALLS, Message, Reply
from operators.llm.catalogue import import_litellm
from operators.llm.endpoint import Endpoint
from operators.llm.refusals import BusyError, UnavailableError, is_policy, meaning
from operators.llm.usage import cost_usd, usage_of
from target.in_thread import run_in_thread

_BROKEN: Final = frozenset({"error", "network_error"})


def call(
    endpoint: Endpoint,
    messages: Sequence[Message],
    *,
    max_tokens: int | None,
    connect_seconds: float,
    total_seconds: float,
) -> Reply:
    """Ask a model once.

    Returns:
        Its reply: the text may be empty, cut off (`length`) or refused (`content_filter`). If there is no answer, the
        reasoning is used as the text, and marked as reasoning.

    Raises:
        UnavailableError: It cannot answer now.
        ProviderRefusalError: It will not answer such a request, now or later.
    """
    litellm = import_litellm()
    import httpx
    import openai

    optional = {
        "api_base": endpoint.api_base,
        "api_key": endpoint.api_key,
        "temperature": endpoint.temperature,
        "reasoning_effort": endpoint.reasoning_effort,
        "max_tokens": max_tokens,
    }

    def complete() -> Any:
        return litellm.completion(
            model=endpoint.model,
            messages=[{"role": each.role, "content": each.text} for each in messages],
            timeout=httpx.Timeout(total_seconds, connect=connect_seconds),
            max_retries=0,  # we retry ourselves, within llm.outage_minutes
            num_retries=0,
            **{name: value for name, value in optional.items() if value is not None},
        )

    began = time.monotonic()
    try:
        # httpx limits only silence, not the time of an answer; any exception is raised again here
        future = run_in_thread(complete, expected=(Exception,), name="llm")
        response = future.result(total_seconds + connect_seconds)
    except TimeoutError:
        raise _late(total_seconds, endpoint) from None
    except openai.OpenAIError as error:
        if isinstance(error, openai.APITimeoutError) and time.monotonic() - began >= total_seconds:
            raise _late(total_seconds, endpoint) from error
        if is_policy(error):
            return _refused(endpoint, time.monotonic() - began)
        raise meaning(error, endpoint, max_tokens=max_tokens) from error
    return _reply(response, endpoint, messages, time.monotonic() - began)


def _late(seconds: float, endpoint: Endpoint) -> BusyError:
    own = ": your server may need longer, and llm.concurrency=1 if it answers one request at a time"
    return BusyError(f"no complete answer in {seconds:g} s (llm.total_seconds){own if endpoint.api_base else ''}")


def _reply(response: Any, endpoint: Endpoint, messages: Sequence[Message], seconds: float) -> Reply:
    choices = getattr(response, "choices", None)
    if not choices:
        raise UnavailableError("the answer has no choices")
    message, finish_reason = choices[0].message, choices[0].finish_reason or "stop"
    if broken := _broken_off(choices[0]):
        raise UnavailableError(f"the answer broke off: {broken}")
    answer, reasoning = message.content or "", getattr(message, "reasoning_content", None) or ""
    called = _called(message)
    if called and not answer.strip():
        finish_reason = TOOL_CALLS
    if getattr(message, "refusal", None) and not answer.strip():
        finish_reason = REFUSED
    only_reasoning = bool(reasoning.strip()) and not answer.strip() and finish_reason not in (TOOL_CALLS, REFUSED)
    usage = usage_of(response, messages, f"{reasoning}{answer}{called}")
    return Reply(
        text=reasoning if only_reasoning else answer,
        model=endpoint.model,
        finish_reason=finish_reason,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=cost_usd(usage, endpoint, response),
        seconds=seconds,
        reasoning=only_reasoning,
        estimated=usage.estimated,
    )


def _broken_off(choice: Any) -> str:
    """Return why an answer is incomplete; empty if it is complete.

    A gateway that has begun to answer cannot change the status any more, so it puts an error beside the text. litellm
    calls such an answer finished, and keeps what the gateway said.
    """
    found = getattr(choice, "provider_specific_fields", None) or {}
    error, reason = found.get("error"), found.get("native_finish_reason")
    if error:
        return str(error.get("message") or error) if isinstance(error, dict) else str(error)
    return f"finish_reason is {reason}" if reason in _BROKEN else ""


def _called(message: Any) -> str:
    """Return the tools that a message calls, as text; empty if it calls none."""
    calls = [call.function for call in getattr(message, "tool_calls", None) or ()]
    calls += [each for each in (getattr(message, "function_call", None),) if each]
    return " ".join(f"{call.name or ''}({call.arguments or ''})" for call in calls)


def _refused(endpoint: Endpoint, seconds: float) -> Reply:
    """Return a refusal that was an error in the same form as one that is an answer."""
    return Reply(
        text="",
        model=endpoint.model,
        finish_reason=REFUSED,
        prompt_tokens=0,
        completion_tokens=0,
        cost_usd=0.0,
        seconds=seconds,
    )
