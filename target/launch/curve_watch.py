"""Reads the curve of a training while it runs: says when a check of its `StopRule` fails, and what its loss is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from target.evaluation import Outcome
from target.launch.workspace import Workspace
from target.process.clock import Excess, TreeClock
from target.running_curve import write_running_loss
from target.spec import TargetSpec
from target.stopping import LATEST_FRACTION, FailedCheck, StopRule, failed_check

_TELL_SECONDS: Final = 1.0  # between two notes of the loss, by the clock of the target: each reads the curve
_LOOK_FRACTION: Final = 0.01  # of a training: the interval at which the curve is read while a check is due


class CurveWatch:
    """Watches one training.

    Args:
        rule: The checks.
        space: Where the curve is.
        spec: The target.
        log: The log of the training, beside which its loss is noted.

    Attributes:
        failed: The first check that failed; None if none has.
    """

    def __init__(self, rule: StopRule, space: Workspace, spec: TargetSpec, log: Path) -> None:
        self.failed: FailedCheck | None = None
        self._rule = rule
        self._space = space
        self._log = log
        self._looked = False
        self._on_cpu_clock = spec.clock == "cpu"
        self._limit_seconds = spec.limit_seconds
        self._next_note_seconds = _TELL_SECONDS
        self._next_seconds = min((check.fraction for check in rule.checks), default=math.inf) * spec.limit_seconds

    def look(self, clock: TreeClock) -> Excess | None:
        """Return why the training ends now; None if it goes on, as an audit does in any case."""
        now = clock.cpu_seconds if self._on_cpu_clock else clock.wall_seconds
        self._tell(now)
        late = self._looked and now > LATEST_FRACTION * self._limit_seconds
        if self.failed or late or now < self._next_seconds:
            return None
        self._looked = True  # the first look is made however late it is; it uses the points of the first half
        self._next_seconds = now + _LOOK_FRACTION * self._limit_seconds
        self.failed = failed_check(self._rule, self._space.curve(), self._limit_seconds)
        return Excess(Outcome.PRUNED, str(self.failed)) if self.failed and not self._rule.audit else None

    def _tell(self, now: float) -> None:
        if now >= self._next_note_seconds:
            self._next_note_seconds = now + max(_TELL_SECONDS, _LOOK_FRACTION * self._limit_seconds)
            write_running_loss(self._log, self._space.curve())
