"""The two figures of a trial: its value and its delta. Every file, page and line takes them from here.

The value is the mean score of the trial's trainings, corrected for their training seeds (`operators/scores.py`); lower
is better. It can change after the verdict, because later trainings tell more about the seeds.

The delta is the value minus that of the first parent; negative is better. If the parent has no score (a crash that was
repaired), it is the value minus that of the champion at the time of the verdict, and it is marked.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from operators.population import Population
from operators.trial import Trial
from target.metric import VAL_BPB, Metric

DELTA_HEADER: Final = "delta to parent"


def meaning(metric: Metric) -> str:
    """Return what the two figures are, in words."""
    sign = "positive" if metric.is_maximized else "negative"
    return (
        f"{metric.name} is the mean of a trial's trainings, corrected for their training seeds; {metric.better}. The "
        f"delta is {metric.name} minus that of the first parent; {sign} is better. If the parent has no score, it is "
        "against the champion of that time, and says so: vs #N."
    )


class Delta(NamedTuple):
    """The difference of a trial from another one.

    Attributes:
        amount: Value of the trial minus that of the other, negative is better.
        against: Number of the other trial.
        marked: Whether the other is the champion, because the parent has no score.
    """

    amount: float
    against: int
    marked: bool


def value_of(trial: Trial, population: Population) -> float | None:
    """Return the value of a trial; of a pending one, that of its trainings so far. None if it has no score."""
    return population.scores.get(trial.number)


def difference(trial: Trial, reference: Trial | None, population: Population) -> float | None:
    """Return the value of a trial minus that of another; None unless both have one, and for a trial and itself."""
    ours, theirs = (value_of(each, population) if each else None for each in (trial, reference))
    if ours is None or theirs is None or trial is reference:
        return None
    return ours - theirs


def delta_of(trial: Trial, population: Population) -> Delta | None:
    """Return the delta of a trial; None if it has no score, or if there is nothing to compare it with."""
    value = value_of(trial, population)
    if value is None:
        return None
    parent = trial.proposal.parents[0] if trial.proposal.parents else None
    base = None if parent is None else population.scores.get(parent)
    if parent is not None and base is not None:
        return Delta(value - base, parent, marked=False)
    champion = population.champion_before(trial)
    if champion is None or champion.number == trial.number:
        return None
    return Delta(value - population.scores[champion.number], champion.number, marked=True)


def value_text(trial: Trial, population: Population, metric: Metric = VAL_BPB) -> str:
    """Return the value of a trial with four decimals, or as its metric is shown; empty if it has none."""
    value = value_of(trial, population)
    return "" if value is None else metric.text(value)


def gain_text(change: float, first: float, metric: Metric = VAL_BPB) -> str:
    """Return by how much the champion is better than the baseline; after a tie it may be worse.

    Args:
        change: Value of the champion minus that of the baseline.
        first: Value of the baseline.
        metric: What the target measures.
    """
    size = metric.size_text(abs(change), first)
    return f"{size} worse than the baseline, by a tie" if change > 0 else f"gain {size}"


def delta_text(trial: Trial, population: Population, metric: Metric = VAL_BPB) -> str:
    """Return the delta of a trial, as `-0.0123` or `-0.0123 vs #7`; empty if it has none."""
    delta = delta_of(trial, population)
    if delta is None:
        return ""
    amount = metric.delta_text(delta.amount, population.scores[trial.number])
    return f"{amount} vs #{delta.against}" if delta.marked else amount
