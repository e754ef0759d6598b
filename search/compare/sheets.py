"""A comparison as two CSV files: the scores of each search, and its best so far, for other programs to draw."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from search.compare.comparison import Comparison


def scores_csv(comparison: Comparison) -> str:
    """Return a row for each search; scores are in the target's own direction, corrected as `search.compare` does it."""
    metric = comparison.metric
    header = ("arm", "seed", "search", metric.name, "on_fresh_seeds", "mean_of_best_so_far")
    rows = []
    for arm in comparison.arms:
        fresh: list[float | str] = [metric.value(each) for each in arm.fresh]
        fresh = fresh or [""] * len(arm.finals)
        for each, final, new, area in zip(arm.repetitions, arm.finals, fresh, arm.areas, strict=True):
            scores = (metric.value(final), new, metric.value(area))
            rows.append((arm.label, each.seed, each.search, *scores, each.trainings, each.gpu_hours, each.usd))
    return _text((*header, "trainings", "device_hours", "usd"), rows)


def curves_csv(comparison: Comparison) -> str:
    """Return a row for each champion of each search, with what was used until then; its score holds until the next."""
    rows = [
        (arm.label, each.seed, trainings, hours, usd, comparison.metric.value(score))
        for arm in comparison.arms
        for each in arm.repetitions
        for trainings, hours, usd, score in each.steps
    ]
    return _text(("arm", "seed", "trainings", "device_hours", "usd", comparison.metric.name), rows)


def _text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
