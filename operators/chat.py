"""What operators and language models say to each other, whoever provides the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

MODEL: Final = "model"
"""Label of a proposal that says which of several models is asked."""

REFUSED: Final = "content_filter"
CUT_OFF: Final = "length"
TOOL_CALLS: Final = "tool_calls"
"""Why a reply stopped, where that decides what is done about it."""

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: Who speaks.
        text: What is said.
    """

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model answered, and what that took.

    Attributes:
        text: The answer.
        model: Which model answered, as litellm names it.
        finish_reason: Why it stopped, as the provider says: `stop`, `length`, ...; `tool_calls` if it did nothing but
            call tools.
        prompt_tokens: Tokens that were sent.
        cached_tokens: Those of them that the provider had in its prompt cache.
        completion_tokens: Tokens of the answer, reasoning included.
        cost_usd: Price of the call.
        seconds: Wall time of the call, retries and waiting included.
        reasoning: Whether the text came in the field for reasoning, and none in the field for the answer.
        estimated: Whether tokens and price are estimated, since the provider counts no tokens.
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
    """One request and its reply, as it is recorded with the trial.

    Attributes:
        messages: What was sent.
        reply: What came back.
    """

    messages: tuple[Message, ...]
    reply: Reply


class ChatModel(Protocol):
    """A language model, or several behind one name. Calls block and run side by side in threads."""

    def complete(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        """Return the answer to a conversation.

        Args:
            messages: The conversation.
            seed: Seed of the proposal that is worked on; with `attempt`, it identifies the request in a search.
            attempt: Requests that were made for this proposal before.
            model: Which of several is asked: that of the proposal.

        Raises:
            MutationError: The model will not answer this: a content refusal, an empty or truncated answer, a call of a
                tool.
            ProviderError: The provider is out of order, or refuses the request whatever it says.
        """
