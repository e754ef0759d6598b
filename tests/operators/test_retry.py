from __future__ import annotations

import random

import pytest

from operators.llm.retry import Backoff, Pace

BACKOFF = Backoff(first_seconds=2, longest_seconds=60)


@pytest.mark.parametrize(("failures", "most"), [(1, 2), (2, 4), (5, 32), (6, 60), (50, 60), (10_000, 60)])
def test_delays_grow_to_a_limit_and_are_spread(failures: int, most: float) -> None:
    rng = random.Random(0)
    delays = [BACKOFF.delay_seconds(failures, rng, None) for _ in range(400)]

    assert 0 <= min(delays) < 0.1 * most
    assert 0.9 * most < max(delays) <= most


def test_a_provider_is_left_alone_as_long_as_it_asks_for() -> None:
    delays = [BACKOFF.delay_seconds(1, random.Random(seed), 90) for seed in range(100)]

    assert 90 <= min(delays) < max(delays) <= 92, "not all that were told the same come back at once"


def test_requests_are_spaced_by_their_rate() -> None:
    now, begun = [100.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(30, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        pace.wait()
        begun.append(now[0])
    now[0] = 200.0
    pace.wait()
    begun.append(now[0])

    assert begun == [100, 102, 104, 200]
