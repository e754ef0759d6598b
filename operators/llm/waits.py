"""Reads how long a provider asks to wait, where it says so in words and not in a header."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN: Final = (
    r"(?P<{}>\d+(?:\.\d+)?) ?(?P<{}>ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
)
_PART: Final = re.compile(_SPAN.format("amount", "unit"), re.IGNORECASE)
_WAIT: Final = re.compile(
    rf"(?:retry|try again|reset|available(?: again)?) (?:in|after) (?P<wait>(?:{_SPAN.format('_a', '_u')}[ ,]*)+)",
    re.IGNORECASE,
)


def seconds_in_words(said: str) -> float | None:
    """Return the wait that a message asks for, in seconds; None if it names none.

    Messages are such as "Please try again in 1h12m", "retry in 34.07s", "try again in 2 days 17 hours 14 minutes".
    """
    match = _WAIT.search(said)
    if match is None:
        return None
    return sum(float(part["amount"]) * _seconds(part["unit"].lower()) for part in _PART.finditer(match["wait"]))


def _seconds(unit: str) -> float:
    return _UNITS["ms" if unit.startswith(("ms", "milli")) else unit[0]]
