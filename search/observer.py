"""Who wants to know how a search goes: the console, the tracker, the pictures."""

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
        seconds: For how long.
    """

    number: int
    stage: str
    seconds: float


class Observer(Protocol):
    """Is told what happens; returns at once and has no say in it."""

    def recorded(self, population: Population, summary: Summary) -> None:
        """A verdict, or the end, is in the ledger."""

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        """A training of a trial has finished."""

    def tick(self, running: Sequence[Running]) -> None:
        """A moment has passed."""
