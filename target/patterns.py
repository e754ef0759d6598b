"""A user's regular expression, and untrusted text to search: the search ends, whatever both are."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import regex

SECONDS: Final = 10.0


class SlowPatternError(Exception):
    """A search took too long; the message says after how long, where, and what to do."""


def compiled(pattern: str, setting: str) -> regex.Pattern[str]:
    """Return a regular expression that `found_by` can search for.

    Args:
        pattern: The user's.
        setting: Where it comes from, for the message.

    Raises:
        ValueError: It is none.
    """
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"{setting} must be a regular expression, got {pattern!r}: {error}") from error


def found_by(pattern: regex.Pattern[str], texts: Iterable[str], *, seconds: float | None = None) -> list[str]:
    """Return what the first group has matched in some texts, in their order.

    Args:
        pattern: It has a group. Python's own `re` cannot be stopped, so it is one of `regex`: no text may keep this
            process for hours.
        texts: Each is searched alone.
        seconds: Limit of the process's CPU time for all texts together; None for `SECONDS`.

    Raises:
        SlowPatternError: The search took longer.
    """
    seconds = SECONDS if seconds is None else seconds
    end, found = time.process_time() + seconds, list[str]()
    for text in texts:
        try:
            left = max(end - time.process_time(), 0.0)
            matches = [*pattern.finditer(text, timeout=left, concurrent=True)]  # other threads go on meanwhile
        except TimeoutError as error:
            raise SlowPatternError(
                f"stopped after {seconds:g} CPU seconds, at the text {text!r:.200}: make the pattern simpler; nested "
                "repeats such as (?:a+ ?)+ are slow"
            ) from error
        found += [match[1] for match in matches if match[1] is not None]
    return found
