"""Asking a model until it answers, through outages, within what the provider and the user allow."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from operators.base import ProviderError
from operators.chat import Message, Reply
from operators.llm.endpoint import Endpoint
from operators.llm.provider import call
from operators.llm.refusals import BusyError, UnavailableError
from operators.llm.retry import Backoff, Pace


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited.

    Attributes:
        outage_seconds: For a provider that is out of order.
        answer_seconds: For a whole answer.
        for_busy: Whether a provider that is there, but busy, is asked again.
    """

    outage_seconds: float
    answer_seconds: float
    for_busy: bool = True


class Persistence:
    """Sends requests, not too many at once, and again where waiting may help.

    Args:
        connect_seconds: Longest wait for a connection.
        backoff: Delays between tries.
        pace: Spaces the requests.
        concurrency: Requests under way at once; None for no limit.
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.
        tell: Gets a line about each failed try.

    Raises:
        ValueError: If `concurrency` is below 1.
    """

    def __init__(
        self,
        *,
        connect_seconds: float,
        backoff: Backoff,
        pace: Pace,
        concurrency: int | None,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        tell: Callable[[str], None],
    ) -> None:
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        self._connect_seconds = connect_seconds
        self._backoff = backoff
        self._pace = pace
        self._places = threading.Semaphore(concurrency if concurrency is not None else 1_000_000)
        self._clock = clock
        self._sleep = sleep
        self._tell = tell

    def wait(self, failures: int, rng: random.Random) -> None:
        """Wait before another try, longer after each failure."""
        self._sleep(self._backoff.delay_seconds(failures, rng, None))

    def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        *,
        max_tokens: int | None,
        rng: random.Random,
        patience: Patience,
    ) -> Reply:
        """Return what a model answers.

        Raises:
            ProviderRefusalError: It refuses the request.
            ProviderError: It has been out of order for too long.
            BusyError: It is busy, and that is not waited for.
        """
        failing_since: float | None = None
        for failures in itertools.count(1):
            try:
                with self._places:
                    self._pace.wait()
                    return call(
                        endpoint,
                        messages,
                        max_tokens=max_tokens,
                        connect_seconds=self._connect_seconds,
                        total_seconds=patience.answer_seconds,
                    )
            except UnavailableError as error:
                if isinstance(error, BusyError) and not patience.for_busy:
                    raise
                failing_since = self._clock() if failing_since is None else failing_since
                delay = self._backoff.delay_seconds(failures, rng, error.retry_after_seconds)
                if self._clock() + delay - failing_since > patience.outage_seconds:
                    raise ProviderError(
                        f"model {endpoint.where} has not answered in {failures} tries, and llm.outage_minutes="
                        f"{patience.outage_seconds / 60:g} allow no more; the last: {error}"
                    ) from error
                self._tell(f"model {endpoint.where}: {error}; try {failures + 1} in {delay:.1f} s")
            self._sleep(delay)
        raise AssertionError("the count has no end")
