"""What chart.js reads: the data that report.html and lineage.html have in common."""

from __future__ import annotations

from collections import Counter
from typing import Any

from operators.population import Population
from operators.trial import Status, Trial
from search.figures import delta_text, value_of, value_text
from search.runs.summary import Summary
from target.metric import Metric


def chart_data(population: Population, summary: Summary, metric: Metric, *, reload_seconds: float) -> dict[str, Any]:
    """Return what a page says of the search as a whole.

    Args:
        population: The trials.
        summary: State as of the last verdict.
        metric: What the target measures.
        reload_seconds: Time after which the page of a running search reads itself again.
    """
    best, counts = population.champion, Counter(trial.status for trial in population.decided)
    return {
        "running": summary.status == "running",
        "reload_seconds": reload_seconds,
        "best": best.number if best else None,
        "maximized": metric.is_maximized,
        "label": f"{metric.name} of all trials",
        "counts": {status.value: counts[status] for status in Status if counts[status]},
    }


def chart_point(trial: Trial, rank: int, population: Population, metric: Metric) -> dict[str, Any]:
    """Return the mark of a trial; `rank` is its place among those of the chart."""
    value = value_of(trial, population)
    return {
        "number": trial.number,
        "rank": rank,
        "status": trial.status.value,
        "value": None if value is None else metric.value(value),
        "shown": value_text(trial, population, metric),
        "delta": delta_text(trial, population, metric),
    }
