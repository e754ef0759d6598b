"""The metric of a search that is read from its folder."""

from __future__ import annotations

import json
from pathlib import Path

from target.metric import VAL_BPB, Metric, metric_of


def read_metric(environment_json: Path) -> Metric:
    """Return the metric of a search, as its environment.json names it."""
    try:
        environment = json.loads(environment_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it has not begun
        return VAL_BPB
    return metric_of(environment if isinstance(environment, dict) else {})
