from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared.postgres import Postgres, find_programs


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    root = Path(tempfile.mkdtemp(prefix="graft-postgres-"))  # pytest's folders are closed to the server's user
    root.chmod(0o755)
    made = Postgres(programs, root)
    yield made
    made.stop()
    shutil.rmtree(root)


@pytest.fixture
def url(server: Postgres) -> Iterator[str]:
    """An empty database."""
    with server.database() as made:
        yield made
