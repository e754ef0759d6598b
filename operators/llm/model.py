"""A language model, or several, that keeps asking through outages and says whose fault a failure is."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from operators.base import MutationError, ProviderError
from operators.chat import Exchange, Message, Reply
from operators.llm.endpoint import Endpoint, read_endpoints
from operators.llm.provider import UnavailableError, call, has_price, import_litellm, missing_keys
from operators.llm.retry import Backoff, Pace
from operators.llm.selection import Choose, make_choice

_LOGGER: Final = logging.getLogger(__name__)
_EMPTY_TRIES: Final = 3  # a model that says nothing thrice has nothing to say
_LONGER: Final = 2  # times max_tokens, for an answer that was cut off


class LanguageModel:
    """Asks models through litellm.

    Args:
        endpoints: The models; at least one.
        selection: How one of several is chosen for a proposal: `weighted`, `round_robin` or `ucb`.
        exploration: Weight of what is not known yet, for `ucb`.
        connect_seconds: Longest wait for a connection.
        total_seconds: Longest wait for a whole answer.
        outage_minutes: How long a provider that is out of order is asked again before the search stops.
        backoff_seconds: Upper end of the first delay between two tries.
        longest_backoff_seconds: Upper end of all delays.
        concurrency: Requests under way at once; None for no limit.
        requests_per_minute: None for no limit.
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.
        tell: Gets a line about each trouble.

    Raises:
        ValueError: If a setting is out of range.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        selection: str,
        exploration: float,
        connect_seconds: float,
        total_seconds: float,
        outage_minutes: float,
        backoff_seconds: float,
        longest_backoff_seconds: float,
        concurrency: int | None,
        requests_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = _LOGGER.warning,
    ) -> None:
        if min(connect_seconds, total_seconds) <= 0 or outage_minutes < 0:
            raise ValueError(
                "connect_seconds and total_seconds must be above 0 and outage_minutes at least 0, "
                f"got {connect_seconds}, {total_seconds} and {outage_minutes}"
            )
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        self.tell = tell
        self._endpoints = {each.model: each for each in endpoints}
        weights = {each.model: each.weight for each in endpoints}
        self._choose = make_choice(selection, weights, exploration=exploration)
        self._connect_seconds = connect_seconds
        self._total_seconds = total_seconds
        self._outage_seconds = 60 * outage_minutes
        self._backoff = Backoff(first_seconds=backoff_seconds, longest_seconds=longest_backoff_seconds)
        self._pace = Pace(requests_per_minute, clock=clock, sleep=sleep)
        self._places = threading.Semaphore(concurrency if concurrency is not None else 1_000_000)
        self._clock = clock
        self._sleep = sleep
        self._priced: set[str] = set()

    @property
    def choose(self) -> Choose | None:
        """How one of several models is chosen for a proposal; None if there is but one."""
        return self._choose if len(self._endpoints) > 1 else None

    def without_price(self) -> list[str]:
        """Return the models of which it is not known what they cost; it is counted as 0."""
        return [each.model for each in self._endpoints.values() if not has_price(each)]

    def complete(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        """Return the answer to a conversation; see `ChatModel`."""
        return usable(self.ask(messages, seed=seed, attempt=attempt, model=model), messages)

    def ask(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        """Return whatever the model says in the end, a refusal or nothing included: what was paid for is kept.

        An answer that was cut off at `max_tokens` is asked for once more with twice as many.

        Raises:
            ProviderError: The provider is out of order for longer than `outage_minutes`, or refuses the request.
        """
        endpoint = self._endpoints[model] if model is not None else next(iter(self._endpoints.values()))
        rng = random.Random(f"retry {seed} {attempt}")
        began = self._clock()
        reply = self._say_something(endpoint, messages, endpoint.max_tokens, rng)
        self._mention_price(endpoint)
        if reply.finish_reason == "length" and endpoint.max_tokens is not None:
            reply = _sum(reply, self._say_something(endpoint, messages, _LONGER * endpoint.max_tokens, rng))
        return replace(reply, seconds=self._clock() - began)

    def _mention_price(self, endpoint: Endpoint) -> None:
        """Say once that a model is counted as free because nobody knows better."""
        if endpoint.model not in self._priced:
            self._priced.add(endpoint.model)
            if not has_price(endpoint):
                self.tell(f"the cost of {endpoint.where} is counted as 0: litellm has no price of it; set llm.price")

    def _say_something(
        self, endpoint: Endpoint, messages: Sequence[Message], max_tokens: int | None, rng: random.Random
    ) -> Reply:
        """Ask again if the answer is empty for no reason."""
        reply = self._persist(endpoint, messages, max_tokens, rng)
        for tries in range(1, _EMPTY_TRIES):
            if reply.text.strip() or reply.finish_reason in ("length", "content_filter"):
                break
            self._sleep(self._backoff.delay_seconds(tries, rng, None))
            reply = _sum(reply, self._persist(endpoint, messages, max_tokens, rng))
        return reply

    def _persist(
        self, endpoint: Endpoint, messages: Sequence[Message], max_tokens: int | None, rng: random.Random
    ) -> Reply:
        """Ask until the provider answers, or has been out of order for too long."""
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
                        total_seconds=self._total_seconds,
                    )
            except UnavailableError as error:
                failing_since = self._clock() if failing_since is None else failing_since
                delay = self._backoff.delay_seconds(failures, rng, error.retry_after_seconds)
                if self._clock() + delay - failing_since > self._outage_seconds:
                    raise ProviderError(
                        f"model {endpoint.where} has not answered in {failures} tries, and llm.outage_minutes="
                        f"{self._outage_seconds / 60:g} allow no more; the last: {error}"
                    ) from error
                self.tell(f"model {endpoint.where}: {error}; try {failures + 1} in {delay:.1f} s")
            self._sleep(delay)
        raise AssertionError("the count has no end")


def usable(reply: Reply, messages: Sequence[Message]) -> Reply:
    """Return a reply that an operator can work with.

    Raises:
        MutationError: It is a refusal, empty or cut off.
    """
    if reply.finish_reason == "content_filter":
        problem = f"{reply.model} refuses to answer (content filter)"
    elif reply.finish_reason == "length":
        problem = (
            f"the answer of {reply.model} was cut off after {reply.completion_tokens} tokens: "
            "raise llm.max_tokens, or ask for less"
        )
    elif not reply.text.strip():
        problem = f"{reply.model} answered with nothing"
    else:
        return reply
    raise MutationError(problem, cost_usd=reply.cost_usd, exchanges=[Exchange(messages=tuple(messages), reply=reply)])


def open_model(
    *,
    model: str | None,
    models: Sequence[str | Mapping[str, Any]],
    api_base: str | None,
    api_key_env: str | None,
    temperature: float | None,
    reasoning_effort: str | None,
    max_tokens: int | None,
    price: Mapping[str, float] | None,
    **calling: Any,
) -> LanguageModel | None:
    """Return the models that a configuration describes, ready to be asked; None if it names none.

    litellm takes seconds to import. It is done in the background, unless there is a key to be checked first.

    Args:
        model: The only model.
        models: Several in its place; names, or settings of their own that override the common ones.
        api_base: See `Endpoint`; so for what follows.
        api_key_env: See `Endpoint`.
        temperature: See `Endpoint`.
        reasoning_effort: See `Endpoint`.
        max_tokens: See `Endpoint`.
        price: See `Endpoint`.
        calling: See `LanguageModel`.

    Raises:
        ValueError: If a setting is out of range, or a key is missing.
    """
    common = {
        "model": model,
        "api_base": api_base,
        "api_key_env": api_key_env,
        "temperature": temperature,
        "reasoning_effort": reasoning_effort,
        "max_tokens": max_tokens,
        "price": price,
    }
    endpoints = read_endpoints(common, models)
    if not endpoints:
        return None
    language_model = LanguageModel(endpoints, **calling)
    for endpoint in endpoints:
        if missing := missing_keys(endpoint):
            raise ValueError(
                f"model {endpoint.model} needs a key: set the environment variable {' and '.join(missing)}, "
                "or name another in llm.api_key_env"
            )
    threading.Thread(target=import_litellm, name="import litellm", daemon=True).start()
    return language_model


def _sum(first: Reply, second: Reply) -> Reply:
    """Return the second of two replies with the price of both."""
    return replace(
        second,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        cached_tokens=first.cached_tokens + second.cached_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost_usd=first.cost_usd + second.cost_usd,
    )
