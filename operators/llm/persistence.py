"""Asks a model until it answers, also during outages, within the limits of the provider and the user."""

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
    """How long to wait.

    Attributes:
        outage_seconds: Longest time to retry during an outage.
        answer_seconds: Longest wait for a complete answer.
        for_busy: Whether to ask a provider again that is busy.
    """

    outage_seconds: float
    answer_seconds: float
    for_busy: bool = True


class Persistence:
    """Sends requests, with a limit on concurrent ones, and repeats them where waiting may help.

    Args:
        connect_seconds: Longest wait for a connection.
        backoff: Delays between tries.
        pace: Spaces the requests.
        concurrency: Largest number of requests at the same time; None for no limit.
        clock: Monotonic seconds.
        sleep: Waits for the given number of seconds.
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
        """Return a model's reply.

        Raises:
            ProviderRefusalError: The provider refuses the request.
            ProviderError: An outage has lasted too long.
            BusyError: The provider is busy, and `patience` does not wait for that.
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
                    tries = "1 try" if failures == 1 else f"{failures} tries"
                    raise ProviderError(
                        f"model {endpoint.where} has not answered in {tries}, and llm.outage_minutes="
                        f"{patience.outage_seconds / 60:g} allow no more; the last error: {error}"
                    ) from error
                self._tell(f"model {endpoint.where}: {error}; try {failures + 1} in {delay:.1f} s")
            self._sleep(delay)
        raise AssertionError("the count has no end")
