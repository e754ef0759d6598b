"""Descriptions of runs in Markdown: what changed and what came of it, with links to parents and children."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from operators.population import Population
from operators.trial import Status, Trial
from search.champions import reigns
from search.figures import delta_of
from search.runs.summary import Summary
from search.tracking.records import TAG_CHARACTERS, clean, shortened
from search.views.verdicts import one_line
from target.metric import VAL_BPB, Metric

Link = Callable[[int], str]
"""Gives the address of a trial's run; empty if it has none."""

_LINKS: Final = 20
_LINE_CHARACTERS: Final = 100
_REASON_CHARACTERS: Final = 1000
_SHORTEST_DIFF: Final = 200


def trial_note(
    trial: Trial,
    population: Population,
    children: Sequence[Trial],
    changes: str,
    link: Link,
    metric: Metric = VAL_BPB,
) -> str:
    """Return the description of a trial.

    MLflow's table shows the first line. The page of the run shows a few lines, and links in the first two can be
    clicked without showing the rest, so these are short.

    Args:
        trial: The trial.
        population: All trials.
        children: The trials that were made from it.
        changes: Its diff from its parent.
        link: Gives the address of a trial's run.
        metric: What the target measures.
    """
    mutation = trial.mutation
    description = one_line(" ".join((trial.marks, mutation.description if mutation else "")))
    short = shortened(description, _LINE_CHARACTERS)
    reasons = (description if short != description else "", mutation.rationale if mutation else "", trial.detail)
    parts = [
        f"{short}  \n{_verdict(trial, population, link, metric)}",
        *(clean(each, _REASON_CHARACTERS) for each in reasons),
        _made_from_it(children, population, link, metric),
    ]
    text = "\n\n".join(filter(None, parts))
    return clean(text + _fenced(changes, TAG_CHARACTERS - len(text)), TAG_CHARACTERS)


def search_note(population: Population, summary: Summary, link: Link, metric: Metric = VAL_BPB) -> str:
    """Return the description of a search: its result, what became of its trials, and the way to the best."""
    state = ", ".join(filter(None, (summary.status, summary.stop_reason)))
    first = f"{summary.strategy}, seed {summary.seed}: {state}"
    if best := population.champion:
        first_score, score = (_score(each, population, metric) for each in (population.trials[0], best))
        first += f"  \n{metric.name} {first_score} → {score}, trial {_linked(best, link)}"
    outcomes = ", ".join(f"{count} {name}" for name, count in summary.outcomes.items())
    keeps = [reign.champion for reign in reigns(population)][-_LINKS:]
    steps = [f"- {_linked(trial, link)} {_score(trial, population, metric)} {_described(trial)}" for trial in keeps]
    return clean("\n\n".join(filter(None, (first, outcomes, "\n".join(steps)))), TAG_CHARACTERS)


def _verdict(trial: Trial, population: Population, link: Link, metric: Metric) -> str:
    parents = [population.trials[number] for number in trial.proposal.parents]
    delta = delta_of(trial, population) if trial.scored else None
    score = f"{metric.name} {_score(trial, population, metric)}" if trial.scored else ""
    rival = "" if delta is None else f"trial #{delta.against}" if delta.marked else "its parent"
    against = f"{metric.delta_text(delta.amount, population.scores[trial.number])} against {rival}" if delta else ""
    names = " and ".join(_linked(each, link) for each in parents)
    made = f"made from {names}" if names else ""
    return ", ".join(filter(None, (f"**{trial.status.value}**", score, against, made)))


def _made_from_it(children: Sequence[Trial], population: Population, link: Link, metric: Metric) -> str:
    if not children:
        return ""
    best = sorted(children, key=lambda each: (population.scores.get(each.number, float("inf")), each.number))
    shown = [f"{_linked(each, link)} {_score(each, population, metric)}".strip() for each in best[:_LINKS]]
    more = f", and {len(best) - _LINKS} more" if len(best) > _LINKS else ""
    return f"made from it, the best first: {', '.join(shown)}{more}"


def _score(trial: Trial, population: Population, metric: Metric) -> str:
    score = population.scores.get(trial.number) if trial.scored else None
    return trial.status.value if score is None else metric.text(score)


def _described(trial: Trial) -> str:
    if trial.status is Status.BASELINE or trial.mutation is None:
        return "the seed program"
    return one_line(trial.mutation.description)[:120]


def _linked(trial: Trial, link: Link) -> str:
    address = link(trial.number)
    return f"[#{trial.number}]({address})" if address else f"#{trial.number}"


def _fenced(changes: str, characters: int) -> str:
    """Return a diff as a block of Markdown; the rest of a long one is in `diff.txt`."""
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", changes)), default=0))
    left = characters - 2 * len(fence) - 60
    if not changes.strip() or left < _SHORTEST_DIFF:
        return ""
    short = changes if len(changes) <= left else changes[:left].rpartition("\n")[0] + "\n... the rest is in diff.txt"
    return f"\n\n{fence}diff\n{short.rstrip()}\n{fence}\n"
