"""Recognises, by what an agent says, that its provider gives it nothing: a usage limit, an overload, no login."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from operators.agent.resets import seconds_until_reset
from operators.agent.spoken import Spoken
from operators.llm.waits import seconds_in_words
from operators.secrets import redact

_LAST_LINES: Final = 5
_LONGEST_LINE: Final = 400
_PASSES: Final = re.compile(
    r"hit your (?:\w+ ){0,2}limit|(?:usage|session|weekly|daily|hourly|5-hour|opus|sonnet) limit reached"
    r"|(?<!learning )rate.?limit(?!s\b)|too many requests|quota (?:exceeded|will reset)|exceeded your current quota"
    r"|exhausted your capacity|resource.{0,10}exhausted|overloaded|stream disconnected"
    r"|connection (?:error|refused|reset)|request timed out|service unavailable|high demand|bad gateway"
    r"|internal server error"
    r"|(?:status|error|code|http)\W{0,3}(?:429|5\d\d)\b"
    r"|\beconn\w+|enotfound|etimedout|eai_again|getaddrinfo|fetch failed|network error|(?:cannot|unable to) connect",
    re.IGNORECASE,
)
_STAYS: Final = re.compile(
    r"run /login|not logged in|log in (?:first|again)|login required|(?:invalid|incorrect) (?:x-)?api.key"
    r"|api key not (?:valid|found)|authentication.?(?:required|failed|error)|unauthorized|\b401\b|token has expired"
    r"|set an auth method|no auth type|credit balance is too low|insufficient.?(?:quota|credits?|balance|funds)"
    r"|permission_denied|requires billing|(?:status|error|code|http)\W{0,3}403\b|trusted directory"
    r"|issue with the selected model|\bmodels?\b.{0,80} (?:does not exist|not exist|(?:is |was )?not found)\b"
    r"|model.?not.?found|litellm\.notfounderror",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(
    r"(?:status|error|code|http)\W{0,3}4(?!08|09|25|29)\d\d\b|litellm\.(?:badrequest|contextwindow|contentpolicy)",
    re.IGNORECASE,
)
"""A request that the provider would refuse again: of this trial, not of all. A longer wait does not help."""
_NOTICE: Final = re.compile(
    r"\W*(?:error\W+)?(?:api error|claude ai usage limit|you've hit your|(?:\w|-)+ limit reached|quota exceeded"
    r"|credit balance is too low|invalid api key|not logged in|please run /login|oauth token|you have exhausted"
    r"|litellm\.\w*error)",
    re.IGNORECASE,
)
"""How a line begins that is a notice and not words of the model: some agents end with status 0 in spite of it."""
_BILLING: Final = re.compile(r"plan and billing", re.IGNORECASE)
"""Without a wait that is named, no credit is left; Gemini says the same of a limit per minute, with the wait."""
_ASIDE: Final = re.compile(
    r"\s+at .+|\W*|\W*(?:status|code)\W+\d+\W*|An unexpected critical error occurred.*|warning: .*", re.IGNORECASE
)
"""What Gemini CLI prints around its errors (the places of a traceback, brackets, a status without words), and
warnings, as Codex's of a model whose metadata it has not found."""
_RESETS_AT: Final = re.compile(r"limit reached\|(\d{10})\b")  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an agent got nothing from its provider.

    Attributes:
        said: What it said, without secrets.
        passes: Whether waiting helps: a limit that is lifted later, an overload, a network that is down. If not, the
            user must log in, pay or change the command.
        wait_seconds: How long to wait at least; None if it does not say.
    """

    said: str
    passes: bool
    wait_seconds: float | None = None


def find_trouble(
    spoken: Spoken, *, failed: bool, stopped: bool = False, now: Callable[[], float] = time.time
) -> Trouble | None:
    """Return what the end of an agent's words says about its provider; None if it says nothing of that kind.

    Args:
        spoken: Its words.
        failed: Whether its exit status was not 0. Otherwise only lines that begin as a notice count: a model may speak
            of limits.
        stopped: Whether it was stopped for its time. Gemini CLI asks an overloaded provider again and again by itself:
            then its last line says so.
        now: Seconds since 1970.
    """
    lines = [line.strip()[:_LONGEST_LINE] for line in spoken.text.splitlines() if not _ASIDE.fullmatch(line)]
    for line in reversed(lines[-1 if stopped else -_LAST_LINES :]):
        plain = line.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        is_notice = bool(_NOTICE.match(plain))
        if not (is_notice or failed or spoken.failed):
            continue
        if _STAYS.search(plain):
            return Trouble(redact(line), passes=False)
        if _REFUSED.search(plain):
            return None
        if is_notice or _PASSES.search(plain):
            wait_seconds = _wait_seconds(plain, now())
            passes = wait_seconds is not None or not _BILLING.search(plain)
            return Trouble(redact(line), passes=passes, wait_seconds=wait_seconds)
    return None


def _wait_seconds(notice: str, now: float) -> float | None:
    """Return how long a notice asks to wait; None if it does not say."""
    if at := _RESETS_AT.search(notice):
        return max(0.0, int(at[1]) - now)
    seconds = seconds_in_words(notice)
    return seconds_until_reset(notice, now) if seconds is None else seconds
