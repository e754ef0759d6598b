"""The usage of a model call: tokens, as the provider reports them or estimated, and their price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from operators.chat import Message
from operators.llm.catalogue import has_price, import_litellm
from operators.llm.endpoint import Endpoint
from operators.prompts.prompt import tokens

_LEAST_CUT_TOKENS: Final = 1000
_CUT_PART: Final = 0.67  # six characters a token: more than in code and English
_CONTEXT_STEP: Final = 1024  # contexts have a multiple of it; where a server cuts to half of one, two tokens are added


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call.

    Attributes:
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Tokens of the prompt that were in the provider's prompt cache.
        completion_tokens: Tokens of the answer, reasoning included.
        estimated: Whether they are estimated from characters, because the provider reports none.
    """

    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int
    estimated: bool = False


def usage_of(response: Any, messages: Sequence[Message], said: str) -> Usage:
    """Return the usage of a call. An empty answer that the provider counts as zero tokens was free.

    Args:
        response: litellm's response.
        messages: The request.
        said: The complete reply: answer, reasoning and arguments of tools.
    """
    counted = getattr(response, "usage", None)
    prompt_tokens, completion_tokens = (_count(counted, f"{each}_tokens") for each in ("prompt", "completion"))
    if prompt_tokens or completion_tokens or not said.strip():
        cached_tokens = min(_count(getattr(counted, "prompt_tokens_details", None), "cached_tokens"), prompt_tokens)
        return Usage(prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, completion_tokens=completion_tokens)
    return Usage(prompt_tokens=estimated_tokens(messages), completion_tokens=tokens(said), estimated=True)


def estimated_tokens(messages: Sequence[Message]) -> int:
    """Return about how many tokens a request has."""
    return sum(tokens(message.text) for message in messages)


def was_cut(prompt_tokens: int, messages: Sequence[Message]) -> bool:
    """Return whether a server seems to have read only a part of the prompt.

    Ollama drops the beginning of a prompt that is longer than its context, and answers as if nothing had happened. It
    shows only in the number of tokens: far too few, or too few and exactly the size of a context.

    Args:
        prompt_tokens: What the server counted.
        messages: The prompt.
    """
    expected = estimated_tokens(messages)
    if expected < _LEAST_CUT_TOKENS or not prompt_tokens or prompt_tokens >= 0.95 * expected:
        return False
    return prompt_tokens < _CUT_PART * expected or prompt_tokens % _CONTEXT_STEP in (0, 2)


def cost_usd(usage: Usage, endpoint: Endpoint, response: Any) -> float:
    """Return the price of a call in USD; 0 if it is not known."""
    if endpoint.price is not None:
        return endpoint.price.cost_usd(
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
        )
    if not has_price(endpoint):
        return 0.0
    litellm = import_litellm()
    if usage.estimated:
        prices = litellm.cost_per_token(
            model=endpoint.model, prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens
        )
        return float(sum(prices))
    return float(litellm.completion_cost(completion_response=response, model=endpoint.model))


def _count(usage: Any, name: str) -> int:
    return int(getattr(usage, name, None) or 0)
