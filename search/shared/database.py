"""The PostgreSQL database of shared ledgers: its tables, its lock, and what its errors mean."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg

from operators.secrets import redact
from search.errors import UserError

_SCHEMA_VERSION: Final = 1
_LEAST_SERVER: Final = 120_000  # PostgreSQL 12
_CREATION_LOCK: Final = 5_381_907_218  # any number: two hosts that begin at once must not both create the tables
_LOCK_SPACE: Final = 538_190  # of the locks of searches
_LOCK_SECONDS: Final = 5  # then the caller may look around, and wait again
_IDLE_SECONDS: Final = 60  # a session that was stopped in its turn loses it
_CONNECTION: Final = {"connect_timeout": 10, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
_TABLES: Final = """
CREATE TABLE graft_schema (version int NOT NULL);
CREATE TABLE graft_searches (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE graft_facts (search int NOT NULL, what text NOT NULL, given text NOT NULL, PRIMARY KEY (search, what));
CREATE TABLE graft_lines (search int NOT NULL, number int NOT NULL, line text NOT NULL, PRIMARY KEY (search, number));
CREATE TABLE graft_files (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    search int NOT NULL, name text NOT NULL, content text NOT NULL, UNIQUE (search, name)
);
CREATE TABLE graft_sessions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    search int NOT NULL, holder text NOT NULL, beats bigint NOT NULL DEFAULT 0
);
CREATE TABLE graft_claims (
    search int NOT NULL, work text NOT NULL, session bigint NOT NULL, PRIMARY KEY (search, work)
);
"""


class Unreachable(Exception):  # noqa: N818 -- a state, not a mistake
    """The database does not answer, or is read-only for now; `is_busy` if it is only that another has the lock."""

    def __init__(self, text: str, *, is_busy: bool = False) -> None:
        super().__init__(text)
        self.is_busy = is_busy


class Database:
    """A connection that is opened when it is needed, and again after it was lost.

    Args:
        url: `postgresql://USER@HOST/DATABASE`.

    Attributes:
        has_lock: Whether this connection holds the lock of a search, as far as is known.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self.has_lock = False

    def prepare(self, search: str) -> int:
        """Create the tables if there are none, and return the number of a search, which is new if it is not known.

        Raises:
            UserError: The URL, the server, its tables or the rights of the user do not fit.
            Unreachable: It does not answer.
        """
        with _errors(self._url):
            connection = self._connected()
            if connection.info.server_version < _LEAST_SERVER:
                raise UserError(
                    f"storage must be PostgreSQL 12 or newer, and {redact(self._url)} is version "
                    f"{connection.info.server_version // 10_000}"
                )
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATION_LOCK,))
                if self._one("SELECT to_regclass('graft_schema')") == (None,):
                    connection.execute(_TABLES)
                    connection.execute("INSERT INTO graft_schema VALUES (%s)", (_SCHEMA_VERSION,))
                version = self._one("SELECT version FROM graft_schema")
                if version != (_SCHEMA_VERSION,):
                    there = version[0] if version else "none"
                    raise UserError(
                        f"{redact(self._url)} has tables of another version of Graft ({there}, this one needs "
                        f"{_SCHEMA_VERSION}): use the same version on all hosts, or another database"
                    )
                connection.execute(
                    "INSERT INTO graft_searches (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", (search,)
                )
                found = self._one("SELECT id FROM graft_searches WHERE name = %s", (search,))
        assert found is not None
        return int(found[0])

    def lock(self, search: int) -> None:
        """Wait until no other session has its turn.

        Raises:
            Unreachable: It does not answer, or another session has its turn for seconds.
        """
        with _errors(self._url):
            self._connected().execute("SELECT pg_advisory_lock(%s, %s)", (_LOCK_SPACE, search))
        self.has_lock = True

    def unlock(self, search: int) -> None:
        """Let other sessions have their turn; a lost connection has done so already."""
        if self._connection is None or not self.has_lock:
            return
        self.has_lock = False
        try:
            self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", (_LOCK_SPACE, search))
        except psycopg.Error:
            self.disconnect()

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Return what a query finds.

        Raises:
            Unreachable: It does not answer.
            UserError: It refuses.
        """
        with _errors(self._url):
            return self._connected().execute(query, values).fetchall()

    def write(self, statement: str, *rows: Sequence[Any] | Mapping[str, Any]) -> None:
        """Write rows, all of them or none.

        Raises:
            Unreachable: It does not answer; whether they were written is not known then.
            UserError: It refuses.
        """
        with _errors(self._url):
            connection = self._connected()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(statement, rows)

    def disconnect(self) -> None:
        """Close the connection; the server releases its lock."""
        connection, self._connection, self.has_lock = self._connection, None, False
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _one(self, query: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        return self._connected().execute(query, values).fetchone()

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self.has_lock = False
            settings = psycopg.conninfo.make_conninfo(self._url, application_name="graft", **_CONNECTION)
            self._connection = psycopg.connect(settings, autocommit=True)
            self._connection.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
            if self._connection.info.server_version >= 140_000:  # where it exists
                self._connection.execute(f"SET idle_session_timeout = '{_IDLE_SECONDS}s'")
        return self._connection


def check_url(url: str) -> None:
    """Refuse a text that is not the URL of a PostgreSQL database.

    Raises:
        UserError: It is not; a password in it is not shown.
    """
    try:
        if url.startswith(("postgresql://", "postgres://")):
            psycopg.conninfo.conninfo_to_dict(url)
            return
        problem = ""
    except psycopg.ProgrammingError:
        problem = "; libpq cannot read it"
    raise UserError(
        f"storage must be null or the URL of a PostgreSQL database, such as postgresql://HOST/DATABASE, got "
        f"{redact(url)!r}{problem}"
    )


def as_text(value: Mapping[str, Any]) -> str:
    """Return a mapping as JSON that is equal for equal mappings."""
    return json.dumps(value, sort_keys=True)


@contextlib.contextmanager
def _errors(url: str) -> Iterator[None]:
    where = redact(url)
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise Unreachable(f"{where}: another session has the ledger", is_busy=True) from error
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction) as error:
        raise Unreachable(f"{where}: {_line(error)}") from error
    except psycopg.Error as error:
        raise UserError(
            f"{where} refuses: {_line(error)}; Graft needs a database where it may create tables and write"
        ) from error


def _line(error: psycopg.Error) -> str:
    return redact(" ".join(str(error).split())) or type(error).__name__
