"""What a transfer found, in words and tables: for the console, and for the reports of the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from operators.trial import Trial
from search.runs.rundir import RunDirectory
from search.statistics import ALPHA, CONFIDENCE
from search.transfer.record import Row, StepEffect, TransferReport, read_transfers
from target.metric import Metric

_HEADER: Final = ("", "n", "baseline", "best", "difference", f"{100 * CONFIDENCE:.0f} % interval")
_STEPS_HEADER: Final = ("step", "in the search", "here", "verdict", "what changed")
_WAYS: Final = {"prefix": "so the lineage up to it is compared with the one up to before it"}


def transfer_text(report: TransferReport, name: str, metric: Metric) -> str:
    """Return a report for the console, in the metric of its target.

    Args:
        report: The report.
        name: Name of the search.
        metric: What its target measures.
    """
    facts = facts_of_transfer(report, metric)
    lines = [f"transfer of {name}, trial #{report.trial}: {facts['changes']}", ""]
    lines += _aligned([_HEADER, *facts["rows"]])
    lines += ["", *([facts["share"]] if facts["share"] else []), facts["sentence"], *facts["remarks"]]
    if facts["steps"]:
        lines += ["", *_aligned([_STEPS_HEADER, *facts["steps"]]), *facts["steps_remarks"]]
    return "\n".join(lines)


def transfers_of(run: RunDirectory, best: Trial | None, metric: Metric) -> list[dict[str, Any]]:
    """Return the transfers that were made with the present best program, for the templates of the reports."""
    if best is None or best.program is None:
        return []
    own = [report for report in read_transfers(run) if report.program_id == best.program.id]
    return [facts_of_transfer(report, metric) for report in own]


def facts_of_transfer(report: TransferReport, metric: Metric) -> dict[str, Any]:
    """Return a report as texts: of what changed, rows of its tables, the verdict in a sentence, remarks."""
    rows = [("in the search", *_row(report.own, metric))]
    rows += [("here", *_row(report.here, metric))] if report.here else []
    return {
        "changes": ", ".join(f"{name} {old} -> {new}" for name, old, new in report.changes),
        "header": _HEADER,
        "rows": rows,
        "share": _share(report),
        "sentence": f"{report.verdict}: {report.reason}",
        "remarks": [_replaced(*each) for each in report.replaced],
        "steps_header": _STEPS_HEADER,
        "steps": [_step(step, report, metric) for step in report.steps or ()],
        "steps_remarks": _steps_remarks(report.steps or ()),
        "n_seeds": len(report.seeds),
    }


def _row(row: Row, metric: Metric) -> tuple[str, ...]:
    def with_error(text: str, error: float | None) -> str:
        return text if error is None else f"{text} ± {metric.size_text(error, row.baseline)}"

    ends = ""
    if row.low is not None and row.high is not None:
        low, high = sorted((row.low, row.high), key=metric.value)
        ends = f"{metric.delta_text(low, row.baseline)} to {metric.delta_text(high, row.baseline)}"
    return (
        f"{row.n_baseline}" if row.n_baseline == row.n_best else f"{row.n_baseline}, {row.n_best}",
        with_error(metric.text(row.baseline), row.baseline_error),
        with_error(metric.text(row.best), row.best_error),
        with_error(metric.delta_text(row.difference, row.baseline), row.error),
        ends,
    )


def _share(report: TransferReport) -> str:
    if report.share is None:
        return ""
    ends = "" if report.share_low is None else f" (95 % interval {report.share_low:.0%} to {report.share_high:.0%})"
    return f"share of the gain in the search that is left: {report.share:.0%}{ends}"


def _replaced(name: str, value: str) -> str:
    return f"the best program has {name} = {value}, which --scale replaces: what that gained is not compared here"


def _step(step: StepEffect, report: TransferReport, metric: Metric) -> tuple[str, ...]:
    typical = report.own.baseline

    def shown(amount: float | None, error: float | None) -> str:
        if amount is None:
            return ""
        text = metric.delta_text(amount, typical)
        return text if error is None else f"{text} ± {metric.size_text(error, typical)}"

    way = "" if step.effect is None else _WAYS.get(step.how, "")
    why = ", ".join(filter(None, (step.why, way)))
    return (
        f"#{step.trial}",
        shown(step.searched, step.searched_error),
        shown(step.effect, step.error),
        step.verdict,
        f"{step.description} ({why})" if why else step.description,
    )


def _steps_remarks(steps: Sequence[StepEffect]) -> list[str]:
    """Return what one must know to read the verdicts on the steps."""
    tested = sum(step.p is not None for step in steps)
    if not tested:
        return []
    return [
        "A step's effect is the best program minus the same without the step. All trainings share one standard "
        "deviation, with the effects of programs and seeds taken off.",
        f"Verdicts on {tested} step{'s' * (tested > 1)} at once (Holm's method): the probability that any step without "
        f"an effect is said to have one is at most {ALPHA:.0%}.",
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns; the last column is as wide as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
