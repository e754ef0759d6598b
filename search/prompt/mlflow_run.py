"""The table of prompts in MLflow: one run per row, so MLflow's table of runs shows the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from search.mlflow.sending import Experiment, try_to_send
from search.prompt.table import PromptRow
from search.statistics import mean_interval
from search.tracking.records import KIND

_EXPERIMENT: Final = "prompts"


def send_prompts(rows: Sequence[PromptRow], name: str, tracking_uri: str) -> str:
    """Record rows, and return a message for the user; empty if there is nowhere to record them.

    Args:
        rows: The table.
        name: Where they come from.
        tracking_uri: Where MLflow keeps its records, or `none`.
    """

    def send(uri: str) -> None:
        experiment = Experiment(_EXPERIMENT, uri)
        for row in rows:
            tags = {KIND: "prompt", "graft.sweep": name, "graft.prompt": row.prompt, "graft.operator": row.operator}
            experiment.add(f"{row.prompt or '-'} {row.operator}", metrics=_metrics(row), tags=tags)

    return try_to_send(
        tracking_uri,
        send,
        done=f"MLflow experiment {_EXPERIMENT!r}: one run per row, tagged {name!r}",
        advice="--tracking-uri says where, or none",
    )


def _metrics(row: PromptRow) -> dict[str, float]:
    low, high = mean_interval(row.gains)
    interval = {"gain_a_search_low": low, "gain_a_search_high": high} if row.searches > 1 else {}
    return {
        **interval,
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
