"""Asks the model which of several changes is worth a training, before one is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from operators.base import MutationError
from operators.chat import ChatModel, Exchange, Message
from operators.prompts.history import changes_of
from operators.prompts.prompt import render
from operators.trial import Mutation
from target.program import Program
from target.program.contract import Contract

_ORDER: Final = re.compile(r"ORDER\W*:\W*(\d+(?:\s*[,>]\s*\d+)*)", re.IGNORECASE)
_DIFF_LINES: Final = 80  # of a change that is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """What a model said about changes.

    Attributes:
        order: Their places, the best first; as they were given where the model names none.
        cost_usd: Price of the question.
        exchanges: The question and its answer; empty if there was no answer.
    """

    order: list[int]
    cost_usd: float = 0.0
    exchanges: tuple[Exchange, ...] = ()


def criticise(
    changes: Sequence[Mutation],
    parent: Program,
    *,
    number: int,
    score: float | None,
    contract: Contract,
    direction: str,
    model: ChatModel,
    seed: int,
    model_name: str | None,
) -> Critique:
    """Ask which of several changes is the best.

    An answer that cannot be used changes nothing but the cost: the changes stay in the order of the other criteria.

    Args:
        changes: New programs made from the parent.
        parent: The program that they change.
        number: Its trial.
        score: Its score, as the ledger has it, if there is one.
        contract: What the target measures, and what kind of program it has.
        direction: The human's direction.
        model: The model to ask.
        seed: Seed of the question.
        model_name: The model of the proposal, if there are several.

    Raises:
        ProviderError: The provider does not work.

    Source: ShinkaEvolve, Lange et al. 2025, https://arxiv.org/abs/2509.19349, asks a model whether a program is novel
    before it is evaluated; here the model is asked which of several is the best.
    """
    metric = contract.metric
    shown = [(each.description, changes_of(parent, each.program, _DIFF_LINES)) for each in changes]
    text = render(
        "critique.j2",
        metric=metric,
        subject=contract.subject,
        number=number,
        score=None if score is None else metric.text(score),
        direction=direction.strip(),
        source=parent.source,
        changes=[{"description": description, "diff": diff} for description, diff in shown],
    )
    messages, as_given = [Message(role="user", text=text)], list(range(len(changes)))
    try:
        reply = model.complete(messages, seed=seed, attempt=0, model=model_name)
    except MutationError as error:  # a refusal, an empty or a truncated answer
        return Critique(order=as_given, cost_usd=error.attempt.cost_usd, exchanges=error.attempt.exchanges)
    exchange = Exchange(messages=tuple(messages), reply=reply)
    return Critique(order=read_order(reply.text, len(changes)), cost_usd=reply.cost_usd, exchanges=(exchange,))


def read_order(answer: str, n_changes: int) -> list[int]:
    """Return the places that an answer names, the best first, then the others as they were given.

    The last line that begins with `ORDER:` counts. Numbers that name no change are ignored.
    """
    lines = _ORDER.findall(answer)
    named = (int(number) - 1 for number in re.findall(r"\d+", lines[-1])) if lines else ()
    known = dict.fromkeys(place for place in named if 0 <= place < n_changes)
    return [*known, *(place for place in range(n_changes) if place not in known)]
