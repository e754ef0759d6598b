"""When a training is stopped before its end: a plain record, which the search sends with a training to its worker.

The record holds no code and needs no answer from the search while the training runs, so it can be sent to any executor.
The curve is what the candidate reports. A false one can only save a training that would have been stopped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

LATEST_FRACTION: Final = 0.5
"""No training is stopped after this part of its time: in the decay of the learning rate, losses fall late and fast."""

Curve = Sequence[tuple[float, float]]
"""(seconds, training loss in nats) pairs, in order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison of the training loss with a limit.

    Attributes:
        fraction: When, as a part of the training's time by the clock of the target.
        limit_nats: The largest smoothed loss with which the training goes on.
    """

    fraction: float
    limit_nats: float

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= LATEST_FRACTION:
            raise ValueError(f"a check must be above 0 and at most at {LATEST_FRACTION:g}, got {self.fraction}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCheck(Check):
    """A check that a training did not pass.

    Attributes:
        loss_nats: The smoothed loss.
    """

    loss_nats: float

    @classmethod
    def from_json(cls, record: Mapping[str, float]) -> Self:
        """Rebuild a check from the record that `dataclasses.asdict` makes of it."""
        return cls(**{name: float(value) for name, value in record.items()})

    def __str__(self) -> str:
        """Return the check in words, without its verb."""
        return f"at {self.fraction:.0%} of its time: loss {self.loss_nats:.3f} nats, at most {self.limit_nats:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """The checks of one training.

    Attributes:
        checks: The checks, in order of time.
        audit: Whether a training that fails a check runs to its end, to learn whether stopping it had been right.
    """

    checks: tuple[Check, ...] = ()
    audit: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the rule as plain JSON types."""
        return {"checks": [[each.fraction, each.limit_nats] for each in self.checks], "audit": self.audit}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild a rule from `to_json`."""
        checks = (Check(fraction=fraction, limit_nats=limit) for fraction, limit in record["checks"])
        return cls(checks=tuple(checks), audit=record["audit"])


def failed_check(rule: StopRule, curve: Curve, limit_seconds: float) -> FailedCheck | None:
    """Return the first check that a training has failed so far; None if it has failed none.

    A check waits for the first point of the curve that is not before it. Points after `LATEST_FRACTION` decide nothing.

    Args:
        rule: The checks.
        curve: The losses so far.
        limit_seconds: The time of the whole training, by the clock of the curve.
    """
    early = [point for point in curve if point[0] <= LATEST_FRACTION * limit_seconds]
    for check in rule.checks:
        loss = smoothed(early, check.fraction * limit_seconds)
        if loss is not None and loss > check.limit_nats:
            return FailedCheck(fraction=check.fraction, limit_nats=check.limit_nats, loss_nats=loss)
    return None


def smoothed(curve: Curve, seconds: float) -> float | None:
    """Return the loss at a time, averaged over the latter half of the time until then.

    The average is over time and not over points, and the curve is straight between points: a program that reports more
    often, or takes larger steps, is compared at the same time. None if the curve does not reach from the one end of
    the interval to the other: nothing is extrapolated.
    """
    weights = smoothing_weights(curve, seconds)
    return None if weights is None else sum(weight * loss for weight, (_, loss) in zip(weights, curve, strict=True))


def smoothing_weights(curve: Curve, seconds: float) -> list[float] | None:
    """Return the weight of each point of a curve in `smoothed`; they sum to 1."""
    begin, weights = seconds / 2, [0.0] * len(curve)
    for place, ((left, _), (right, _)) in enumerate(itertools.pairwise(curve)):
        low, high = max(left, begin), min(right, seconds)
        if low < high:
            share = (high - low) / (seconds - begin)
            after = ((low + high) / 2 - left) / (right - left)  # the mean of a straight piece is its middle
            weights[place] += share * (1 - after)
            weights[place + 1] += share * after
    return weights if math.isclose(sum(weights), 1.0, rel_tol=1e-9) else None
