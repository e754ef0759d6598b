"""A real PostgreSQL server of the tests, from Debian's packages, that can be stopped and started again."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

_DEBIAN: Final = Path("/usr/lib/postgresql")
_SETTINGS: Final = {"fsync": "off", "max_connections": "40", "listen_addresses": "''"}


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`; None if PostgreSQL is not installed."""
    versions = sorted(_DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name.partition(".")[0]))
    if versions:
        return versions[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Postgres:
    """A server with the superuser `graft`, without a password, on a socket in its own folder: no port can be taken.

    Args:
        programs: Where its programs are.
        root: An empty folder that any user can reach.
    """

    def __init__(self, programs: Path, root: Path) -> None:
        self._programs = programs
        self._root = root
        self._data = root / "data"
        self._names = itertools.count()
        if not os.geteuid():  # PostgreSQL refuses to run as root
            shutil.chown(root, "nobody", "nogroup")
        self._call("initdb", "--username=graft", "--auth=trust", "--no-sync", str(self._data))
        self.start()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of a new database, which is removed afterwards."""
        name = f"graft_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str = "postgres", user: str = "graft") -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}@{quote(str(self._root), safe='')}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement, and return the rows that it gives."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def cut(self, url: str) -> None:
        """End all connections to a database."""
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.rpartition('/')[2]}'"
        )

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        options = f"-k {self._root} {settings}"
        self._call("pg_ctl", "-D", str(self._data), "-l", str(self._root / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server; its connections are lost."""
        self._call("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        user = {} if os.geteuid() else {"user": "nobody", "group": "nogroup", "extra_groups": ()}
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            cwd=self._root,
            env={**os.environ, "PGCTLTIMEOUT": "300"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else None,
            **user,  # type: ignore[call-overload]
        )
