"""Writes one complete run per trial to MLflow; every step may be interrupted and repeated."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from operators.population import Population
from search.champions import best_by_training
from search.final.report import read_final
from search.mlflow.experiment import OWNER, experiment_of, save_views
from search.mlflow.views import run_link
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tracking.place import id_of, place_of
from search.tracking.records import (
    KIND,
    SEARCH_FILES,
    SENT,
    TRIAL,
    TrialRecord,
    final_tags,
    metric_key,
    rounded,
    search_name,
    summary_tags,
)
from target.metric import Metric

_SQLITE: Final = "sqlite:///"
_LOCK_SECONDS: Final = 1.0  # another search's writes do not hold the lock longer
_POINTS: Final = 1000  # in one log_batch
NOTE: Final = "mlflow.note.content"
"""The tag with the description of a run."""
_SOURCE: Final = {"mlflow.source.name": "python -m search", "mlflow.source.type": "LOCAL"}
SETTINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # mlflow imports litellm if installed; offline, that hangs without this
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Settings of MLflow's environment with which it works, for this process and for its server."""


def sqlite_path(tracking_uri: str) -> Path | None:
    """Return the absolute path of the database, or None if the store is not an SQLite one; `~/` is the user's home."""
    path = tracking_uri.removeprefix(_SQLITE)
    return Path(path).expanduser().absolute() if path != tracking_uri else None


def import_mlflow() -> tuple[type[Exception], ...]:
    """Import MLflow, which takes seconds, and return the errors that mean its store cannot be used now.

    Settings of the user's environment are respected.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs its imports to any root logger
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback for each error, which we report
    import alembic.util
    import mlflow
    import requests
    import sqlalchemy.exc

    return (
        mlflow.MlflowException,
        alembic.util.CommandError,  # a database of a newer MLflow
        sqlalchemy.exc.SQLAlchemyError,
        requests.RequestException,
        OSError,
    )


class StoreLockedError(OSError):
    """Another process has locked the database."""


def is_locked(error: Exception) -> bool:
    """Return whether an error of a store means that another process has locked its database temporarily."""
    return isinstance(error, StoreLockedError) or "database is locked" in str(error)


class MlflowStore:
    """The runs of one search in its experiment: one for each trial with a program, and one for the search.

    MLflow itself is asked what has been sent. After an error the object must not be used any more: make a new one.

    Args:
        run: Folder of the search.
        name: Name of the search.
        tracking_uri: Where MLflow keeps its records.

    Raises:
        StoreLockedError: Another process has locked the database.
    """

    def __init__(self, run: RunDirectory, name: str, tracking_uri: str) -> None:
        from mlflow import MlflowClient

        self._run = run
        self._database = sqlite_path(tracking_uri)
        if self._database:
            _create_database(self._database)
            tracking_uri = f"{_SQLITE}{self._database}"
        self.refuse_locked()
        self._client = MlflowClient(tracking_uri=tracking_uri)
        self._place = place_of(run, name)
        self._search_id = id_of(run.root)
        self._experiment = experiment_of(self._client, self._place, self._database)
        self.experiment_id = str(self._experiment.experiment_id)
        self._runs, self._search = self._known()
        self._last_step: int | None = None  # of the best so far; None before it was asked for
        self._client.update_run(self._search.info.run_id, status="RUNNING")

    def refuse_locked(self) -> None:
        """Refuse a database that another process has locked, because MLflow would wait 20 seconds for it at each step.

        Raises:
            StoreLockedError: It is locked. Other problems are left for MLflow to report.
        """
        if self._database is None:
            return
        with contextlib.closing(sqlite3.connect(self._database, timeout=_LOCK_SECONDS, isolation_level=None)) as taken:
            try:
                taken.execute("BEGIN IMMEDIATE")
                taken.execute("ROLLBACK")
            except sqlite3.DatabaseError as error:
                if is_locked(error):
                    raise StoreLockedError(f"another process has locked {self._database}") from error

    def has(self, record: TrialRecord) -> bool:
        """Return whether MLflow has the complete and current state of a trial."""
        known = self._runs.get(record.number)
        if known is None:
            return False
        return bool(known.info.status == record.state and known.data.tags.get(SENT) == record.digest)

    def send(self, record: TrialRecord, note: str) -> None:
        """Create the run of a trial with its description, or complete an existing one."""
        from mlflow.entities import Metric, Param, RunTag

        known = self._runs.get(record.number)
        folder = self._run.trial(record.number)
        end = _modified_milliseconds(folder / "result.json")
        if known is None:
            known = self._client.create_run(
                self.experiment_id,
                start_time=end - round(1000 * record.wall_seconds),
                tags={KIND: "trial", TRIAL: str(record.number), **self._own_tags},
                run_name=record.run_name,
            )
            self._runs[record.number] = known
        run_id, start = known.info.run_id, known.info.start_time
        for path in _files(folder):
            if path.name == "diff.patch":  # MLflow shows the text of some names only
                changes = path.read_text(encoding="utf-8", errors="replace")
                self._client.log_text(run_id, changes, "diff.txt")
            else:
                self._client.log_artifact(run_id, str(path))
        self._client.log_batch(
            run_id,
            metrics=[
                *(Metric(key, value, end, 0) for key, value in _changed(record.metrics, known).items()),
                *(Metric("train_loss", loss, start + step, step) for step, loss in record.curve),
            ],
            params=[Param(key, value) for key, value in record.params.items() if key not in known.data.params],
            tags=[RunTag(key, value) for key, value in {**record.tags, NOTE: note, SENT: record.digest}.items()],
        )
        if known.info.run_name != record.run_name:
            self._client.update_run(run_id, name=record.run_name)
        self._client.set_terminated(run_id, record.state, max(end, start))
        self._runs[record.number] = self._client.get_run(run_id)

    def correct(self, record: TrialRecord) -> None:
        """Bring the scores and the name of a trial up to date, which later trials change a little."""
        known = self._runs[record.number]
        if changed := _changed(record.metrics, known):
            self._log_metrics(known.info.run_id, {key: {0: value} for key, value in changed.items()})
        if known.info.run_name != record.run_name:
            self._client.update_run(known.info.run_id, name=record.run_name)

    def link(self, number: int) -> str:
        """Return the address of the run of a trial within MLflow's pages; empty if it has none."""
        known = self._runs.get(number)
        return run_link(self.experiment_id, known.info.run_id) if known else ""

    def describe(self, number: int, note: str) -> None:
        """Give the run of a trial its description, if it has another."""
        if (known := self._runs.get(number)) and known.data.tags.get(NOTE) != note:
            self._client.set_tag(known.info.run_id, NOTE, note)

    def send_summary(
        self, population: Population, summary: Summary, note: str, parameters: Mapping[str, str], metric: Metric
    ) -> None:
        """Bring the run of the search up to date.

        Args:
            population: All trials.
            summary: The state of the search.
            note: Its description.
            parameters: Its settings.
            metric: What its target measures.
        """
        from mlflow.entities import Param, RunTag

        if self._last_step is None:
            save_views(self._client, self._experiment, self._place, metric)
        last, key = self._last(metric), f"best_{metric_key(metric)}"
        best = best_by_training(population)
        points = {step: rounded(metric.value(score)) for step, score in best.items() if step > last}
        self._log_metrics(self._search.info.run_id, {key: points})
        tags = {**summary_tags(summary, metric), NOTE: note}
        new = {key: value for key, value in parameters.items() if key not in self._search.data.params}
        self._client.log_batch(
            self._search.info.run_id,
            params=[Param(key, value) for key, value in new.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        if new:
            self._client.update_run(self._search.info.run_id, name=search_name(parameters, self._place.differing))
            self._search = self._client.get_run(self._search.info.run_id)
        self._last_step = max([last, *points])

    def _last(self, metric: Metric) -> int:
        """Return the last step of the best so far that MLflow has; -1 for none."""
        if self._last_step is not None:
            return self._last_step
        history = self._client.get_metric_history(self._search.info.run_id, f"best_{metric_key(metric)}")
        return max((point.step for point in history), default=-1)

    def _log_metrics(self, run_id: str, metrics: Mapping[str, Mapping[int, float]]) -> None:
        """Add the values of metrics by step."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        points = [Metric(key, value, now, step) for key, steps in metrics.items() for step, value in steps.items()]
        for start in range(0, len(points), _POINTS):
            self._client.log_batch(run_id, metrics=points[start : start + _POINTS])

    def finish(self, summary: Summary, metric: Metric) -> None:
        """Attach the files of the search to its run and end it."""
        for name in SEARCH_FILES:
            if (self._run.root / name).is_file():
                self._client.log_artifact(self._search.info.run_id, str(self._run.root / name))
        for key, value in final_tags(read_final(self._run)[0], metric).items():
            self._client.set_tag(self._search.info.run_id, key, value)
        self._client.set_terminated(self._search.info.run_id, "FINISHED" if summary.status == "finished" else "KILLED")

    @property
    def _own_tags(self) -> dict[str, str]:
        return {OWNER: self._search_id, **_SOURCE}

    def _known(self) -> tuple[dict[int, Any], Any]:
        """Return the runs of the trials by number, and the run of the search, created if missing."""
        trials: dict[int, Any] = {}
        search = None
        for run in self._all_runs():
            kind, number = run.data.tags.get(KIND), run.data.tags.get(TRIAL, "")
            if kind == "search":
                search = run
            elif kind == "trial" and number.isdecimal():
                twin = trials.setdefault(int(number), run)
                if twin is not run:  # a reply was lost, and the run was created twice
                    self._client.delete_run(run.info.run_id)
        if search is None:
            tags = {KIND: "search", **self._own_tags}
            search = self._client.create_run(self.experiment_id, tags=tags, run_name="search")
        return trials, search

    def _all_runs(self) -> Iterator[Any]:
        token, owned = None, f"tags.`{OWNER}` = '{self._search_id}'"
        while True:
            page = self._client.search_runs(
                [self.experiment_id], owned, order_by=["attributes.start_time ASC"], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return


def _create_database(path: Path) -> None:
    """Create the database at its first use: under a lock, with a temporary name, then renamed.

    MLflow takes seconds to migrate a new database. Two searches that start together would both do it, and a search
    that is killed in the middle leaves a database that cannot be opened again (in 2 of 6 tries).
    """
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        unfinished = path.with_name(f".{path.name}.new")
        for leftover in path.parent.glob(f"{unfinished.name}*"):  # its rollback journal too
            leftover.unlink()
        MlflowClient(tracking_uri=f"{_SQLITE}{unfinished}").search_experiments(max_results=1)
        unfinished.rename(path)


def _files(folder: Path) -> list[Path]:
    """Return the files of a trial's folder; files whose names begin with a dot are still being written."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    return sorted(path for path in found if not path.name.startswith("."))


def _modified_milliseconds(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime_ns // 1_000_000
    return time.time_ns() // 1_000_000


def _changed(metrics: Mapping[str, float], run: Any) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if run.data.metrics.get(key) != value}
