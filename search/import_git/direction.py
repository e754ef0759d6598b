"""Whether the larger or the smaller score wins, as far as a table shows it by what was kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from operators.trial import Status
from target.metric import LOWER_NAMES

_FEWEST: Final = 3
_SHARE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Comparisons:
    """How often a score was compared with that of the last kept row: a kept row won, a discarded one lost.

    Attributes:
        larger: Comparisons that the larger score won.
        smaller: Comparisons that the smaller score won.
    """

    larger: int
    smaller: int

    @property
    def larger_is_better(self) -> bool | None:
        """The direction; None if there are fewer than three comparisons, or more than a quarter contradict it."""
        total = self.larger + self.smaller
        if total < _FEWEST or max(self.larger, self.smaller) < _SHARE * total:
            return None
        return self.larger > self.smaller


def compare_kept(rows: Iterable[tuple[Status, float | None]]) -> Comparisons:
    """Return the comparisons in a table: the status and the score of each row, in their order."""
    kept: float | None = None
    won = {True: 0, False: 0}
    for status, value in rows:
        if value is None or status not in (Status.KEEP, Status.DISCARD):
            continue
        if kept is not None and value != kept:
            won[(value > kept) is (status is Status.KEEP)] += 1
        if status is Status.KEEP:
            kept = value
    return Comparisons(larger=won[True], smaller=won[False])


def is_minimized(metric: str) -> bool:
    """Return whether the name of a metric says that smaller is better, as `val_loss` does."""
    return not LOWER_NAMES.isdisjoint(re.split(r"[^a-z]+", metric.lower()))
