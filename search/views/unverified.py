"""What a report says of scores that nobody has checked, and of a metric that stands behind the name val_bpb."""

from __future__ import annotations

import json
from typing import Any

from operators.population import Population
from search.runs.rundir import RunDirectory


def unverified_caveats(population: Population) -> list[str]:
    """Return the caveats, none for a search whose scores were all made here."""
    caveats = []
    scored = population.scored
    unverified = [trial for trial in scored if not trial.verified]
    if unverified:
        caveats.append(
            f"Unverified: {len(unverified)} of {len(scored)} scores are what the programs reported of themselves. A "
            "program that reports more than it achieves is not found out; read the diff before you believe a gain."
        )
    if imported := [trial for trial in unverified if trial.imported and not trial.origin]:
        caveats.append(
            f"{len(imported)} of them were imported from elsewhere: they were measured at another time, perhaps on "
            "another machine, and once. A difference from later trials is partly that."
        )
    return caveats


def metric_sentence(run: RunDirectory) -> str:
    """Return what stands behind the name val_bpb; nothing if that is what it is."""
    metric = _metric(run)
    name = metric.get("name", "val_bpb")
    if metric.get("direction") == "maximize":
        return f"val_bpb stands for {name} with its sign changed, because {name} is maximized here."
    return "" if name == "val_bpb" else f"val_bpb stands for {name}, which is minimized here."


def _metric(run: RunDirectory) -> dict[str, Any]:
    try:
        environment = json.loads(run.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found = environment.get("metric") if isinstance(environment, dict) else None
    return found if isinstance(found, dict) else {}
