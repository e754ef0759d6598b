"""Reads a server's token limit from its refusal of a request."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = r"`?'?(\d[\d,]*)"
_OF_ANSWER: Final = re.compile(
    r"max_(?:completion_|output_|new_)?tokens?\b|maxoutputtokens|num_predict|maximum tokens|"
    r"(?:completion|output|generated) tokens"
)
_OF_CONTEXT: Final = re.compile(r"context[ _](?:length|window|size|limit)|context_length_exceeded|too many tokens")
_NOT_SUPPORTED: Final = re.compile(
    r"unsupported parameter: ['`]?max_tokens|['`]?max_tokens['`]? is not supported|"
    r"(?:unknown|unrecognized) (?:parameter|argument|request argument)[^.]{0,40}max_tokens"
)
_LIMITS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\[\s*\d+\s*,\s*{_NUMBER}\s*\]",  # the valid range is [1, 8192]
        rf"at most {_NUMBER}",
        rf"less than or equal to {_NUMBER}",
        rf"<=\s*{_NUMBER}",
        rf"\d\s*>\s*{_NUMBER}",  # 64001 > 64000, which is the maximum
        rf"exceeds?[^.\d]{{0,60}} {_NUMBER}",
        rf"(?:maximum|limit|max)[^.\d]{{0,60}} {_NUMBER}",
        rf"(?:up to|between 1 and) {_NUMBER}",
    )
)
_CONTEXT: Final = re.compile(rf"context (?:length|window|size|limit)[^.\d]{{0,30}}\b{_NUMBER}")
_PROMPT: Final = re.compile(
    rf"{_NUMBER} (?:in the (?:messages|prompt|input)|(?:input|prompt) tokens|"
    r"tokens (?:in|from) the (?:input|prompt|messages))|"
    rf"(?:messages|prompt) resulted in {_NUMBER}"
)
_RATE: Final = re.compile(rf"limit:? {_NUMBER},[^.]{{0,40}}requested:? {_NUMBER}")


def about_rate(said: str, max_tokens: int | None) -> str:
    """Return what to do about a request that is larger than what may be used in a minute; empty for other refusals.

    Providers give it the status of a rate limit, but waiting does not help: one request alone exceeds the limit.

    Args:
        said: The server's message, in lower case.
        max_tokens: Requested limit for the answer, which some providers count in full; None if the request had none.
    """
    match = _RATE.search(said)
    if match is None:
        return ""
    limit, requested = (int(number.replace(",", "")) for number in match.groups())
    if requested <= limit:
        return ""
    answer = "" if max_tokens is None else f"a smaller llm.max_tokens (it is {max_tokens}), "
    return (
        f"one request has {requested} tokens, and the account may use {limit} in a minute or a day: "
        f"set {answer}a smaller prompt.max_tokens, or another model"
    )


def about_tokens(said: str, max_tokens: int | None, *, context: bool) -> str:
    """Return what to do about a request that was refused for its number of tokens; empty for other refusals.

    Args:
        said: The server's message, in lower case.
        max_tokens: Requested limit for the answer; None if the request had none.
        context: Whether it is known that prompt and answer together are too long.
    """
    if max_tokens is not None and _NOT_SUPPORTED.search(said):
        return "it does not accept llm.max_tokens: set llm.max_tokens=null"
    if context:
        return _about_the_context(said, max_tokens)
    of_answer = max_tokens is not None and bool(_OF_ANSWER.search(said))
    if max_tokens is not None and of_answer and (allowed := _allowed(said, max_tokens)):
        return f"llm.max_tokens={max_tokens} is more than it allows: set llm.max_tokens={allowed}"
    if _OF_CONTEXT.search(said):
        return _about_the_context(said, max_tokens)
    return f"it does not accept llm.max_tokens={max_tokens}: set a smaller llm.max_tokens" if of_answer else ""


def _allowed(said: str, max_tokens: int) -> int | None:
    return next((number for each in _LIMITS for number in _numbers(each, said) if 0 < number < max_tokens), None)


def _about_the_context(said: str, max_tokens: int | None) -> str:
    length = next(iter(_numbers(_CONTEXT, said)), None)
    prompt = next(iter(_numbers(_PROMPT, said)), None)
    answer_counts = prompt is not None or bool(_OF_ANSWER.search(said) or "in the completion" in said)
    allowed = None if length is None else min(length // 2, length - (prompt or 0))
    if max_tokens is None or not answer_counts or (allowed is not None and not 0 < allowed < max_tokens):
        return (
            "the prompt is longer than the model's context: "
            "choose a model with a longer context, or a smaller prompt.max_tokens"
        )
    if allowed is None:
        return f"prompt and answer are longer than the model's context: set llm.max_tokens below {max_tokens}"
    return (
        f"prompt and answer may have {length} tokens together, and llm.max_tokens={max_tokens} leaves too few for the "
        f"prompt: set llm.max_tokens={allowed} or less, and prompt.max_tokens to the rest"
    )


def _numbers(pattern: re.Pattern[str], said: str) -> list[int]:
    """Return the numbers that a pattern finds."""
    found = (next(group for group in match.groups() if group) for match in pattern.finditer(said))
    return [int(text.replace(",", "")) for text in found]
