"""The delays between attempts, and the rate of requests."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off with full jitter.

    Attributes:
        first_seconds: Upper end of the first delay.
        longest_seconds: Upper end of all delays.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    first_seconds: float
    longest_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.first_seconds <= self.longest_seconds:
            raise ValueError(
                "backoff_seconds must be from 0 to the longest delay, "
                f"got {self.first_seconds} with {self.longest_seconds}"
            )

    def delay_seconds(self, failures: int, rng: random.Random, retry_after_seconds: float | None) -> float:
        """Return how long to wait.

        Args:
            failures: Number of failures in a row, including the last.
            rng: The source of the jitter.
            retry_after_seconds: Least delay, if the provider asked for one.
        """
        ceiling = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 60))
        jittered = rng.uniform(0, ceiling)
        return jittered if retry_after_seconds is None else retry_after_seconds + jittered


class Pace:
    """Spaces requests evenly, so that at most `per_minute` begin in any minute.

    Args:
        per_minute: Number of requests; None for no limit.
        clock: Monotonic seconds.
        sleep: Waits for the given number of seconds.
    """

    def __init__(self, per_minute: float | None, *, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        if per_minute is not None and per_minute <= 0:
            raise ValueError(f"requests_per_minute must be above 0, got {per_minute}")
        self._interval = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next request may begin."""
        if not self._interval:
            return
        with self._lock:
            now = self._clock()
            mine = max(now, self._next)
            self._next = mine + self._interval
        if mine > now:
            self._sleep(mine - now)
