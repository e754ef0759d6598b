"""The budget of a search: trainings, hours or dollars, whichever runs out first."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from search.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of a search; None means no limit of that kind.

    Attributes:
        trainings: Finished trainings; trial 0, confirmations and trainings stopped early included.
        hours: Wall time, over all sessions of a resumed search.
        usd: Price of all model calls.
    """

    trainings: int | None = None
    hours: float | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        if self.trainings is not None and self.trainings < 1:
            raise UserError(f"budget.trainings must be at least 1, got {self.trainings}")
        for name in ("hours", "usd"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"budget.{name} must be above 0, got {value}")
        if all(getattr(self, field.name) is None for field in fields(self)):
            raise UserError("no budget: set at least one of budget.trainings, budget.hours and budget.usd")

    def trainings_left(self, trainings: int) -> float:
        """Return how many more trainings may be started."""
        return math.inf if self.trainings is None else self.trainings - trainings

    def exhausted(self, *, trainings: int, wall_seconds: float, cost_usd: float) -> str | None:
        """Return which limit has been reached, or None.

        Args:
            trainings: Finished trainings.
            wall_seconds: Time spent, over all sessions.
            cost_usd: Money spent.
        """
        if self.trainings is not None and trainings >= self.trainings:
            return f"budget.trainings={self.trainings} reached"
        if self.hours is not None and wall_seconds >= 3600 * self.hours:
            return f"budget.hours={self.hours:g} reached"
        if self.usd is not None and cost_usd >= self.usd:
            return f"budget.usd={self.usd:g} reached"
        return None
