"""Mirrors a search somewhere else; never rules it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from operators.population import Population
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary


class Tracker(Protocol):
    """Gets the whole state after every verdict, and sends what it has not sent yet.

    A tracker's own troubles (a server that is away, a full disk) never reach the search: it warns once, keeps what it
    could not send and tries again at the next chance.
    """

    def get_ready(self, seconds: float) -> None:
        """Get over what takes much of the machine, at most so long: only the first trainings would be slowed by it."""

    def update(self, population: Population, summary: Summary) -> None:
        """Take note of the present state; return at once."""

    def close(self) -> str | None:
        """Send what is left, within a bounded time; return what to tell the user about where to look, if anything."""


class NullTracker:
    """Tracks nothing.

    Args:
        run: Folder of the search; not needed.
        name: Name of the search; not needed.
        warn: Would get a line about each trouble.
    """

    def __init__(self, *, run: RunDirectory, name: str, warn: Callable[[str], None]) -> None:
        """Take what every tracker is given."""

    def get_ready(self, seconds: float) -> None:
        """Do nothing."""

    def update(self, population: Population, summary: Summary) -> None:
        """Do nothing."""

    def close(self) -> str | None:
        """Return None."""
        return None
