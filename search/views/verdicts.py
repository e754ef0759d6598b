"""Facts about trials for pictures, pages and tables: order, lineage, descriptions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from operators.population import Population
from operators.prompts.history import lineage
from operators.trial import Trial
from search.figures import difference


@dataclass(frozen=True, slots=True)
class Step:
    """One trial on the path from the seed program to a trial.

    Attributes:
        trial: The ancestor, or the trial itself.
        delta: Its score minus its parent's, negative is better; None for the first, or if a score is missing.
    """

    trial: Trial
    delta: float | None


def ancestry(trial: Trial, population: Population) -> list[Step]:
    """Return the way from the seed program to a trial, both included, by each trial's first parent."""
    chain = lineage(trial, population)[::-1]
    pairs = itertools.pairwise(chain)
    return [Step(chain[0], None), *(Step(child, difference(child, parent, population)) for parent, child in pairs)]


def score_range(population: Population) -> tuple[float, float]:
    """Return the interval of val_bpb to draw: from the best to somewhat above the baseline.

    One diverged candidate would squeeze all others into a line. Scores above the interval are drawn at its edge.
    """
    values = sorted(population.scores[trial.number] for trial in population.scored)
    if not values:
        return 0.0, 1.0
    champions = [population.scores[trial.number] for trial in population.champions]
    low, anchor = values[0], max([*champions, values[len(values) // 2]])
    high = min(values[-1], anchor + 0.5 * (anchor - low))
    margin = max(0.06 * (high - low), 1e-4)
    return low - margin, high + margin


def description_of(trial: Trial) -> str:
    """Return what changed, and why it failed if it did, in one line of printable characters."""
    text = trial.mutation.description if trial.mutation else ""
    return one_line(" ".join(filter(None, (trial.marks, text, trial.detail and f"[{trial.detail}]"))))


def one_line(text: str) -> str:
    """Return an untrusted text without line breaks and without terminal control characters, such as colour codes."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
