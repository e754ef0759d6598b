"""What each prompt and each operator produced: proposals, programs, gain, tokens, cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from operators.population import Population
from operators.trial import Status, Trial
from search.champions import reigns
from search.statistics import mean_interval

_HEADER: Final = (
    "| prompt | operator | searches | proposals | built | kept | gain per search [95 %] | prompt tokens (cached) | "
    "completion tokens | cost USD |\n|---|---|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """The results of the proposals that one operator made with one prompt.

    Attributes:
        prompt: Name and hash of the prompt; empty for an operator without one.
        operator: Name of the operator.
        proposals: Decided proposals.
        built: Number of them that produced a program; one whose edit could not be made to a new champion did not.
        kept: Number of them that became the champion.
        gains: How much they lowered the champion's score, in each search in which they were made.
        prompt_tokens: Tokens that were sent.
        cached_tokens: Number of them that the provider had in its cache.
        completion_tokens: Tokens of the answers.
        cost_usd: Price of the model calls.
    """

    prompt: str
    operator: str
    proposals: int
    built: int
    kept: int
    gains: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float

    @property
    def searches(self) -> int:
        """Number of searches in which they were made."""
        return len(self.gains)

    @property
    def gain(self) -> float:
        """How much they lowered the champion's score, summed over all searches."""
        return sum(self.gains)


def prompt_rows(populations: Iterable[Population]) -> list[PromptRow]:
    """Return a row for each prompt and operator, over all searches; the best gain per search first."""
    found: dict[tuple[str, str], list[list[tuple[Trial, float]]]] = {}
    for population in populations:
        lowered = gains(population)
        trials = [trial for trial in population.decided if trial.proposal.parents and not trial.imported]
        for key in sorted({(trial.prompt, trial.operator) for trial in trials}):
            own = [(trial, lowered.get(trial.number, 0.0)) for trial in trials if (trial.prompt, trial.operator) == key]
            found.setdefault(key, []).append(own)
    rows = [_row(prompt, operator, searches) for (prompt, operator), searches in found.items()]
    return sorted(rows, key=lambda row: (-row.gain / row.searches, row.prompt, row.operator))


def gains(population: Population) -> dict[int, float]:
    """Return how much each kept trial lowered the score of the champion."""
    scores, champions = population.scores, [reign.champion.number for reign in reigns(population)]
    return {after: scores[before] - scores[after] for before, after in itertools.pairwise(champions)}


def _row(prompt: str, operator: str, searches: Sequence[Sequence[tuple[Trial, float]]]) -> PromptRow:
    trials = [trial for search in searches for trial, _ in search]
    replies = [exchange.reply for trial in trials for exchange in trial.exchanges]
    return PromptRow(
        prompt=prompt,
        operator=operator,
        proposals=len(trials),
        built=sum(trial.mutation is not None and trial.status is not Status.NOT_BUILT for trial in trials),
        kept=sum(trial.status is Status.KEEP for trial in trials),
        gains=tuple(sum(gain for _, gain in search) for search in searches),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        cached_tokens=sum(reply.cached_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        cost_usd=sum(trial.cost_usd for trial in trials),
    )


def prompt_table(rows: Iterable[PromptRow]) -> str:
    """Return rows as a Markdown table; empty if there are none."""
    lines = [
        f"| {row.prompt or '-'} | {row.operator} | {row.searches} | {row.proposals} | "
        f"{row.built} ({100 * row.built / row.proposals:.0f} %) | {row.kept} | {_gain(row)} | "
        f"{row.prompt_tokens} ({row.cached_tokens}) | {row.completion_tokens} | {row.cost_usd:.4f} |"
        for row in rows
    ]
    return _HEADER + "\n".join(lines) + "\n" if lines else ""


def _gain(row: PromptRow) -> str:
    """Return the mean gain of a search, with its t interval if there are several searches."""
    mean = f"{row.gain / row.searches:.4f}"
    if row.searches == 1:
        return mean
    low, high = mean_interval(row.gains)
    return f"{mean} [{low:.4f}, {high:.4f}]"


def section_table(sections: Mapping[str, Mapping[str, int]]) -> str:
    """Return the tokens of sections by prompt as a Markdown table; empty if there are none.

    Args:
        sections: Estimated tokens by section, by name and hash of a prompt.
    """
    if not sections:
        return ""
    names = list(dict.fromkeys(name for found in sections.values() for name in found))
    rows = [[prompt, *(str(found.get(name, 0)) for name in names)] for prompt, found in sections.items()]
    lines = [["tokens by section", *names], ["---"] * (len(names) + 1), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
