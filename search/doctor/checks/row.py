"""The result of a check."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """The state of what was checked. Only `broken` keeps a search from running."""

    FINE = "fine"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report.

    Attributes:
        name: What was checked.
        state: Its state.
        found: What is there, or what is missing.
        cost: The consequence for a search; empty if it is fine.
        remedy: The command or the setting that fixes it; empty if it is fine.
    """

    name: str
    state: State
    found: str
    cost: str = ""
    remedy: str = ""

    @property
    def text(self) -> str:
        """The finding, its cost and its remedy, on one line."""
        text = self.found + (f": {self.cost}" if self.cost else "") + (f" -> {self.remedy}" if self.remedy else "")
        return " ".join(text.split())


def fine(name: str, found: str) -> Row:
    """Return a row about something that is fine."""
    return Row(name=name, state=State.FINE, found=found)


def warning(name: str, found: str, *, cost: str, remedy: str) -> Row:
    """Return a row about something that a search can do without."""
    return Row(name=name, state=State.WARNING, found=found, cost=cost, remedy=remedy)


def broken(name: str, found: str, *, cost: str, remedy: str) -> Row:
    """Return a row about something that keeps a search from running."""
    return Row(name=name, state=State.BROKEN, found=found, cost=cost, remedy=remedy)


def broken_by(name: str, error: Exception, *, cost: str) -> Row:
    """Return a row about one of our errors, whose message says after its last semicolon what to do."""
    problem, found, remedy = str(error).rpartition("; ")
    if not found:
        problem, remedy = remedy, ""
    return broken(name, problem, cost=cost, remedy=remedy)


def cause(said: str) -> str:
    """Return the last clause of a client's connection error, without what its layers repeat before it."""
    clause = " ".join(said.split()).rpartition(": ")[2].rstrip("\"')")[:160]
    return clause + ")" * (clause.count("(") > clause.count(")"))


def gigabytes(n_bytes: float) -> str:
    """Return a readable size."""
    return f"{n_bytes / 1e9:.0f} GB" if n_bytes >= 10e9 else f"{n_bytes / 1e9:.1f} GB"
