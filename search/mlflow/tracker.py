"""Mirrors a search in MLflow; the search never waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from search.mlflow.mirror import MlflowMirror
from search.mlflow.sending import Experiment, try_to_send
from search.mlflow.store import NOTE, import_mlflow, is_locked, sqlite_path
from search.mlflow.views import TRIALS, view_link
from search.printed import command
from search.runs.rundir import RunDirectory
from search.tracking.background import LOGGER, BackgroundTracker
from search.tracking.later import Finding
from search.tracking.records import KIND


class MlflowTracker(BackgroundTracker):
    """One experiment per search or sweep, with one flat run per built trial and one run for each search.

    A database that another process has locked is tried again every few seconds.

    Args:
        run: Folder of the search; the files of a trial must exist before the update that contains its verdict.
        name: Name of the search.
        tracking_uri: Where MLflow keeps its records: `sqlite:///PATH`, relative to the working directory, or a server.
        shown_uri: The URI to show to the user, if it differs.
        close_seconds: The longest time that `close` takes.
        warn: Is called with a line about each outage.
    """

    def __init__(
        self,
        run: RunDirectory,
        name: str,
        tracking_uri: str,
        shown_uri: str | None = None,
        *,
        close_seconds: float = 60.0,
        warn: Callable[[str], None] = LOGGER.warning,
    ) -> None:
        database = sqlite_path(tracking_uri)
        self._uri = f"sqlite:///{database}" if database else tracking_uri  # absolute: the working directory may change
        self._run = run
        self._search = name
        self._experiment_id = ""
        place = shown_uri or tracking_uri
        super().__init__("MLflow", place, close_seconds=close_seconds, warn=warn, is_locked=is_locked)

    def load(self) -> tuple[type[Exception], ...]:
        """Import MLflow, which takes seconds."""
        return import_mlflow()

    def open(self) -> MlflowMirror:
        """Open its store."""
        mirror = MlflowMirror(self._run, self._search, self._uri)
        self._experiment_id = mirror.experiment_id
        return mirror

    @classmethod
    def record(cls, finding: Finding, run: RunDirectory, settings: Mapping[str, Any]) -> str:
        """Add a run to the experiment of all findings of this kind, such as `transfers`."""
        del run
        experiment = f"{finding.kind}s"
        tags = {KIND: finding.kind, NOTE: finding.note, **finding.tags}
        return try_to_send(
            str(settings["tracking_uri"]),
            lambda uri: Experiment(experiment, uri).add(
                finding.title, metrics=finding.metrics, tags=tags, files=finding.files
            ),
            done=f"MLflow experiment {experiment!r}, run {finding.title!r}",
            advice="--tracking-uri says where, or none",
        )

    def hint(self) -> str:
        """Return the command that shows it, or on a server the link to its trials."""
        if self._place.startswith("http"):
            return view_link(self._place, self._experiment_id, TRIALS) if self._experiment_id else self._place
        return f"{command('search.ui', str(self._run.root))}  every trial in the MLflow UI"
