"""What all pruners share: which trainings may be stopped, and which of them run to the end as an audit."""

from __future__ import annotations

import random

from operators.population import Population
from operators.trial import Trial
from search.pruning.base import Pruner
from search.pruning.schedule import changes_schedule
from target.stopping import StopRule


class Pruning:
    """How a search stops trainings.

    Args:
        seed: Seed of the search: it draws the audits.
        pruner: The rule; None to stop nothing.
        audit_fraction: Share of the candidates whose training runs to its end even if it fails a check.
        optional: Whether a target without a curve is accepted, where nothing can be stopped.

    Raises:
        ValueError: If `audit_fraction` is out of range.
    """

    def __init__(
        self, *, seed: int = 0, pruner: Pruner | None = None, audit_fraction: float = 0.1, optional: bool = False
    ) -> None:
        if not 0 <= audit_fraction <= 1:
            raise ValueError(f"audit_fraction must be from 0 to 1, got {audit_fraction}")
        self._seed = seed
        self._pruner = pruner
        self._audit_fraction = audit_fraction
        self.needs_curve = pruner is not None and not optional

    def rule(self, trial: Trial, population: Population, curve_seconds: float | None) -> StopRule | None:
        """Return the checks of the next training of a trial; None if it must run to its end.

        Only the first training of a candidate may be stopped: not the baseline, not a confirmation, and no candidate
        whose schedule differs from the champion's.

        Args:
            trial: The trial, with its program.
            population: All trials.
            curve_seconds: Time of a whole training, by the clock of its curve; None if the target has no curve.
        """
        champion = population.champion
        if self._pruner is None or curve_seconds is None or champion is None or not trial.number or trial.evaluations:
            return None
        if not (trial.program and champion.program) or changes_schedule(champion.program, trial.program):
            return None
        checks = self._pruner.checks(population, curve_seconds)
        audit = random.Random(f"audit {self._seed} {trial.number}").random() < self._audit_fraction
        return StopRule(checks=checks, audit=audit) if checks else None
