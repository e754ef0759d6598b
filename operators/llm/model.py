"""One or more language models: asks again during outages, and says which party caused a failure."""

from __future__ import annotations

import functools
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from operators.base import MutationError, ProviderError, ProviderRefusalError
from operators.chat import CUT_OFF, REFUSED, TOOL_CALLS, Exchange, Message, Reply
from operators.llm.catalogue import has_price, import_litellm, longest_answer_tokens, longest_prompt_tokens
from operators.llm.endpoint import Endpoint, read_endpoints
from operators.llm.persistence import Patience, Persistence
from operators.llm.refusals import BusyError
from operators.llm.retry import Backoff, Pace
from operators.llm.selection import Choose, make_choice
from operators.llm.usage import estimated_tokens, was_cut
from operators.trial import Attempt

_LOGGER: Final = logging.getLogger(__name__)
_EMPTY_TRIES: Final = 3  # attempts for an empty answer
_LONGER: Final = 2  # factor of max_tokens for an answer that was cut off
_NOT_ACCEPTED: Final = frozenset({400, 413, 422})  # statuses of a request that is out of range
FIRST_QUESTION: Final = (
    Message(role="system", text="Answer with one word."),
    Message(role="user", text="Say that you are ready."),
)
"""The request to a model before a search begins. It has both roles, because some models refuse one of them."""
FIRST_SECONDS: Final = 60.0
"""Longest wait for the answer to it."""
_FIRST_OUTAGE_SECONDS: Final = 10.0


class LanguageModel:
    """Asks models through litellm.

    Args:
        endpoints: The models; at least one.
        selection: How one of several is chosen for a proposal: `weighted`, `round_robin` or `ucb`.
        exploration: Weight of uncertainty, for `ucb`.
        connect_seconds: Longest wait for a connection.
        total_seconds: Longest wait for a complete answer.
        outage_minutes: How long to retry during an outage of a provider before the search stops.
        backoff_seconds: Upper end of the first delay between two tries.
        longest_backoff_seconds: Upper end of all delays.
        concurrency: Largest number of requests at the same time; None for no limit.
        requests_per_minute: None for no limit.
        clock: Monotonic seconds.
        sleep: Waits for the given number of seconds.
        tell: Gets a line about each problem.

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
        self.tell, self.sleep = tell, sleep
        self._endpoints = {each.model: each for each in endpoints}
        weights = {each.model: each.weight for each in endpoints}
        self._choose = make_choice(selection, weights, exploration=exploration)
        self._patience = Patience(60 * outage_minutes, total_seconds)
        self._line = Persistence(
            connect_seconds=connect_seconds,
            backoff=Backoff(first_seconds=backoff_seconds, longest_seconds=longest_backoff_seconds),
            pace=Pace(requests_per_minute, clock=clock, sleep=lambda seconds: self.sleep(seconds)),
            concurrency=concurrency,
            clock=clock,
            sleep=lambda seconds: self.sleep(seconds),
            tell=lambda text: self.tell(text),  # both may be set later
        )
        self._clock = clock
        self._told: set[str] = set()

    @property
    def choose(self) -> Choose | None:
        """Chooses one of several models for a proposal; None if there is only one."""
        return self._choose if len(self._endpoints) > 1 else None

    def without_price(self) -> list[str]:
        """Return the models without a known price; their cost is counted as 0."""
        return [each.model for each in self._endpoints.values() if not has_price(each)]

    def complete(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        """Return the answer to a conversation; see `ChatModel`."""
        return usable(self.ask(messages, seed=seed, attempt=attempt, model=model), messages)

    def ask(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        """Return the model's final reply, even if it is a refusal or empty, because it was paid for.

        An answer that was cut off at `max_tokens` is requested again with twice the limit, if the model allows that.

        Raises:
            ProviderError: An outage lasted longer than `outage_minutes`, or the provider refuses the request.
        """
        endpoint = self._endpoints[model] if model is not None else next(iter(self._endpoints.values()))
        rng = random.Random(f"retry {seed} {attempt}")
        began = self._clock()
        max_tokens = answer_tokens(endpoint)
        ask = functools.partial(self._line.ask, endpoint, messages, rng=rng, patience=self._patience)
        reply = self._say_something(ask, max_tokens, rng)
        self._mention(endpoint, reply, messages)
        if reply.finish_reason == CUT_OFF and max_tokens is not None:
            reply = self._say_more(endpoint, ask, max_tokens, reply, rng)
        return replace(reply, seconds=self._clock() - began)

    def first_replies(self, prompt_tokens: int | None = None) -> Iterator[Reply]:
        """Ask each model for a short answer with its settings, so that refused settings are known before the search.

        A busy or slow model passes this test, because waiting helps.

        Args:
            prompt_tokens: Largest size of a prompt, to be compared with the models' known limits.

        Yields:
            The answers, which have costs.

        Raises:
            ProviderRefusalError: Some of the models refuse the request; the message has all of them.
            ProviderError: A model cannot be reached.
        """
        refusals = list[ProviderRefusalError]()
        patience = Patience(
            min(self._patience.outage_seconds, _FIRST_OUTAGE_SECONDS),
            min(self._patience.answer_seconds, FIRST_SECONDS),
            for_busy=False,
        )
        for endpoint in self._endpoints.values():
            self._mention_limits(endpoint, prompt_tokens)
            rng = random.Random(f"first {endpoint.model}")
            max_tokens = answer_tokens(endpoint)
            ask = functools.partial(self._line.ask, endpoint, FIRST_QUESTION, rng=rng, patience=patience)
            try:
                reply = ask(max_tokens=max_tokens)
                if reply.finish_reason == CUT_OFF and max_tokens is not None:
                    reply = self._say_more(endpoint, ask, max_tokens, reply, rng)
            except ProviderRefusalError as error:
                refusals.append(error)
            except ProviderError as error:
                raise ProviderError(
                    f"model {endpoint.where} does not answer: {_about_the_way(endpoint)} ({error.__cause__})"
                ) from error
            except BusyError as error:
                self.tell(f"model {endpoint.where} was not tested because it is busy: {error}")
            else:
                self._mention(endpoint, reply, FIRST_QUESTION)
                yield reply
        if refusals:
            raise ProviderRefusalError("; ".join(map(str, refusals)), status=refusals[0].status)

    def _tell_once(self, text: str, topic: str = "") -> None:
        """Tell something, if neither it nor another text on its topic was told before."""
        if (topic or text) not in self._told:
            self._told.add(topic or text)
            self.tell(text)

    def _mention(self, endpoint: Endpoint, reply: Reply, messages: Sequence[Message]) -> None:
        """Report once if a model's costs are not known, or if it did not read all of the prompt."""
        if not has_price(endpoint):
            self._tell_once(f"the cost of {endpoint.where} is counted as 0: litellm has no price for it; set llm.price")
        if reply.estimated:
            self._tell_once(
                f"{endpoint.where} reports no tokens: they are estimated from characters, and so is the cost"
            )
        if was_cut(reply.prompt_tokens, messages):
            self._tell_once(
                f"{endpoint.where} read {reply.prompt_tokens} tokens of a prompt of about "
                f"{estimated_tokens(messages)}: its context is probably too short, so it does not see the whole "
                "program; start the server with a longer one, in Ollama by OLLAMA_CONTEXT_LENGTH",
                topic=f"cut {endpoint.model}",
            )

    def _mention_limits(self, endpoint: Endpoint, prompt_tokens: int | None) -> None:
        """Report once where the settings exceed a model's known limits."""
        allowed = answer_tokens(endpoint)
        if allowed != endpoint.max_tokens:
            self._tell_once(
                f"llm.max_tokens={endpoint.max_tokens} is more than {endpoint.model} allows: {allowed} are used"
            )
        longest = longest_prompt_tokens(endpoint)
        if longest is not None and prompt_tokens is not None and prompt_tokens > longest:
            self._tell_once(
                f"prompts may grow to prompt.max_tokens={prompt_tokens}, {endpoint.model} takes {longest}: "
                "set a smaller prompt.max_tokens"
            )

    def _say_something(self, ask: Callable[..., Reply], max_tokens: int | None, rng: random.Random) -> Reply:
        """Ask again if the answer is empty without a reason."""
        reply = ask(max_tokens=max_tokens)
        for tries in range(1, _EMPTY_TRIES):
            if reply.text.strip() or reply.finish_reason in (CUT_OFF, REFUSED, TOOL_CALLS):
                break
            self._line.wait(tries, rng)
            reply = _sum(reply, ask(max_tokens=max_tokens))
        return reply

    def _say_more(
        self, endpoint: Endpoint, ask: Callable[..., Reply], max_tokens: int, cut_off: Reply, rng: random.Random
    ) -> Reply:
        """Ask again for an answer that was cut off; return it unchanged if the model allows no more tokens."""
        more = int(min(_LONGER * max_tokens, longest_answer_tokens(endpoint) or math.inf))
        if more <= max_tokens:
            return cut_off
        try:
            return _sum(cut_off, self._say_something(ask, more, rng))
        except ProviderRefusalError as error:
            if error.status not in _NOT_ACCEPTED:
                raise
            self._tell_once(f"{endpoint.where} refuses {more} tokens for an answer that was cut off ({error.said})")
            return cut_off


def answer_tokens(endpoint: Endpoint) -> int | None:
    """Return the token limit for a model's answers: the setting, or the model's known limit if that is smaller."""
    known = longest_answer_tokens(endpoint)
    if endpoint.max_tokens is None or known is None:
        return endpoint.max_tokens
    return min(endpoint.max_tokens, known)


def _about_the_way(endpoint: Endpoint) -> str:
    if endpoint.api_base:
        return "start the server, or check llm.api_base"
    return "check the network, or set llm.api_base for your own server"


def usable(reply: Reply, messages: Sequence[Message]) -> Reply:
    """Return a reply that an operator can work with.

    Raises:
        MutationError: It is a refusal, a call of a tool, empty or cut off.
    """
    if reply.finish_reason == REFUSED:
        problem = f"{reply.model} refuses to answer (content filter)"
    elif reply.finish_reason == CUT_OFF:
        problem = (
            f"the answer of {reply.model} was cut off after {reply.completion_tokens} tokens: "
            "raise llm.max_tokens if the model allows more, or ask for less"
        )
    elif reply.finish_reason == TOOL_CALLS and not reply.text.strip():
        problem = f"{reply.model} called a tool, but there are none: answer in text, in the required form"
    elif not reply.text.strip():
        problem = f"{reply.model} gave an empty answer"
    else:
        return reply
    exchange = Exchange(messages=tuple(messages), reply=reply)
    raise MutationError(problem, Attempt(cost_usd=reply.cost_usd, exchanges=(exchange,)))


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

    litellm takes seconds to import, so this happens in the background. The keys of models are not checked here: there
    are many kinds of credentials, and the provider says what is missing.

    Args:
        model: The only model.
        models: Several models instead: names, or separate settings that override the common ones.
        api_base: See `Endpoint`.
        api_key_env: See `Endpoint`.
        temperature: See `Endpoint`.
        reasoning_effort: See `Endpoint`.
        max_tokens: See `Endpoint`.
        price: See `Endpoint`.
        calling: See `LanguageModel`.

    Raises:
        ValueError: If a setting is out of range, or a named variable for a key is not set.
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
    threading.Thread(target=import_litellm, name="import litellm", daemon=True).start()
    return language_model


def _sum(first: Reply, second: Reply) -> Reply:
    """Return the second of two replies, with the price of both."""
    return replace(
        second,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        cached_tokens=first.cached_tokens + second.cached_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost_usd=first.cost_usd + second.cost_usd,
        estimated=first.estimated or second.estimated,
    )
