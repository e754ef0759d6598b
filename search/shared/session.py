"""One of several sessions of a search whose ledger is in a database.

The database has the lines of the journal, in their order; each session keeps a copy of them in its own folder, which
reports, comparisons and later searches read as they read any other. A session works in turns: it waits until no other
has its turn, reads what the others have written, decides, writes. So each decision is made on the whole ledger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from search.errors import StorageError, UserError
from search.runs.chain import ChainError
from search.runs.files import write_atomically
from search.runs.journal import JournalFile, check_journal, mend_journal, open_journal
from search.runs.ledger_records import trial_of_line
from search.runs.rundir import RunDirectory
from search.runs.share import Work
from search.shared.database import Database, Unreachable, as_text, check_url
from search.shared.heartbeat import Heartbeat
from search.shared.members import Members, text_of
from search.shared.patience import Patience

_HEARTBEAT_SECONDS: Final = 20.0
_OUTAGE_SECONDS: Final = 600.0  # a database that is restarted is back by then
_FILE_NAME: Final = re.compile(r"[0-9]+-[0-9]+\.json")  # what a session takes from others into its folder

_TOO_LATE: Final = (
    "the connection to the database was lost in the middle of a turn, and another session had the next one; nothing "
    "that is recorded is lost"
)


class SharedSession:
    """A session among others; see `search.runs.share.Share`.

    Args:
        url: The database.
        run: Folder of this session; the caller holds its lock.
        name: The search.
        takeover_seconds: A session without a heartbeat for this time is dead, and others take over its trials.
        say: Shows a message to the user.
        outage_seconds: How long to wait for a database that does not answer.

    Raises:
        UserError: The URL does not fit, or the database cannot be reached.
    """

    def __init__(
        self,
        url: str,
        *,
        run: RunDirectory,
        name: str,
        takeover_seconds: float,
        say: Callable[[str], None],
        outage_seconds: float = _OUTAGE_SECONDS,
    ) -> None:
        check_url(url)
        self._url = url
        self._run = run
        self._name = name
        self._takeover_seconds = takeover_seconds
        self._database = Database(url)
        self._patience = Patience(outage_seconds, say, self._lost)
        self._depth = 0
        self._changed = set[int]()
        self._last_file = 0
        self._heartbeat: Heartbeat | None = None

    # Joining and leaving

    def open(self, journal: Path) -> JournalStorage:
        """Join the search: bring the journal of this session's folder up to date, and open it.

        Raises:
            UserError: It is not the ledger of this search, or the database refuses.
        """
        try:
            self._join(journal)
        except Unreachable as error:
            raise UserError(f"storage cannot be reached: {error}") from error
        with self.turn():
            pass
        every_seconds = min(self._takeover_seconds / 6, _HEARTBEAT_SECONDS)
        self._heartbeat = Heartbeat(self._url, lambda: self._members.own, every_seconds=every_seconds)
        return open_journal(journal, _Lines(self))

    def _join(self, journal: Path) -> None:
        self._search = self._database.prepare(self._name)
        place = self._run.root / ".session"
        self._members = Members(self._database, self._search, place, self._takeover_seconds)
        mend_journal(journal)
        self._file = JournalFile(journal)
        self._file.follow()
        self._refuse_another_journal(journal)
        self._members.forget_predecessor()
        self._members.enter()

    def close(self) -> None:
        """Leave the search; other sessions take over what is left."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
            with suppress(Unreachable, UserError):  # then the others notice by its heartbeat
                self._members.leave()
        self._database.disconnect()

    def tell(self, say: Callable[[str], None]) -> None:
        """Show messages through `say` from now on."""
        self._patience.say = say

    def interrupt(self) -> None:
        """Stop waiting for the database."""
        self._patience.give_up()

    # Turns

    def changes(self) -> Collection[int]:
        """Return the trials that other sessions have changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Read and write while no other session does."""
        if not self._depth:
            self._patience.call(self._begin_turn)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._database.unlock(self._search)

    def _begin_turn(self) -> None:
        self._database.lock(self._search)
        with ExitStack() as failed:
            failed.callback(self._database.unlock, self._search)
            self._read()
            failed.pop_all()  # the turn ends later

    def _read(self) -> None:
        """Bring this session up to date: files, lines, and who does what."""
        files = self._database.rows(
            "SELECT number, name, content FROM graft_files WHERE search = %s AND number > %s ORDER BY number",
            (self._search, self._last_file),
        )
        for number, name, content in files:
            if not _FILE_NAME.fullmatch(name):
                raise UserError(f"the database names a file {name!r} that Graft does not write; it was changed by hand")
            if not (path := self._run.exchanges / name).exists():
                write_atomically(path, content)
            self._last_file = number
        lines = self._database.rows(
            "SELECT line FROM graft_lines WHERE search = %s AND number > %s ORDER BY number",
            (self._search, self._file.end.lines),
        )
        self._take([line.encode() for (line,) in lines])
        for message in self._members.read():
            self._patience.say(message)

    def _lost(self) -> None:
        self._database.disconnect()
        self._members.lost()

    def _take(self, lines: Sequence[bytes]) -> None:
        """Append lines that other sessions wrote to the copy, and note which trials they change."""
        if not lines:
            return
        try:
            self._file.append_lines(lines)
        except ChainError as error:
            raise UserError(
                f"{self._run.journal} and the database have different lines: {error}; use another folder (outputs=DIR)"
            ) from error
        self._changed |= {number for line in lines if (number := trial_of_line(json.loads(line))) is not None}

    def append(self, logs: list[dict[str, Any]]) -> None:
        """Write lines: first to the database, then to the copy."""
        with self.turn():
            base = self._file.end.lines
            lines = self._file.sealed(logs, self._file.end)
            self._patience.call(lambda: self._insert(base, lines))
            self._file.append_lines(lines)

    def read(self, first: int) -> Iterator[dict[str, Any]]:
        """Yield the lines of the copy from a number on."""
        return self._file.read_logs(first)

    def _insert(self, base: int, lines: Sequence[bytes]) -> None:
        """Write lines unless they are there: a connection that is lost leaves that open."""
        if not self._database.has_lock and self._regain() > base:
            found = self._database.rows(
                "SELECT line FROM graft_lines WHERE search = %s AND number = %s", (self._search, base + 1)
            )
            if found != [(lines[0].decode(),)]:
                raise StorageError(_TOO_LATE)
            return
        numbered = [(self._search, base + 1 + index, line.decode()) for index, line in enumerate(lines)]
        self._database.write("INSERT INTO graft_lines (search, number, line) VALUES (%s, %s, %s)", *numbered)

    def _regain(self) -> int:
        """Take the turn again after the connection was lost in the middle of it; return the number of lines."""
        self._database.lock(self._search)
        ((n_lines,),) = self._database.rows(
            "SELECT coalesce(max(number), 0) FROM graft_lines WHERE search = %s", (self._search,)
        )
        return int(n_lines)

    def _write(self, statement: str, *rows: Sequence[Any] | Mapping[str, Any]) -> None:
        """Write in a turn, when the database answers."""

        def write() -> None:
            if not self._database.has_lock and self._regain() != self._file.end.lines:
                raise StorageError(_TOO_LATE)
            self._database.write(statement, *rows)

        with self.turn():
            self._patience.call(write)

    # Who does what

    def claim(self, work: Work) -> None:
        """Take on a piece of work."""
        self._members.claims[work] = self._members.own
        self._write(
            "INSERT INTO graft_claims (search, work, session) VALUES (%s, %s, %s) "
            "ON CONFLICT (search, work) DO UPDATE SET session = excluded.session",
            (self._search, text_of(work), self._members.own),
        )

    def holds(self, work: Work) -> bool:
        """Return whether a piece of work is still this session's."""
        return self._members.claims.get(work) == self._members.own

    def release(self, work: Work) -> None:
        """Note that a piece of work is done."""
        if self._members.claims.pop(work, None) is not None:
            self._write(
                "DELETE FROM graft_claims WHERE search = %s AND work = %s AND session = %s",
                (self._search, text_of(work), self._members.own),
            )

    def orphans(self, numbers: Iterable[int]) -> list[int]:
        """Return the trials that no session has taken on."""
        return [number for number in numbers if (number, None) not in self._members.claims]

    @property
    def of_others(self) -> Collection[Work]:
        """The work of other sessions."""
        return [work for work, session in self._members.claims.items() if session != self._members.own]

    def require_same(self, what: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the first session gave under that name."""
        self._write(
            "INSERT INTO graft_facts (search, what, given) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (self._search, what, as_text(given)),
        )
        query = "SELECT given FROM graft_facts WHERE search = %s AND what = %s"
        ((text,),) = self._patience.call(lambda: self._database.rows(query, (self._search, what)))
        first: Mapping[str, Any] = json.loads(text)
        return first

    def publish(self, files: Sequence[Path]) -> None:
        """Give files to the other sessions."""
        rows = [(self._search, path.name, path.read_text(encoding="utf-8")) for path in files]
        if rows:
            self._write(
                "INSERT INTO graft_files (search, name, content) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", *rows
            )

    def _refuse_another_journal(self, journal: Path) -> None:
        """Refuse a folder whose journal is not a beginning of the ledger in the database."""
        n_lines = self._file.end.lines
        if not n_lines:
            return
        check_journal(journal)
        own = journal.read_bytes().splitlines()[-1].decode()
        found = self._database.rows(
            "SELECT line FROM graft_lines WHERE search = %s AND number = %s", (self._search, n_lines)
        )
        if found != [(own,)]:
            raise UserError(
                f"{self._run.root} holds another search than the database has under {self._name!r}: choose another "
                "name, or another folder with outputs=DIR"
            )


class _Lines(BaseJournalBackend):
    """What Optuna reads and writes."""

    def __init__(self, session: SharedSession) -> None:
        self._session = session

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        return self._session.read(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._session.append(logs)
