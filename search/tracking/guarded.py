"""Keeps a search from the faults of its tracker, whose class may be the user's."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from operators.population import Population
from operators.secrets import redact
from search.runs.summary import Summary
from search.tracker import Tracker

T = TypeVar("T")


class GuardedTracker:
    """Passes everything on to a tracker; the first exception that it raises is told, and it gets no further state.

    Args:
        tracker: The tracker.
        warn: Is called with a line about that exception.
    """

    def __init__(self, tracker: Tracker, warn: Callable[[str], None]) -> None:
        self._tracker = tracker
        self._warn = warn
        self._failed = False

    def get_ready(self, seconds: float) -> None:
        """Let it do the expensive part of its start."""
        attempt(lambda: self._tracker.get_ready(seconds), self._tell)

    def update(self, population: Population, summary: Summary) -> None:
        """Pass on the current state, unless it has failed."""
        if not self._failed:
            attempt(lambda: self._tracker.update(population, summary), self._tell)

    def close(self) -> str | None:
        """Let it send what is left, and return what it says; also if it has failed, since it may hold something."""
        return attempt(self._tracker.close, self._tell)

    def _tell(self, problem: str) -> None:
        if not self._failed:
            self._warn(f"the tracker {type(self._tracker).__name__} failed, the search goes on without it: {problem}")
        self._failed = True


def attempt(call: Callable[[], T], tell: Callable[[str], None]) -> T | None:
    """Return what a call of a tracker returns; None if it raises, and then `tell` gets the exception and its place."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 -- whatever it is: no tracker may end a search that has run for hours
        place = traceback.extract_tb(error.__traceback__)[-1]
        tell(redact(f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"))
        return None
