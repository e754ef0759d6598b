"""A transfer as one MLflow run: the gain in the search and here as metrics, the verdict as a tag, the report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from search.mlflow.sending import Experiment, try_to_send
from search.tracking.records import KIND
from search.transfer.record import TransferReport
from search.transfer.text import facts_of_transfer
from target.metric import Metric

_EXPERIMENT: Final = "transfers"


def send_transfer(report: TransferReport, name: str, file: Path, metric: Metric, tracking_uri: str) -> str:
    """Record a transfer, and return a message for the user; empty if there is nowhere to record it.

    Args:
        report: What it found.
        name: Name of the search.
        file: The report, as a file.
        metric: What the target of the search measures.
        tracking_uri: Where MLflow keeps its records, or `none`.
    """
    facts = facts_of_transfer(report, metric)
    metrics = {"seeds": float(len(report.seeds))}
    for place, row in (("search", report.own), ("here", report.here)):
        if row:
            values = {"baseline": row.baseline, "best": row.best, "difference": row.difference}
            metrics |= {f"{place}_{key}": metric.value(value) for key, value in values.items()}
    if report.share is not None:
        metrics["share"] = report.share
    tags = {
        KIND: "transfer",
        "mlflow.note.content": "\n\n".join(filter(None, (facts["sentence"], facts["share"], *facts["remarks"]))),
        "graft.search": name,
        "graft.trial": str(report.trial),
        "graft.changes": facts["changes"],
        "graft.verdict": report.verdict,
    }
    title = f"{name} #{report.trial}: {facts['changes']}"
    return try_to_send(
        tracking_uri,
        lambda uri: Experiment(_EXPERIMENT, uri).add(title, metrics=metrics, tags=tags, files=[file]),
        done=f"MLflow experiment {_EXPERIMENT!r}, run {title!r}",
        advice="--tracking-uri says where, or none",
    )
