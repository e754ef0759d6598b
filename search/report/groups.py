"""Tables of a report: what each operator, prompt and model produced and cost, and why trials failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from operators.population import Population
from operators.trial import Status, Trial
from search.prompt.table import gains
from search.views.verdicts import one_line

FAILED: Final = (Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.NOT_BUILT, Status.REJECTED)
_CAUSES: Final = 15
_CAUSE_CHARACTERS: Final = 160
_NUMBER: Final = re.compile(r"\d+(\.\d+)?([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The trials of one operator, prompt or model.

    Attributes:
        name: What they have in common.
        trials: Number of decided trials.
        kept: Number of those that became the champion.
        failed: Number of those without a score because of a failure.
        gain: By how much they lowered the champion's value, in sum.
        trainings: Finished trainings.
        seconds: Device time of them.
        tokens: Tokens sent to and received from models.
        cost_usd: Price of the model calls.
    """

    name: str
    trials: int
    kept: int
    failed: int
    gain: float
    trainings: int
    seconds: float
    tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Failures whose messages differ in numbers only.

    Attributes:
        status: How they ended.
        message: The message of the latest.
        count: Number of trials.
        latest: Number of the latest trial.
    """

    status: str
    message: str
    count: int
    latest: int


def groups(population: Population) -> dict[str, list[Group]]:
    """Return the groups by operator, prompt and model, the largest gain first; none where there is nothing to tell."""
    trials = [trial for trial in population.decided if trial.proposal.parents and not trial.imported]
    lowered = gains(population)
    keys: dict[str, Callable[[Trial], str]] = {
        "operator": lambda trial: trial.operator,
        "prompt": lambda trial: trial.prompt,
        "model": lambda trial: next((each.reply.model for each in trial.exchanges), ""),
    }
    found = {name: _groups(trials, key, lowered) for name, key in keys.items()}
    return {name: rows for name, rows in found.items() if any(row.name != "none" for row in rows)}


def _groups(trials: Sequence[Trial], key: Callable[[Trial], str], lowered: dict[int, float]) -> list[Group]:
    members: dict[str, list[Trial]] = {}
    for trial in trials:
        members.setdefault(one_line(key(trial)) or "none", []).append(trial)
    rows = [_group(name, own, lowered) for name, own in members.items()]
    return sorted(rows, key=lambda row: (-row.gain, row.name))


def _group(name: str, trials: Sequence[Trial], lowered: dict[int, float]) -> Group:
    replies = [exchange.reply for trial in trials for exchange in trial.exchanges]
    return Group(
        name=name,
        trials=len(trials),
        kept=sum(trial.status is Status.KEEP for trial in trials),
        failed=sum(trial.status in FAILED for trial in trials),
        gain=sum(lowered.get(trial.number, 0.0) for trial in trials),
        trainings=sum(trial.trainings for trial in trials),
        seconds=sum(trial.device_seconds for trial in trials),
        tokens=sum(reply.prompt_tokens + reply.completion_tokens for reply in replies),
        cost_usd=sum(trial.cost_usd for trial in trials),
    )


def causes(population: Population) -> tuple[list[Cause], int]:
    """Return why trials failed, the most frequent cause first, and the number of failures of rarer causes."""
    members: dict[tuple[Status, str], list[Trial]] = {}
    for trial in population.decided:
        if trial.status in FAILED:
            members.setdefault((trial.status, _NUMBER.sub("N", one_line(trial.detail))[:80]), []).append(trial)
    rows = [
        Cause(
            status=status.value,
            message=one_line(trials[-1].detail)[:_CAUSE_CHARACTERS] or "no message",
            count=len(trials),
            latest=trials[-1].number,
        )
        for (status, _), trials in members.items()
    ]
    rows.sort(key=lambda row: (-row.count, row.latest))
    return rows[:_CAUSES], sum(row.count for row in rows[_CAUSES:])


def cost_sentence(population: Population, cost_usd: float) -> str:
    """Return what the model calls cost, in all and for each kept program; empty without model calls.

    Args:
        population: The trials.
        cost_usd: Price of all calls, those before the search included.
    """
    replies = [each.reply for trial in population.decided if not trial.imported for each in trial.exchanges]
    if not replies:
        return ""
    sent, cached, received = (
        sum(getattr(reply, name) for reply in replies)
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
    )
    keeps = sum(trial.status is Status.KEEP for trial in population.champions if not trial.imported)
    share = f"; {cost_usd / keeps:.4f} USD for each program that was kept" if keeps else ""
    return (
        f"{cost_usd:.4f} USD for {len(replies)} requests: {sent} prompt tokens ({cached} of them cached), "
        f"{received} completion tokens{share}."
    )
