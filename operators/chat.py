"""The messages between operators and language models, for any provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

REFUSED: Final = "content_filter"
CUT_OFF: Final = "length"
TOOL_CALLS: Final = "tool_calls"
"""The finish reasons of a reply that need special treatment."""

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: The speaker's role.
        text: The content.
    """

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's answer, and its cost.

    Attributes:
        text: The answer.
        model: The model that answered, by litellm's name.
        finish_reason: The provider's reason for its end: `stop`, `length`, ...; `tool_calls` if it only called tools.
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Tokens of the prompt that were in the provider's prompt cache.
        completion_tokens: Tokens of the answer, reasoning included.
        cost_usd: Price of the call.
        seconds: Wall time of the call, retries and waiting included.
        reasoning: Whether the text was in the field for reasoning, and the field for the answer was empty.
        estimated: Whether tokens and price are estimated, because the provider reports no tokens.
    """

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int
    cost_usd: float
    seconds: float
    reasoning: bool = False
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its reply, as recorded with the trial.

    Attributes:
        messages: The request.
        reply: The reply.
    """

    messages: tuple[Message, ...]
    reply: Reply


class ChatModel(Protocol):
    """A language model, or several behind one name. Calls block and run side by side in threads."""

    def complete(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        """Return the answer to a conversation.

        Args:
            messages: The conversation.
            seed: Seed of the current proposal; with `attempt`, it identifies the request in a search.
            attempt: Number of earlier requests for this proposal.
            model: The model to ask if there are several: that of the proposal.

        Raises:
            MutationError: The model does not answer this request: a content refusal, an empty or truncated answer, a
                call of a tool.
            ProviderError: The provider does not work, or refuses such requests regardless of their content.
        """
