"""A comparison as one MLflow run: medians as metrics, the pages as artifacts."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from search.compare.comparison import Comparison
from search.compare.page import power_text, verdict_text
from search.mlflow.records import KIND, clean
from search.mlflow.store import import_mlflow, sqlite_path

_EXPERIMENT: Final = "comparisons"
_NOTE_CHARACTERS: Final = 5000


def send_comparison(comparison: Comparison, name: str, files: Sequence[Path], tracking_uri: str) -> str:
    """Record a comparison, and return a message for the user; None if there is nowhere to record it.

    Args:
        comparison: The comparison.
        name: Name of the run.
        files: Artifacts.
        tracking_uri: Where MLflow keeps its records, or `none`.
    """
    database = sqlite_path(tracking_uri)
    if tracking_uri == "none":
        return ""
    if database and not database.exists():
        return f"not sent to MLflow: there is no {database}; --tracking-uri says where, or none"
    errors = import_mlflow()
    try:
        _send(comparison, name, files, f"sqlite:///{database}" if database else tracking_uri, database)
    except errors as error:
        return f"not sent to MLflow at {tracking_uri}: {type(error).__name__}: {str(error).strip()[:300]}"
    return f"MLflow experiment {_EXPERIMENT!r}, run {name!r}"


def open_experiment(client: Any, name: str, database: Path | None) -> str:
    """Return the id of an experiment, created if missing; its artifacts are beside the database, if there is one."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = (database.parent / "mlartifacts" / name).as_uri() if database else None
    return str(client.create_experiment(name, artifact_location=location))


def _send(comparison: Comparison, name: str, files: Sequence[Path], uri: str, database: Path | None) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

    client = MlflowClient(tracking_uri=uri)
    experiment_id = open_experiment(client, _EXPERIMENT, database)
    now = time.time_ns() // 1_000_000
    run_id = client.create_run(experiment_id, run_name=name, tags={KIND: "comparison"}).info.run_id
    metrics: dict[str, float] = {}
    for arm in comparison.arms:
        key = re.sub(r"[^\w./ -]", " ", arm.label)[:200]
        metrics |= {
            f"final {key}": statistics.median(arm.finals),
            f"mean best so far {key}": statistics.median(arm.areas),
            f"failure rate {key}": arm.failure_rate,
        }
    note = "\n\n".join((verdict_text(comparison), *comparison.refusals, power_text(comparison)))
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
        tags=[
            RunTag("mlflow.note.content", clean(note, _NOTE_CHARACTERS)),
            RunTag("graft.ranked", str(not comparison.refusals)),
        ],
    )
    for path in files:
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
