from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from search.mlflow.store import import_mlflow
from tests.search.bench import Bench
from tests.search.branches import Agent, night


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database of MLflow, since migrating takes seconds."""
    import_mlflow()
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(tmp_path: Path, empty_database: Path) -> Any:
    """A client of MLflow whose database is `mlflow.db` in the test's folder."""
    from mlflow import MlflowClient

    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A search on scripted evaluations in the test's folder."""
    return Bench(tmp_path)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def outputs(tmp_path: Path, empty_database: Path) -> Path:
    """The folder of the test, with an empty database of MLflow."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A branch with kept and discarded commits, a crash, a revert, and a commit that is gone."""
    return night(tmp_path / "autoresearch")
