"""What a command sends to MLflow after a search: whether that is possible, and runs that are complete at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from search.mlflow.experiment import OF_TRAININGS
from search.mlflow.store import NOTE, import_mlflow, sqlite_path
from search.mlflow.views import figures_view
from search.tracking.records import TAG_CHARACTERS, clean, rounded

_MOST_SHOWN: Final = 24  # columns
_NOTE: Final = (
    "Graft adds a run to `{name}` whenever its command ends. The description of a run says what was found, and its "
    "artifacts are the files. The menu `Views` has a view `figures, latest first`, whose columns are the metrics of "
    "the latest runs."
)


def try_to_send(tracking_uri: str, send: Callable[[str], None], *, done: str, advice: str) -> str:
    """Send something, and return a message for the user; empty if there is nothing to say.

    Args:
        tracking_uri: Where MLflow keeps its records, or `none`.
        send: Sends it to MLflow at a URI.
        done: The message on success.
        advice: What to do if the database of an SQLite URI does not exist.
    """
    if tracking_uri == "none":
        return ""
    database = sqlite_path(tracking_uri)
    if database and not database.exists():
        return f"not sent to MLflow: there is no {database}; {advice}"
    errors = import_mlflow()
    try:
        send(f"sqlite:///{database}" if database else tracking_uri)
    except errors as error:
        return f"not sent to MLflow at {tracking_uri}: {type(error).__name__}: {str(error).strip()[:300]}"
    return done


class Experiment:
    """An experiment that is not that of a search, created if missing.

    Args:
        name: Its name.
        uri: Where MLflow keeps its records.
    """

    def __init__(self, name: str, uri: str) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(name)
        database = sqlite_path(uri)
        place = (database.parent / "mlartifacts" / name).as_uri() if database else None  # beside the database
        self._id = (
            found.experiment_id
            if found
            else self._client.create_experiment(name, artifact_location=place, tags=OF_TRAININGS)
        )
        self._shown: dict[str, None] = {}  # metrics
        if not (found and NOTE in found.tags):
            self._client.set_experiment_tag(self._id, NOTE, _NOTE.format(name=name))

    def add(
        self, name: str, *, metrics: Mapping[str, float], tags: Mapping[str, str], files: Sequence[Path] = ()
    ) -> None:
        """Create a run, complete."""
        from mlflow.entities import Metric, RunTag

        now = time.time_ns() // 1_000_000
        run_id = self._client.create_run(self._id, run_name=name).info.run_id
        self._client.log_batch(
            run_id,
            metrics=[Metric(key, rounded(value), now, 0) for key, value in metrics.items()],
            tags=[RunTag(key, clean(value, TAG_CHARACTERS)) for key, value in tags.items()],
        )
        for path in files:
            self._client.log_artifact(run_id, str(path))
        self._client.set_terminated(run_id)
        self._shown |= dict.fromkeys(metrics)
        for key, value in figures_view([*self._shown][:_MOST_SHOWN], now).items():
            self._client.set_experiment_tag(self._id, key, value)
