from __future__ import annotations

from pathlib import Path

import pytest

from search.mlflow.store import import_mlflow


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database of MLflow, since migrating takes seconds."""
    import_mlflow()
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path
