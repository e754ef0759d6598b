"""What operators and language models say to each other, whoever provides the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

MODEL: Final = "model"
"""Label of a proposal that says which of several models is asked."""

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
        finish_reason: Why it stopped, as the provider says: `stop`, `length`, ...
        prompt_tokens: Tokens that were sent.
        cached_tokens: Those of them that the provider had in its prompt cache.
        completion_tokens: Tokens of the answer, reasoning included.
        cost_usd: Price of the call.
        seconds: Wall time of the call, retries and waiting included.
    """

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int
    cost_usd: float
    seconds: float


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
            MutationError: The model will not answer this: a content refusal, an empty or truncated answer.
            ProviderError: The provider is out of order, or refuses the request whatever it says.
        """
