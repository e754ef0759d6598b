"""Writes one complete run per trial to MLflow; every step may be interrupted and repeated."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from operators.population import Population
from search.champions import reigns
from search.final.report import read_final
from search.mlflow.records import (
    KIND,
    SENT,
    TRIAL,
    TrialRecord,
    final_tags,
    summary_tags,
)
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary

_SQLITE: Final = "sqlite:///"
_LOCK_SECONDS: Final = 1.0  # another search's writes do not hold the lock longer
_SEARCH_ID: Final = "graft.search_id"
_SEARCH_ARTIFACTS: Final = (
    "summary.json",
    "results.tsv",
    "report.md",
    "lineage.html",
    "progress.png",
    "environment.json",
    "final.json",
)
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
    """One experiment: a run for each trial, and one for the search.

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
        self._experiment_id = self._experiment(name, search_id(run), self._database)
        self._runs, self._search = self._known()
        best = self._client.get_metric_history(self._search, "best_val_bpb")
        self._last_step = max((point.step for point in best), default=-1)
        self._client.update_run(self._search, status="RUNNING")

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

    def send(self, record: TrialRecord) -> None:
        """Create the run of a trial, or complete an existing one."""
        from mlflow.entities import Metric, Param, RunTag

        known = self._runs.get(record.number)
        folder = self._run.trial(record.number)
        end = _modified_milliseconds(folder / "result.json")
        if known is None:
            known = self._client.create_run(
                self._experiment_id,
                start_time=end - round(1000 * record.wall_seconds),
                tags={KIND: "trial", TRIAL: str(record.number), **_SOURCE},
                run_name=record.run_name,
            )
            self._runs[record.number] = known
        run_id, start = known.info.run_id, known.info.start_time
        for path in _files(folder):
            self._client.log_artifact(run_id, str(path))
        self._client.log_batch(
            run_id,
            metrics=[
                *(Metric(key, value, end, 0) for key, value in _changed(record.metrics, known).items()),
                *(Metric("train_loss", loss, start + step, step) for step, loss in record.curve),
            ],
            params=[Param(key, value) for key, value in record.params.items() if key not in known.data.params],
            tags=[RunTag(key, value) for key, value in {**record.tags, SENT: record.digest}.items()],
        )
        self._client.update_run(run_id, name=record.run_name)
        self._client.set_terminated(run_id, record.state, max(end, start))
        self._runs[record.number] = self._client.get_run(run_id)

    def send_summary(self, population: Population, summary: Summary) -> None:
        """Bring the run of the search up to date."""
        from mlflow.entities import Metric, RunTag

        now = time.time_ns() // 1_000_000
        champions = [reign for reign in reigns(population) if reign.trainings > self._last_step]
        points = {reign.trainings: population.scores[reign.champion.number] for reign in champions}
        if summary.best_val_bpb is not None and summary.trainings > max([self._last_step, *points]):
            points[summary.trainings] = summary.best_val_bpb
        self._client.log_batch(
            self._search,
            metrics=[Metric("best_val_bpb", value, now, step) for step, value in points.items()],
            tags=[RunTag(key, value) for key, value in summary_tags(summary).items()],
        )
        self._last_step = max([self._last_step, *points])

    def finish(self, summary: Summary) -> None:
        """Attach the files of the search to its run and end it."""
        for name in _SEARCH_ARTIFACTS:
            if (self._run.root / name).is_file():
                self._client.log_artifact(self._search, str(self._run.root / name))
        for key, value in final_tags(read_final(self._run)[0]).items():
            self._client.set_tag(self._search, key, value)
        self._client.set_terminated(self._search, "FINISHED" if summary.status == "finished" else "KILLED")

    def _experiment(self, name: str, search_id: str, database: Path | None) -> str:
        """Return the experiment of this search; an older search of the same name keeps its experiment."""
        for candidate in (name, f"{name} {search_id[:6]}"):
            found = self._client.get_experiment_by_name(candidate)
            if found is None:
                location = None
                if database:
                    folder = re.sub(r"[^\w.-]", "_", name) + f"-{search_id[:6]}"
                    location = (database.parent / "mlartifacts" / folder).as_uri()
                tags = {_SEARCH_ID: search_id, "mlflow.experimentKind": "custom_model_development"}
                return str(self._client.create_experiment(candidate, artifact_location=location, tags=tags))
            if found.tags.get(_SEARCH_ID) == search_id and found.lifecycle_stage == "active":
                return str(found.experiment_id)
        raise OSError(
            f"the experiments {name!r} and {candidate!r} are another search's or deleted; restore or purge them"
        )

    def _known(self) -> tuple[dict[int, Any], str]:
        """Return the runs of the trials by number, and the id of the run of the search, created if missing."""
        trials: dict[int, Any] = {}
        search = ""
        for run in self._all_runs():
            kind, number = run.data.tags.get(KIND), run.data.tags.get(TRIAL, "")
            if kind == "search":
                search = run.info.run_id
            elif kind == "trial" and number.isdecimal():
                twin = trials.setdefault(int(number), run)
                if twin is not run:  # a reply was lost, and the run was created twice
                    self._client.delete_run(run.info.run_id)
        if not search:
            made = self._client.create_run(self._experiment_id, tags={KIND: "search", **_SOURCE}, run_name="search")
            search = made.info.run_id
        return trials, search

    def _all_runs(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], order_by=["attributes.start_time ASC"], page_token=token
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


def search_id(run: RunDirectory) -> str:
    """Return an id that distinguishes this search from others of the same name; it is stored in the folder."""
    path = run.root / ".search_id"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    search_id = uuid.uuid4().hex
    write_atomically(path, search_id)
    return search_id


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
