"""A language model with a script, for tests of operators: no HTTP, no provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from operators.base import MutationError, Resources
from operators.chat import Exchange, Message, Reply
from operators.prompts.prompt import Prompt
from operators.trial import Attempt
from search.direction import find_direction
from tests.llm_habits import habit

Answer = str | Exception
Speak = Callable[[str, int, int], Answer]


class ScriptedModel:
    """Answers from a list, or by a function of what was said, seed and attempt; a request costs 0.01 USD."""

    def __init__(self, answers: Sequence[Answer] | Speak) -> None:
        self._answers = answers
        self.asked: list[tuple[Message, ...]] = []

    def complete(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        self.asked.append(tuple(messages))
        text = "\n\n".join(message.text for message in messages)
        script = self._answers
        answer = script(text, seed, attempt) if callable(script) else script[len(self.asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return make_reply(answer)


class _Question:
    def __init__(self, text: str, repeats: int) -> None:
        self.text, self.repeats = text, repeats


def obliging(text: str, seed: int, attempt: int) -> str:
    """Change one constant of the program in the prompt, another one for another seed or attempt."""
    return habit(_Question(text, repeats=1000 * attempt + seed))


def make_reply(text: str, *, reasoning: bool = False) -> Reply:
    return Reply(
        text=text,
        model="scripted",
        finish_reason="stop",
        prompt_tokens=100,
        completion_tokens=20,
        cost_usd=0.01,
        seconds=0.5,
        reasoning=reasoning,
    )


def refusal(problem: str) -> MutationError:
    """Return what a model raises that will not answer."""
    exchange = Exchange(messages=(Message(role="user", text="?"),), reply=make_reply(""))
    return MutationError(problem, Attempt(cost_usd=0.01, exchanges=(exchange,)))


def make_resources(model: ScriptedModel | None, direction: Path | None = None) -> Resources:
    return Resources(
        lend=lambda: model, direction=direction or find_direction(None), limits=("A training has 10 seconds.",)
    )


def make_prompt(**changes: object) -> Prompt:
    settings: dict[str, object] = {
        "name": "default",
        "system": "system.j2",
        "task": "task.j2",
        "max_tokens": 24_000,
        "inspiration_lines": 60,
        "curve": 8,
        "statistics": 8,
        "ancestors": 8,
        "constants": 8,
        "inspirations": 2,
        "failures": 6,
        "near_misses": 4,
        "unsuccessful": 8,
    }
    return Prompt(**{**settings, **changes})  # type: ignore[arg-type]
