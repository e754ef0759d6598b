"""A transfer for the tracker of its search: the gain there and here as metrics, the verdict as a tag, the report."""

from __future__ import annotations

from pathlib import Path

from search.tracking.later import Finding
from search.transfer.record import TransferReport
from search.transfer.text import facts_of_transfer
from target.metric import Metric


def finding_of(report: TransferReport, name: str, file: Path, metric: Metric) -> Finding:
    """Return what is sent of a transfer.

    Args:
        report: What it found.
        name: Name of the search.
        file: The report, as a file.
        metric: What the target of the search measures.
    """
    facts = facts_of_transfer(report, metric)
    metrics = {"seeds": float(len(report.seeds))}
    for place, row in (("search", report.own), ("here", report.here)):
        if row:
            values = {"baseline": row.baseline, "best": row.best, "difference": row.difference}
            metrics |= {f"{place}_{key}": metric.value(value) for key, value in values.items()}
    if report.share is not None:
        metrics["share"] = report.share
    return Finding(
        kind="transfer",
        search=name,
        title=f"{name} #{report.trial}: {facts['changes']}",
        note="\n\n".join(filter(None, (facts["sentence"], facts["share"], *facts["remarks"]))),
        metrics=metrics,
        tags={
            "graft.search": name,
            "graft.trial": str(report.trial),
            "graft.changes": facts["changes"],
            "graft.verdict": report.verdict,
        },
        files=[file.absolute()],
    )
