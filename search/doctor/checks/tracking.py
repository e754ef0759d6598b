"""Checks the store of MLflow. MLflow never stops a search, so nothing here is worse than a warning."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from operators.secrets import redact
from search.doctor.checks.row import Row, cause, fine, warning
from search.doctor.checks.subject import Subject
from search.mlflow.store import import_mlflow, sqlite_path

_COST: Final = "the search goes on, and MLflow gets nothing"
_BUSY_SECONDS: Final = 2.0
_REVISION: Final = re.compile(r"""^(down_)?revision\b[^=\n]*=\s*["'](\w+)["']""", re.MULTILINE)


def check_tracker(subject: Subject) -> Iterator[Row]:
    """Check the store of the tracker that is configured."""
    uri = subject.config["tracker"].get("tracking_uri")
    if uri is None:
        yield fine("MLflow", "not used")
    elif database := sqlite_path(uri):
        yield _database(database)
    else:
        yield _server(uri)


def _database(path: Path) -> Row:
    if not path.exists():
        return fine("MLflow", f"{path}, which the first search makes")
    try:
        # opened, never created; taking a lock shows whether it is read-only or locked
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", timeout=_BUSY_SECONDS, uri=True)) as database:
            database.execute("BEGIN IMMEDIATE")
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
            database.rollback()
    except sqlite3.Error as error:
        remedy = "end the process that holds it, or tracker.tracking_uri=sqlite:///another.db"
        if "no such table" in str(error) or "not a database" in str(error):
            remedy = "move it away, or tracker.tracking_uri=sqlite:///another.db"
        return warning("MLflow", f"{path}: {error}", cost=_COST, remedy=remedy)
    known, newest = _schemas()
    if not found or not known or found[0] in newest:
        return fine("MLflow", f"{path}, its schema is that of the installed MLflow" if known else str(path))
    if found[0] in known:
        found_text = f"{path} was made by an older MLflow"
        return warning("MLflow", found_text, cost=_COST, remedy=f"mlflow db upgrade sqlite:///{path}")
    found_text = f"{path} was made by a newer MLflow"
    return warning("MLflow", found_text, cost=_COST, remedy="pip install --upgrade mlflow")


def _schemas() -> tuple[set[str], set[str]]:
    """Return all versions of the schema that the installed MLflow knows, and the newest.

    They are read from its migration files, because importing MLflow takes five CPU seconds.
    """
    spec = importlib.util.find_spec("mlflow")
    known: set[str] = set()
    older: set[str] = set()
    for place in (spec and spec.submodule_search_locations) or ():
        for path in Path(place, "store", "db_migrations", "versions").glob("*.py"):
            for before, revision in _REVISION.findall(path.read_text(encoding="utf-8")):
                (older if before else known).add(revision)
    return known, known - older


def _server(uri: str) -> Row:
    """Ask a server as a search does; this imports MLflow, which takes seconds."""
    shown = redact(uri)
    errors = import_mlflow()
    from mlflow import MlflowClient

    try:
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except errors as error:
        said = redact(cause(str(error)))
        remedy = f"start the server, or tracker=none; curl {shown}/health" if uri.startswith("http") else "tracker=none"
        return warning("MLflow", f"{shown} does not answer ({said})", cost=_COST, remedy=remedy)
    return fine("MLflow", f"{shown} answers")
