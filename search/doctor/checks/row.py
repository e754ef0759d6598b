"""What one check found."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """How good a finding is: only what is broken keeps a search from running."""

    FINE = "fine"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report.

    Attributes:
        name: What was checked.
        state: How good it is.
        found: What is there, or what is missing.
        cost: What that costs a search; empty if it is fine.
        remedy: The command or the setting that mends it; empty if it is fine.
    """

    name: str
    state: State
    found: str
    cost: str = ""
    remedy: str = ""

    @property
    def text(self) -> str:
        """All of it but name and state, on one line."""
        text = self.found + (f": {self.cost}" if self.cost else "") + (f" -> {self.remedy}" if self.remedy else "")
        return " ".join(text.split())


def fine(name: str, found: str) -> Row:
    """Return a row without objection."""
    return Row(name=name, state=State.FINE, found=found)


def warning(name: str, found: str, *, cost: str, remedy: str) -> Row:
    """Return a row about something that a search can do without."""
    return Row(name=name, state=State.WARNING, found=found, cost=cost, remedy=remedy)


def broken(name: str, found: str, *, cost: str, remedy: str) -> Row:
    """Return a row about something that keeps a search from running."""
    return Row(name=name, state=State.BROKEN, found=found, cost=cost, remedy=remedy)


def broken_by(name: str, error: Exception, *, cost: str) -> Row:
    """Return a row about an error of ours, which says behind its last semicolon what to do."""
    problem, found, remedy = str(error).rpartition("; ")
    if not found:
        problem, remedy = remedy, ""
    return broken(name, problem, cost=cost, remedy=remedy)


def cause(said: str) -> str:
    """Return the last clause of what a client says of a connection, without what its layers repeat in front of it."""
    clause = " ".join(said.split()).rpartition(": ")[2].rstrip("\"')")[:160]
    return clause + ")" * (clause.count("(") > clause.count(")"))


def gigabytes(n_bytes: float) -> str:
    """Return a size for people."""
    return f"{n_bytes / 1e9:.0f} GB" if n_bytes >= 10e9 else f"{n_bytes / 1e9:.1f} GB"
