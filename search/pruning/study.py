"""Optuna's pruners through the same seam: each check has the largest loss that the pruner lets pass.

The pruner sees a study of the finished trainings. A step of the study is a percentage of the time of a training, by the
clock of the target, and its value is the smoothed loss there. What these pruners prune at one loss, they prune at any
higher loss, so the limit is found by bisection over the loss, with the pruner's own `prune`.

Checks are made before a training, so its losses at earlier steps are not known. They are taken to differ from those of
the best trial by as much as the loss that is tried. Median and hyperband are not affected, as long as losses fall. The
signed-rank test of Wilcoxon is: it takes a program for worse that is behind at a step, whatever it was before.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any, Final

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.study import Study, StudyDirection, load_study
from optuna.trial import TrialState, create_trial

from operators.population import Population
from operators.trial import Status, Trial
from target.stopping import LATEST_FRACTION, Check, smoothed

_NAME: Final = "graft"
_TOLERANCE_NATS: Final = 1e-3
_UNEQUAL: Final = 1e-6  # a part of the difference: equal differences make the signed-rank test a hundred times slower
_MARGIN_NATS: Final = 1.0  # above and below all known losses


class StudyPruner:
    """Asks a pruner of Optuna.

    Args:
        pruner: The pruner.
        steps: Percentages of the time at which a training is checked.

    Raises:
        ValueError: If a step is out of range.
    """

    def __init__(self, *, pruner: BasePruner, steps: Sequence[int]) -> None:
        if not all(0 < step <= 100 * LATEST_FRACTION for step in steps):
            raise ValueError(f"steps must be percentages from 1 to {100 * LATEST_FRACTION:g}, got {list(steps)}")
        self._pruner = pruner
        self._steps = sorted(steps)
        self._fed: tuple[Trial, ...] = ()  # what the study has: only saves time, and decides nothing
        self._study, self._storage = _new_study(pruner)

    def checks(self, population: Population, curve_seconds: float) -> tuple[Check, ...]:
        """Return a check at each step at which the pruner prunes some losses and not others."""
        self._feed(population, curve_seconds)
        limits = ((step, self._limit(step)) for step in self._steps)
        return tuple(Check(fraction=step / 100, limit_nats=limit) for step, limit in limits if limit is not None)

    def _feed(self, population: Population, curve_seconds: float) -> None:
        """Add the trainings since the last time to the study, in the order of their verdicts."""
        decided = population.decided
        if len(decided) < len(self._fed) or any(map(operator.is_not, self._fed, decided)):
            self._fed = ()
            self._study, self._storage = _new_study(self._pruner)
        for trial in decided[len(self._fed) :]:
            self._add(trial, curve_seconds)
        self._fed = decided

    def _add(self, trial: Trial, curve_seconds: float) -> None:
        if not trial.evaluations or not (trial.scored or trial.status is Status.PRUNED):
            return
        first = trial.evaluations[0]
        added = self._study.ask()
        for step in self._steps:
            loss = smoothed(first.curve, step / 100 * curve_seconds)
            if loss is not None:
                added.report(loss, step)
                added.should_prune()  # hyperband records its rungs then; the answer does not matter any more
        if first.score is None:
            self._study.tell(added, state=TrialState.PRUNED)
        else:
            self._study.tell(added, first.score)

    def _limit(self, step: int) -> float | None:
        """Return the largest loss at a step that is not pruned; None if all losses are pruned, or none is."""
        finished = self._study.get_trials(deepcopy=False)
        known = [each.intermediate_values[step] for each in finished if step in each.intermediate_values]
        if not known:
            return None
        low, high = min(known) - _MARGIN_NATS, max(known) + _MARGIN_NATS
        if self._prunes(low, step) or not self._prunes(high, step):
            return None
        while high - low > _TOLERANCE_NATS:
            middle = (low + high) / 2
            low, high = (low, middle) if self._prunes(middle, step) else (middle, high)
        return high  # in doubt a training goes on

    def _prunes(self, loss: float, step: int) -> bool:
        best = self._study.best_trial.intermediate_values
        shift = loss - best.get(step, loss)
        unequal = {each: shift * (1 + _UNEQUAL * each) for each in self._steps if each < step and each in best}
        earlier = {each: best[each] + difference for each, difference in unequal.items()}
        asked = create_trial(state=TrialState.RUNNING, intermediate_values={**earlier, step: loss})
        asked.number = len(self._study.get_trials(deepcopy=False))
        with self._storage.asked():
            return self._pruner.prune(self._study, asked)


class _Storage(InMemoryStorage):
    """A storage that does not record the marks which a pruner makes on a trial that is only asked about."""

    _asked = False

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Record no marks in the block."""
        self._asked = True
        try:
            yield
        finally:
            self._asked = False

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Record a mark of a pruner."""
        if not self._asked:
            super().set_trial_system_attr(trial_id, key, value)


def _new_study(pruner: BasePruner) -> tuple[Study, _Storage]:
    """Return an empty study; its name is fixed, because hyperband draws the bracket of a trial from it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _Storage()
    storage.create_new_study([StudyDirection.MINIMIZE], _NAME)
    return load_study(study_name=_NAME, storage=storage, pruner=pruner), storage
