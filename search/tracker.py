"""Mirrors a search elsewhere; never affects it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from operators.population import Population
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary

if TYPE_CHECKING:
    from search.tracking.later import Finding


class Tracker(Protocol):
    """Gets the whole state after every verdict, and sends what it has not sent yet.

    A tracker's own problems (an unreachable server, a full disk) never affect the search: it warns once, keeps what it
    could not send, and tries again later.
    """

    def get_ready(self, seconds: float) -> None:
        """Do the expensive part of the start, within the given time, so that it does not slow the first trainings."""

    def update(self, population: Population, summary: Summary) -> None:
        """Note the current state; return at once."""

    def close(self) -> str | None:
        """Send what is left, within a bounded time; return a message that says where to look, if any."""

    @classmethod
    def record(cls, finding: Finding, run: RunDirectory, settings: Mapping[str, Any]) -> str:
        """Send what a command found about a search after its end; return a message for the user, if any.

        Args:
            finding: What was found.
            run: Folder of the search.
            settings: Those of the tracker.
        """


class NullTracker:
    """Tracks nothing.

    Args:
        run: Folder of the search; not needed.
        name: Name of the search; not needed.
        warn: Not used; other trackers call it with a line about each problem.
    """

    def __init__(self, *, run: RunDirectory, name: str, warn: Callable[[str], None]) -> None:
        """Accept the arguments of every tracker."""

    def get_ready(self, seconds: float) -> None:
        """Do nothing."""

    def update(self, population: Population, summary: Summary) -> None:
        """Do nothing."""

    def close(self) -> str | None:
        """Return None."""
        return None

    @classmethod
    def record(cls, finding: Finding, run: RunDirectory, settings: Mapping[str, Any]) -> str:
        """Return nothing."""
        del finding, run, settings
        return ""
