"""The interface of what follows a search: the console, the tracker, the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from operators.population import Population
from operators.trial import Trial
from search.runs.summary import Summary
from target.evaluation import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A piece of work that is under way.

    Attributes:
        number: Trial it belongs to.
        stage: `propose`, `pre-flight` or `train`.
        seconds: How long it has been under way.
        loss: Of a training: what is known of its loss, for the console; empty if nothing is.
    """

    number: int
    stage: str
    seconds: float
    loss: str = ""


class Observer(Protocol):
    """Is notified of what happens; its methods return at once and cannot affect the search."""

    def recorded(self, population: Population, summary: Summary) -> None:
        """Called when a verdict, or the end of the search, is in the ledger."""

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        """Called when a training of a trial has finished."""

    def say(self, text: str) -> None:
        """Called with a message for the user."""

    def tick(self, running: Sequence[Running]) -> None:
        """Called regularly while work is under way."""
