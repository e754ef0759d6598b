"""One call of a language model through litellm; if it fails, whose fault that is and whether waiting may help."""

from __future__ import annotations

import email.utils
import logging
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NoReturn, TypeVar

from operators.base import ProviderRefusalError
from operators.chat import Message, Reply
from operators.llm.endpoint import Endpoint
from operators.secrets import redact

_LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "httpx")
_WORTH_WAITING: Final = frozenset({408, 409, 425, 429})  # of the 4xx; of the 5xx all are
_POLICY: Final = ("content_policy", "content_filter", "content management policy", "safety system")
_USED_UP: Final = ("insufficient_quota", "exceeded your current quota", "credit balance is too low")
_CLASSES: Final = re.compile(
    r"^(?:[\w.]*(?:Error|Timeout): )*(?:\w+(?:Exception|Error) - )?"
)  # litellm's own, in front
_LONGEST_MESSAGE: Final = 500
_T = TypeVar("_T")


class UnavailableError(Exception):
    """The provider cannot answer now; it may later.

    Args:
        message: What happened.
        retry_after_seconds: How long it asks to be left alone.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def import_litellm() -> Any:
    """Import litellm, which takes seconds, so that it talks to nobody but the provider of a call."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its default downloads a table of prices
    os.environ.setdefault("DO_NOT_TRACK", "true")
    warnings.filterwarnings("ignore", message=r".*`ReadOnly` qualifier", category=UserWarning)  # pydantic, of its types
    import litellm

    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters comes to us as an exception
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


def missing_keys(endpoint: Endpoint) -> list[str]:
    """Return the environment variables that a model of litellm's providers needs and that are not set."""
    if endpoint.api_key is not None:
        return []
    missing: list[str] = import_litellm().validate_environment(endpoint.model)["missing_keys"]
    return missing


def has_price(endpoint: Endpoint) -> bool:
    """Return whether it is known what a call costs."""
    if endpoint.price is not None:
        return True
    litellm = import_litellm()
    try:
        return litellm.get_model_info(endpoint.model)["input_cost_per_token"] is not None
    except litellm.exceptions.ModelNotMappedError:
        return False


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
        Whatever it answered: the text may be empty, cut off (`length`) or refused (`content_filter`).

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
            max_retries=0,  # we do it ourselves, within llm.outage_minutes
            num_retries=0,
            **{name: value for name, value in optional.items() if value is not None},
        )

    began = time.monotonic()
    try:
        response = _within(total_seconds + connect_seconds, complete)
    except openai.OpenAIError as error:
        if _is_policy(error):
            return _refused(endpoint, time.monotonic() - began)
        _blame(error, endpoint)
    return _reply(litellm, response, endpoint, time.monotonic() - began)


def _within(seconds: float, function: Callable[[], _T]) -> _T:
    """Return what a function returns, or give up on it; httpx knows no limit for a whole answer, only for silence."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  # it is raised again in the thread that waits
            future.set_exception(error)

    threading.Thread(target=run, name="llm", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():
            raise
        raise UnavailableError(f"no complete answer in {seconds:g} s (llm.total_seconds)") from None


def _reply(litellm: Any, response: Any, endpoint: Endpoint, seconds: float) -> Reply:
    choices = getattr(response, "choices", None)
    if not choices:
        raise UnavailableError("the answer has no choices")
    usage = getattr(response, "usage", None)
    prompt_tokens, completion_tokens = (_count(usage, f"{each}_tokens") for each in ("prompt", "completion"))
    cached_tokens = min(_count(getattr(usage, "prompt_tokens_details", None), "cached_tokens"), prompt_tokens)
    if endpoint.price is not None:
        cost_usd = endpoint.price.cost_usd(
            prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, completion_tokens=completion_tokens
        )
    else:
        cost_usd = _cost_by_litellm(litellm, response, endpoint)
    return Reply(
        text=choices[0].message.content or "",
        model=endpoint.model,
        finish_reason=choices[0].finish_reason or "stop",
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        completion_tokens=completion_tokens,
        cost_usd=cost_usd,
        seconds=seconds,
    )


def _refused(endpoint: Endpoint, seconds: float) -> Reply:
    """Return a refusal that came as an error in the form of those that come as an answer."""
    return Reply(
        text="",
        model=endpoint.model,
        finish_reason="content_filter",
        prompt_tokens=0,
        completion_tokens=0,
        cost_usd=0.0,
        seconds=seconds,
    )


def _count(usage: Any, name: str) -> int:
    return int(getattr(usage, name, None) or 0)


def _cost_by_litellm(litellm: Any, response: Any, endpoint: Endpoint) -> float:
    if not has_price(endpoint):
        return 0.0
    return float(litellm.completion_cost(completion_response=response, model=endpoint.model))


def _is_policy(error: Any) -> bool:
    if type(error).__name__ == "ContentPolicyViolationError":
        return True
    return getattr(error, "status_code", None) == 400 and any(
        word in f"{getattr(error, 'code', '')} {error}".lower() for word in _POLICY
    )


def _blame(error: Any, endpoint: Endpoint) -> NoReturn:
    """Raise what a failed call means for the search."""
    status = int(getattr(error, "status_code", None) or 500)
    said = redact(_CLASSES.sub("", " ".join(str(error).split())))[:_LONGEST_MESSAGE]
    used_up = any(word in said.lower() for word in _USED_UP)
    if not used_up and (status >= 500 or status in _WORTH_WAITING):
        raise UnavailableError(f"{type(error).__name__}: {said}", retry_after_seconds=_retry_after(error)) from error
    if used_up or status == 402:
        advice = "the account has no credit left; pay, or give another key"
    elif type(error).__name__ == "ContextWindowExceededError":
        advice = "the prompt is longer than the model's context; choose a model with a longer one, or a shorter prompt"
    elif status in (401, 403):
        advice = f"the provider does not accept the key: {_about_the_key(endpoint)}"
    elif status == 404:
        advice = "no such model there: check llm.model and llm.api_base"
    else:
        advice = "the provider does not accept the request: check llm.model and its settings"
    raise ProviderRefusalError(f"model {endpoint.where}: {advice} (status {status}: {said})") from error


def _about_the_key(endpoint: Endpoint) -> str:
    if endpoint.api_key_env:
        return f"check the environment variable {endpoint.api_key_env} (llm.api_key_env)"
    if endpoint.api_base:
        return "none was sent; name the environment variable that has it in llm.api_key_env"
    provider = endpoint.model.split("/")[0] if "/" in endpoint.model else "openai"
    return f"check the environment variable {provider.upper()}_API_KEY, or name another in llm.api_key_env"


def _retry_after(error: Any) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date (RFC 9110, 10.2.3)."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
    text = headers.get("retry-after") or (getattr(error, "litellm_response_headers", None) or {}).get("retry-after")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        date = email.utils.parsedate_tz(text)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
