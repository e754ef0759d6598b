"""Caveats of a report about unverified scores, and whether there is sealed text for a final report."""

from __future__ import annotations

import json

from operators.population import Population
from search.runs.rundir import RunDirectory


def unverified_caveats(population: Population) -> list[str]:
    """Return the caveats; none for a search whose scores are all verified."""
    caveats = []
    scored = population.scored
    unverified = [trial for trial in scored if not trial.verified]
    if unverified:
        caveats.append(
            f"Unverified: {len(unverified)} of {len(scored)} scores were reported by the programs themselves. A "
            "program that reports more than it achieves is not detected; read the diff before you believe a gain."
        )
    if imported := [trial for trial in unverified if trial.imported and not trial.origin]:
        caveats.append(
            f"{len(imported)} of them were imported from elsewhere: they were measured once, at another time and "
            "perhaps on another machine. Differences from later trials are partly due to that."
        )
    return caveats


def has_holdout(run: RunDirectory) -> bool:
    """Return whether the target has sealed text for a final report: only one that trains on a corpus of ours has it."""
    try:
        environment = json.loads(run.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(environment, dict) and "corpus" in environment
