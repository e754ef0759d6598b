"""The prompts and replies of one trial as readable text."""

from __future__ import annotations

from collections.abc import Iterable

from operators.chat import Exchange


def prompts_text(exchanges: Iterable[Exchange]) -> str:
    """Return the prompts of a trial as readable text."""
    parts = []
    for number, exchange in enumerate(exchanges, start=1):
        parts.append(f"# Request {number}, to {exchange.reply.model}\n")
        parts += [f"## {message.role}\n\n{message.text}\n" for message in exchange.messages]
    return "\n".join(parts)


def replies_text(exchanges: Iterable[Exchange]) -> str:
    """Return the replies of a trial as readable text."""
    parts = []
    for number, exchange in enumerate(exchanges, start=1):
        reply = exchange.reply
        parts.append(
            f"# Reply {number}, of {reply.model}\n\n"
            f"{reply.finish_reason}; {reply.prompt_tokens} prompt tokens ({reply.cached_tokens} cached), "
            f"{reply.completion_tokens} completion tokens; {reply.cost_usd:.6f} USD; {reply.seconds:.1f} s"
            f"{'; tokens and price are estimated' if reply.estimated else ''}"
            f"{'; it came as reasoning only' if reply.reasoning else ''}\n\n"
            f"{reply.text}\n"
        )
    return "\n".join(parts)
