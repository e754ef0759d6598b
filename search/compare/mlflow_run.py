"""A comparison as one MLflow run: means as metrics, the pages as artifacts."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from search.compare.comparison import Comparison
from search.compare.page import power_text, verdict_text
from search.mlflow.sending import Experiment, try_to_send
from search.tracking.records import KIND

_EXPERIMENT: Final = "comparisons"


def send_comparison(comparison: Comparison, name: str, files: Sequence[Path], tracking_uri: str) -> str:
    """Record a comparison, and return a message for the user; empty if there is nowhere to record it.

    Args:
        comparison: The comparison.
        name: Name of the run.
        files: Artifacts.
        tracking_uri: Where MLflow keeps its records, or `none`.
    """
    value, metrics = comparison.metric.value, dict[str, float]()
    for arm in comparison.arms:
        key = re.sub(r"[^\w./ -]", " ", arm.label)[:200]
        metrics |= {
            f"final {key}": value(statistics.fmean(arm.finals)),
            **({f"fresh {key}": value(statistics.fmean(arm.fresh))} if arm.fresh else {}),
            f"mean best so far {key}": value(statistics.fmean(arm.areas)),
            f"failure rate {key}": arm.failure_rate,
        }
    tags = {
        KIND: "comparison",
        "mlflow.note.content": "\n\n".join((verdict_text(comparison), *comparison.refusals, power_text(comparison))),
        "graft.ranked": str(not comparison.refusals),
    }
    return try_to_send(
        tracking_uri,
        lambda uri: Experiment(_EXPERIMENT, uri).add(name, metrics=metrics, tags=tags, files=files),
        done=f"MLflow experiment {_EXPERIMENT!r}, run {name!r}",
        advice="--tracking-uri says where, or none",
    )
