"""Interprets a failed call of a model: the cause, whether waiting may help, and which setting to change."""

from __future__ import annotations

import email.utils
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from operators.base import ProviderRefusalError
from operators.llm.catalogue import unset_variables
from operators.llm.endpoint import Endpoint
from operators.llm.token_limits import about_rate, about_tokens
from operators.llm.waits import seconds_in_words
from operators.secrets import redact

_WORTH_WAITING: Final = frozenset({408, 409, 425, 429})  # among 4xx; all 5xx are
_BUSY: Final = frozenset({408, 429})
_POLICY: Final = ("content_policy", "content_filter", "content management policy", "safety system")
_USED_UP: Final = (
    "insufficient_quota",
    "exceeded your current quota",
    "credit balance is too low",
    "reached your specified api usage limits",
)
_CLASSES: Final = re.compile(
    r"^(?:[\w.]*(?:Error|Timeout): )*(?:\w+(?:Exception|Error) - )?"
)  # litellm's own, in front
_TRACEBACK: Final = " Traceback (most recent call last)"  # litellm's own too, behind
_LONGEST_MESSAGE: Final = 500
_NO_CREDENTIALS: Final = re.compile(
    r"missing (?:credentials|[\w ]{0,40}api[ _]key)|credentials were not found|unable to locate credentials|"
    r"config profile .{0,200} could not be found|failed to get (?:access token|api key)",
    re.IGNORECASE,
)
"""Messages of litellm and cloud libraries before they send anything; litellm gives some of them the status 500."""
_CREDENTIAL_CLASSES: Final = re.compile(r"Credential|TokenRetrieval|SSOToken|RefreshError")
"""Errors of the libraries of clouds; litellm has classes with such names for other troubles."""
_CLOUDS: Final = ("bedrock", "sagemaker", "vertex_ai")


class UnavailableError(Exception):
    """The provider cannot answer now; it may later.

    Args:
        message: What happened.
        retry_after_seconds: Waiting time that the provider asks for.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class BusyError(UnavailableError):
    """The provider is reachable, but it asks to wait, or does not finish in time."""


def is_policy(error: Any) -> bool:
    """Return whether a failed call is a refusal to answer because of the content."""
    if type(error).__name__ == "ContentPolicyViolationError":
        return True
    return getattr(error, "status_code", None) == 400 and any(
        word in f"{getattr(error, 'code', '')} {error}".lower() for word in _POLICY
    )


def meaning(error: Any, endpoint: Endpoint, *, max_tokens: int | None) -> UnavailableError | ProviderRefusalError:
    """Return what a failed call means for a search.

    Args:
        error: What litellm raised.
        endpoint: The model.
        max_tokens: Requested limit for the answer.
    """
    status = int(getattr(error, "status_code", None) or 500)
    said = _said(error)
    used_up = any(word in said.lower() for word in _USED_UP) and seconds_in_words(str(error)) is None
    advice = _local_advice(error, said, endpoint) or about_rate(said.lower(), max_tokens)
    if not advice and not used_up and (not 400 <= status < 500 or status in _WORTH_WAITING):
        kind = BusyError if status in _BUSY else UnavailableError
        return kind(f"{type(error).__name__}: {said}", retry_after_seconds=_retry_after(error))
    if used_up or status == 402:
        advice = "the account has no credit left, or has reached its limit: add credit, or use another key"
    elif not advice and status in (401, 403):
        advice = _about_the_key(endpoint)
    elif not advice and status == 404:
        advice = f"no such model there: check llm.model and llm.api_base{_about_the_path(endpoint)}"
    advice = advice or _about_the_request(error, said, endpoint, max_tokens)
    return ProviderRefusalError(f"model {endpoint.where}: {advice} (status {status}: {said})", status=status, said=said)


def _said(error: Any) -> str:
    text, body = " ".join(str(error).split()), getattr(error, "body", None)
    if isinstance(body, str) and body not in text:  # an error that is a plain text instead of the usual object
        text = f"{text}: {body}"
    return redact(_CLASSES.sub("", text).partition(_TRACEBACK)[0])[:_LONGEST_MESSAGE]


def _local_advice(error: Any, said: str, endpoint: Endpoint) -> str:
    """Return what to do about a failure on this machine before anything was sent; empty for other failures."""
    chain = [*_chain(error)]
    if any(isinstance(each, ImportError) for each in chain):
        return "a package is missing: install what the message names"
    foreign = [type(each).__name__ for each in chain if not type(each).__module__.startswith("litellm.")]
    if _NO_CREDENTIALS.search(said) or any(_CREDENTIAL_CLASSES.search(name) for name in foreign):
        return _about_the_key(endpoint)
    if "LLM Provider NOT provided" in said:
        return "litellm knows no such provider: write llm.model=PROVIDER/NAME, openai/NAME for your own server"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _about_the_key(endpoint: Endpoint) -> str:
    if endpoint.api_key_env:
        return (
            "the provider does not accept the key: "
            f"check the environment variable {endpoint.api_key_env} (llm.api_key_env)"
        )
    if endpoint.api_base:
        return (
            "the provider does not accept the key: none was sent; "
            "set llm.api_key_env to the environment variable that has it"
        )
    provider = endpoint.model.split("/")[0] if "/" in endpoint.model else "openai"
    cloud = ", or sign in to the cloud: a profile, a role, default credentials" if provider in _CLOUDS else ""
    if unset := unset_variables(endpoint):
        other = cloud or ", or name another in llm.api_key_env"
        return f"it needs a key: set the environment variable {' and '.join(unset)}{other}"
    if cloud:
        return f"the provider does not accept the credentials: check those of {provider}{cloud}"
    return (
        "the provider does not accept the key: "
        f"check the environment variable {provider.upper()}_API_KEY, or name another in llm.api_key_env"
    )


def _about_the_request(error: Any, said: str, endpoint: Endpoint, max_tokens: int | None) -> str:
    """Return which setting to change after the provider refused a request."""
    named = f"{getattr(error, 'param', None) or ''} {said}".lower()
    too_long = type(error).__name__ == "ContextWindowExceededError"
    if advice := about_tokens(named, max_tokens, context=too_long):
        return advice
    if endpoint.temperature is not None and "temperature" in named:
        return (
            f"it does not accept llm.temperature={endpoint.temperature:g}: set llm.temperature=null, or what it accepts"
        )
    if endpoint.reasoning_effort is not None and ("reasoning" in named or "thinking" in named):
        return (
            f"it does not accept llm.reasoning_effort={endpoint.reasoning_effort}: "
            "set llm.reasoning_effort=null, or what it accepts"
        )
    return f"the provider does not accept the request: check llm.model and its settings{_about_the_path(endpoint)}"


def _about_the_path(endpoint: Endpoint) -> str:
    is_bare = endpoint.api_base is not None and not urllib.parse.urlsplit(endpoint.api_base).path.strip("/")
    return " (llm.api_base usually ends in /v1)" if is_bare and endpoint.model.startswith("openai/") else ""


def _retry_after(error: Any) -> float | None:
    """Return the seconds to wait that a provider asks for: by a Retry-After header, or else in words.

    The header may be a number or a date (RFC 9110, 10.2.3).
    """
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
    text = headers.get("retry-after") or (getattr(error, "litellm_response_headers", None) or {}).get("retry-after")
    if not text:
        return seconds_in_words(str(error))
    try:
        return max(0.0, float(text))
    except ValueError:
        date = email.utils.parsedate_tz(text)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
