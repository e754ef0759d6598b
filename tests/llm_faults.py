"""What a provider can answer in place of a text, and everything that can go wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer that is more than a text.

    Attributes:
        text: The field for the answer.
        finish_reason: Why the model stopped.
        usage: Tokens; None to have them counted.
        choices: How many there are.
        reasoning: The field for reasoning, which servers name `reasoning_content` or `reasoning`.
        reasoning_field: Its name.
        tool: Arguments of a call of a tool.
        beside: Further fields of the message.
        around: Further fields of the choice, which holds the message.
    """

    text: str | None
    finish_reason: str = "stop"
    usage: Mapping[str, Any] | None = None
    choices: int = 1
    reasoning: str | None = None
    reasoning_field: str = "reasoning_content"
    tool: Mapping[str, str] | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)
    around: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An answer that is an error.

    Attributes:
        status: HTTP status.
        code: The provider's word for it.
        message: What it says.
        headers: Sent along.
        param: The parameter that it is about.
        flat: Whether the error is the whole body, as some servers have it.
    """

    status: int
    code: str | None = None
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None
    flat: bool = False


NOT_COUNTED: Final = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""The usage that servers give which count nothing."""

Answer = str | Completion | Failure

FAULTS: Final[Mapping[str, Completion | Failure | str]] = {
    "429": Failure(status=429, code="rate_limit_exceeded", headers={"Retry-After": "0"}),
    "429 without advice": Failure(status=429, code="rate_limit_exceeded"),
    "429 for an hour": Failure(status=429, code="rate_limit_exceeded", headers={"Retry-After": "3600"}),
    "quota": Failure(status=429, code="insufficient_quota", message="You exceeded your current quota"),
    "500": Failure(status=500),
    "502": Failure(status=502),
    "503": Failure(status=503),
    "400": Failure(status=400, code="invalid_value", message="no such parameter"),
    "401": Failure(status=401, code="invalid_api_key", message="Incorrect API key provided: {key}"),
    "402": Failure(status=402, code="payment_required", message="no credit left"),
    "403": Failure(status=403, code="forbidden", message="this project may not use this model"),
    "404": Failure(status=404, code="model_not_found", message="The model does not exist"),
    "context": Failure(
        status=400,
        code="context_length_exceeded",
        message="This model's maximum context length is 4096 tokens. However, your messages resulted in 9999 tokens.",
    ),
    "policy": Failure(
        status=400,
        code="content_policy_violation",
        message="Your request was rejected as a result of our safety system.",
    ),
    "refusal": Completion(text=None, finish_reason="content_filter"),
    "truncated": Completion(text="<<<<<<< SEARCH\nDEPTH", finish_reason="length"),
    "empty": Completion(text=""),
    "no text": Completion(text=None),
    "no choices": Completion(text="", choices=0),
    "hang": "hang",  # takes the request and never answers
    "drip": "drip",  # sends blanks for ever, as some providers do to keep a connection alive
    "drop": "drop",  # closes the connection in place of an answer
    "drop in the middle": "drop in the middle",  # of the body
    "not json": "not json",
    "other json": "other json",  # JSON, but no completion
    "html": "html",  # a proxy's error page, with status 200
}
"""What can go wrong; "401" and the like are statuses. A plan maps the number of a request to one of these names."""

TEMPORARY: Final = (
    "429",
    "429 without advice",
    "500",
    "502",
    "503",
    "drop",
    "drop in the middle",
    "not json",
    "other json",
    "html",
    "no choices",
)
"""Those that pass, and are noticed at once."""
SLOW: Final = ("hang", "drip")
"""Those that pass, and are noticed when patience ends."""
