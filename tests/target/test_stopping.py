"""Smoothed losses, and the checks of a training."""

from __future__ import annotations

import math

import pytest

from target.stopping import LATEST_FRACTION, Check, FailedCheck, StopRule, failed_check, smoothed

FALLING = tuple((t / 10, 6 - 0.4 * t / 10) for t in range(1, 101))  # of a training of 10 seconds
RULE = StopRule(checks=(Check(fraction=0.1, limit_nats=6.0), Check(fraction=0.3, limit_nats=4.0)))


def test_a_smoothed_loss_is_the_mean_over_the_latter_half_of_the_time() -> None:
    assert smoothed(FALLING, 4.0) == pytest.approx(6 - 0.4 * 3.0)
    assert smoothed([(0.0, 5.0), (10.0, 5.0)], 3.0) == pytest.approx(5.0)


def test_programs_that_report_at_other_times_are_compared_at_the_same_time() -> None:
    rare = FALLING[::7]
    shifted = [(t + 0.05, loss - 0.4 * 0.05) for t, loss in FALLING[::3]]

    assert smoothed(rare, 3.0) == pytest.approx(smoothed(FALLING, 3.0))
    assert smoothed(shifted, 3.0) == pytest.approx(smoothed(FALLING, 3.0))


@pytest.mark.parametrize(
    "curve",
    [
        (),
        ((2.9, 5.0),),
        tuple(point for point in FALLING if point[0] < 3.0),  # no point at or after the check
        tuple(point for point in FALLING if point[0] > 1.6),  # begins too late
        ((1.0, 5.0), (3.2, 5.0), (1.2, 5.0), (3.3, 5.0)),  # times that go back
    ],
)
def test_nothing_is_extrapolated_or_guessed(curve: tuple[tuple[float, float], ...]) -> None:
    assert smoothed(curve, 3.0) is None


def test_the_first_failed_check_counts() -> None:
    found = failed_check(RULE, FALLING, 10.0)

    assert found == FailedCheck(fraction=0.3, limit_nats=4.0, loss_nats=pytest.approx(6 - 0.4 * 2.25))
    assert "at 30% of its time: loss 5.100 nats, at most 4.000" in str(found)
    assert FailedCheck.from_json({"fraction": 0.3, "limit_nats": 4.0, "loss_nats": found.loss_nats}) == found


def test_a_low_loss_fails_no_check() -> None:
    assert failed_check(RULE, [(t, loss - 2) for t, loss in FALLING], 10.0) is None
    assert failed_check(StopRule(), FALLING, 10.0) is None


def test_points_of_the_second_half_decide_nothing() -> None:
    sparse = [(0.2, 6.0), (5.5, 6.0)]  # only a point in the second half would close the interval of the checks

    assert failed_check(RULE, sparse, 10.0) is None


@pytest.mark.parametrize("fraction", [0.0, -0.1, LATEST_FRACTION + 0.01, math.nan])
def test_a_check_in_the_second_half_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"above 0 and at most at 0\.5"):
        Check(fraction=fraction, limit_nats=1.0)
