"""Our rule: a training is stopped when its loss is clearly above the champion's at the same time of the clock.

The mean of the champion's curves is the reference, and the unit is the standard deviation of such a smoothed loss: that
of one point around the trend of the curve, times what smoothing leaves of it. Curves are compared by the clock and not
by steps, because the budget is time: a program with twice the steps in a second has earned its lower loss.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from operators.population import Population
from target.evaluation import Outcome
from target.stopping import LATEST_FRACTION, Check, Curve, smoothed, smoothing_weights

_STEEP: Final = 0.1  # of the time: until then the loss falls too steeply for straight lines


class ChampionCurve:
    """Compares with the mean of the champion's curves.

    Args:
        checks: Pairs: the part of the time at which a training is checked, and by how many standard deviations its loss
            may be above the champion's.
        least_deviation: The standard deviation is at least this part of the loss: large batches give curves so smooth
            that a harmless difference would be many deviations.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, checks: Iterable[tuple[float, float]], least_deviation: float) -> None:
        self._checks = sorted((float(at), float(count)) for at, count in checks)
        if not all(0 < at <= LATEST_FRACTION and count > 0 for at, count in self._checks):
            raise ValueError(
                f"checks must be pairs of a part of the time, above 0 and at most {LATEST_FRACTION:g}, and a positive "
                f"number of standard deviations, got {self._checks}"
            )
        if least_deviation < 0:
            raise ValueError(f"least_deviation must be at least 0, got {least_deviation}")
        self._least_deviation = least_deviation

    def checks(self, population: Population, curve_seconds: float) -> tuple[Check, ...]:
        """Return a check at each of the times that the champion's curves reach."""
        runs = population.champion.evaluations if population.champion else ()
        curves = [run.curve for run in runs if run.outcome is Outcome.OK]
        deviation = deviation_of(curves, curve_seconds)
        found = []
        for at, count in self._checks:
            known = [loss for curve in curves if (loss := smoothed(curve, at * curve_seconds)) is not None]
            if known and deviation is not None:
                mean = statistics.fmean(known)
                left = statistics.fmean(noise_left(curve, at * curve_seconds) for curve in curves)
                unit = max(left * deviation, self._least_deviation * mean)
                found.append(Check(fraction=at, limit_nats=mean + count * unit))
        return tuple(found)


def noise_left(curve: Curve, seconds: float) -> float:
    """Return the standard deviation of the smoothed loss, as a part of that of one point; 1 if there is none."""
    weights = smoothing_weights(curve, seconds)
    return 1.0 if weights is None else math.sqrt(sum(weight**2 for weight in weights))


def deviation_of(curves: Sequence[Curve], curve_seconds: float) -> float | None:
    """Return the standard deviation of a point of some curves around their trend; None with fewer than two such points.

    Each point is compared with the straight line between its neighbours, so no form of the trend is assumed (Gasser,
    Sroka and Jennen-Steinmetz 1986). Only points up to `LATEST_FRACTION` count, and not the steep start.
    """
    begin, end = _STEEP * curve_seconds, LATEST_FRACTION * curve_seconds
    parts = ([point for point in curve if begin <= point[0] <= end] for curve in curves)
    residuals = [each for part in parts for each in _residuals(part)]
    return math.sqrt(statistics.fmean(each**2 for each in residuals)) if len(residuals) > 1 else None


def _residuals(curve: Curve) -> Iterator[float]:
    """Yield the distance of each point from the line between its neighbours, scaled to the deviation of one point."""
    for (before, left), (now, loss), (after, right) in zip(curve, curve[1:], curve[2:], strict=False):
        if before < now < after:
            weight = (after - now) / (after - before)
            line = weight * left + (1 - weight) * right
            yield (loss - line) / math.sqrt(1 + weight**2 + (1 - weight) ** 2)
