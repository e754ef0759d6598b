"""The metric of a target: the ledger minimizes every score under the name val_bpb; users read the target's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from search.runs.rundir import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a target measures.

    Attributes:
        name: Its name.
        is_maximized: Whether higher is better; then scores in the ledger have the opposite sign.
    """

    name: str = "val_bpb"
    is_maximized: bool = False

    def value(self, score: float) -> float:
        """Return a score of the ledger in the target's own direction; its own inverse."""
        return -score if self.is_maximized else score

    def text(self, score: float) -> str:
        """Return a score of the ledger as text in the target's own direction."""
        return number_text(self.value(score))


VAL_BPB: Final = Metric()


def number_text(value: float) -> str:
    """Return a number with four decimals; a large whole number, as of a metric that counts, without any."""
    return f"{value:.0f}" if abs(value) >= _COUNTED and value == round(value) else f"{value:.4f}"


_COUNTED: Final = 10.0  # bits per byte are below it


def read_metric(run: RunDirectory) -> Metric:
    """Return the metric of a search, as its environment.json names it."""
    try:
        environment = json.loads(run.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it has not begun
        return VAL_BPB
    return metric_of(environment if isinstance(environment, dict) else {})


def metric_of(described: Mapping[str, Any]) -> Metric:
    """Return the metric that a target describes, or that an environment.json has."""
    found = described.get("metric")
    if not isinstance(found, Mapping):
        return VAL_BPB
    return Metric(name=str(found.get("name", VAL_BPB.name)), is_maximized=found.get("direction") == "maximize")
