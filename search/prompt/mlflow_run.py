"""The table of prompts in MLflow: one run per row, so MLflow's table of runs shows the table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from search.compare.mlflow_run import open_experiment
from search.mlflow.records import KIND, clean
from search.mlflow.store import import_mlflow, sqlite_path
from search.prompt.table import PromptRow

_EXPERIMENT: Final = "prompts"
_TAG_CHARACTERS: Final = 500


def send_prompts(rows: Sequence[PromptRow], name: str, tracking_uri: str) -> str:
    """Record rows, and return a message for the user; None if there is nowhere to record them.

    Args:
        rows: The table.
        name: Where they come from.
        tracking_uri: Where MLflow keeps its records, or `none`.
    """
    if tracking_uri == "none":
        return ""
    database = sqlite_path(tracking_uri)
    if database and not database.exists():
        return f"not sent to MLflow: there is no {database}; --tracking-uri says where, or none"
    errors = import_mlflow()
    try:
        _send(rows, name, f"sqlite:///{database}" if database else tracking_uri, database)
    except errors as error:
        return f"not sent to MLflow at {tracking_uri}: {type(error).__name__}: {str(error).strip()[:300]}"
    return f"MLflow experiment {_EXPERIMENT!r}: one run per row, tagged {name!r}"


def _send(rows: Sequence[PromptRow], name: str, uri: str, database: Path | None) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

    client = MlflowClient(tracking_uri=uri)
    experiment_id = open_experiment(client, _EXPERIMENT, database)
    for row in rows:
        metrics = {
            "searches": row.searches,
            "proposals": row.proposals,
            "built": row.built,
            "kept": row.kept,
            "gain_a_search": row.gain / row.searches,
            "prompt_tokens": row.prompt_tokens,
            "cached_tokens": row.cached_tokens,
            "completion_tokens": row.completion_tokens,
            "cost_usd": row.cost_usd,
        }
        tags = {KIND: "prompt", "graft.sweep": name, "graft.prompt": row.prompt, "graft.operator": row.operator}
        now = time.time_ns() // 1_000_000
        run_id = client.create_run(experiment_id, run_name=f"{row.prompt or '-'} {row.operator}").info.run_id
        client.log_batch(
            run_id,
            metrics=[Metric(key, float(value), now, 0) for key, value in metrics.items()],
            tags=[RunTag(key, clean(value, _TAG_CHARACTERS)) for key, value in tags.items()],
        )
        client.set_terminated(run_id)
