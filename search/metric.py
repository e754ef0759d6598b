"""The metric of a search that is read from its folder."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from target.metric import VAL_BPB, Metric, metric_of


def read_metric(environment_json: Path) -> Metric:
    """Return the metric of a search, as its environment.json names it."""
    try:
        now = environment_json.stat()
    except OSError:  # it has not begun
        return VAL_BPB
    return _read(environment_json, (now.st_ino, now.st_mtime_ns, now.st_size))


@functools.lru_cache(maxsize=64)  # it is asked several times for each verdict
def _read(environment_json: Path, _: tuple[int, int, int]) -> Metric:
    try:
        environment = json.loads(environment_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return VAL_BPB
    return metric_of(environment if isinstance(environment, dict) else {})
