"""Sums and selections over the trials of a search, kept up to date trial by trial instead of counted anew."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from operators.trial import Status, Trial

_CHAMPIONS: Final = (Status.BASELINE, Status.KEEP)

Trials = tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a search has, in sum; the attributes are those of `Population`, and are described there.

    `staleness` is the sum over the trials for which it is known, and their number.

    Sums of floats are exact, so that they do not depend on the order in which trials change.
    """

    scored: Trials = ()
    pending: Trials = ()
    decided: Trials = ()
    champions: Trials = ()
    failed_checks: Trials = ()
    out_of_memory: Trials = ()
    trainings: int = 0
    cost_usd: Fraction = Fraction(0)
    device_seconds: Fraction = Fraction(0)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    staleness: tuple[int, int] = (0, 0)
    reapplied: int = 0

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Tally:
        """Count trials, given by number."""
        decided = sorted((trial for trial in trials if trial.decided is not None), key=lambda trial: trial.decided or 0)
        return cls(
            scored=tuple(trial for trial in trials if trial.scored),
            pending=tuple(trial for trial in trials if trial.status is Status.PENDING),
            decided=tuple(decided),
            champions=tuple(trial for trial in decided if trial.status in _CHAMPIONS),
            failed_checks=tuple(trial for trial in decided if trial.failed_check),
            out_of_memory=tuple(trial for trial in decided if trial.status is Status.OUT_OF_MEMORY),
            trainings=sum(trial.trainings for trial in trials),
            cost_usd=sum((_own_cost_usd(trial) for trial in trials), Fraction(0)),
            device_seconds=sum((_device_seconds(trial) for trial in trials), Fraction(0)),
            outcomes=Counter(trial.outcome.value for trial in trials if trial.outcome),
            staleness=_sum(_staleness(trial) for trial in trials),
            reapplied=sum(trial.original is not None for trial in trials),
        )

    def with_change(self, old: Trial | None, new: Trial) -> Tally | None:
        """Return the tally after a trial was added, or took the place of its former self.

        Args:
            old: The trial as it was counted; None if it is new.
            new: The trial as it is.

        Returns:
            The tally, or None if a verdict was changed or is not the latest: then all trials must be counted anew.
        """
        if old is not None and old.decided is not None:
            if (old.status, old.decided) != (new.status, new.decided):
                return None
        elif new.decided is not None and new.decided != len(self.decided):
            return None
        tally = self
        if new.decided is not None:
            crowned, is_too_large = new.status in _CHAMPIONS, new.status is Status.OUT_OF_MEMORY
            tally = replace(
                tally,
                decided=_put(tally.decided, old, new),
                scored=_by_number(tally.scored, new) if new.scored else tally.scored,
                champions=_put(tally.champions, old, new) if crowned else tally.champions,
                failed_checks=_put(tally.failed_checks, old, new) if new.failed_check else tally.failed_checks,
                out_of_memory=_put(tally.out_of_memory, old, new) if is_too_large else tally.out_of_memory,
            )
            if old is None or old.decided is None:
                outcome = new.outcome.value if new.outcome else ""
                tally = replace(tally, outcomes={**tally.outcomes, outcome: tally.outcomes.get(outcome, 0) + 1})
        others = tuple(trial for trial in tally.pending if trial.number != new.number)
        return replace(
            tally,
            pending=_by_number(others, new) if new.decided is None else others,
            trainings=tally.trainings + new.trainings - (old.trainings if old else 0),
            cost_usd=tally.cost_usd + _own_cost_usd(new) - (_own_cost_usd(old) if old else 0),
            device_seconds=tally.device_seconds
            + Fraction(new.device_seconds)
            - Fraction(old.device_seconds if old else 0),
            staleness=_sum((tally.staleness, _staleness(new), _staleness(old, -1))),
            reapplied=tally.reapplied + (new.original is not None) - bool(old and old.original),
        )


def _put(trials: Trials, old: Trial | None, new: Trial) -> Trials:
    """Put a decided trial in the place of its former self among decided trials, or at their end."""
    if old is None or old.decided is None:
        return (*trials, new)
    place = bisect_left(trials, old.decided, key=lambda trial: trial.decided or 0)
    return (*trials[:place], new, *trials[place + 1 :])


def _by_number(trials: Trials, new: Trial) -> Trials:
    """Put a trial in its place among trials in order of number; it replaces the one with its number."""
    if not trials or trials[-1].number < new.number:
        return (*trials, new)
    place = bisect_left(trials, new.number, key=lambda trial: trial.number)
    known = trials[place].number == new.number
    return (*trials[:place], new, *trials[place + known :])


def _own_cost_usd(trial: Trial) -> Fraction:
    return Fraction(0 if trial.imported else trial.cost_usd)


def _device_seconds(trial: Trial) -> Fraction:
    return Fraction(trial.device_seconds)


def _staleness(trial: Trial | None, sign: int = 1) -> tuple[int, int]:
    """Return the staleness of a trial and 1, both with a sign; zeros if it is not known."""
    known = trial.staleness if trial else None
    return (0, 0) if known is None else (sign * known, sign)


def _sum(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    total = count = 0
    for staleness, one in pairs:
        total, count = total + staleness, count + one
    return total, count
