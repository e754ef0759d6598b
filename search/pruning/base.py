"""The seam of the pruners: from the trials of a search to the checks of one training."""

from __future__ import annotations

from typing import Protocol

from operators.population import Population
from target.stopping import Check


class Pruner(Protocol):
    """A rule for stopping trainings; a YAML file in `conf/pruning` names it."""

    def checks(self, population: Population, curve_seconds: float) -> tuple[Check, ...]:
        """Return the checks of a candidate's first training, in order of time; none if it cannot be judged yet.

        Args:
            population: All trials; there is a champion.
            curve_seconds: Time of a whole training, by the clock of its curve.
        """
